"""Who may call the sandbox's API: the checks of contract 3.4, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ._project import Project
from ._routing import AccessType, Caller
from ._signing import BadToken, ExpiredToken, Verified
from ._wire import Refusal, access_token_expired, known_error, text_reply

__all__ = ["admit", "header_reader"]

# access type -> (header with its key, code without the key, code for a wrong one)
_KEYS: dict[AccessType, tuple[str, str | None, str]] = {
    "client": ("publishable-client-key", None, "INVALID_PUBLISHABLE_CLIENT_KEY"),
    "server": ("secret-server-key", "SERVER_AUTHENTICATION_REQUIRED", "INVALID_SECRET_SERVER_KEY"),
    "admin": ("super-secret-admin-key", "ADMIN_AUTHENTICATION_REQUIRED", "INVALID_SUPER_SECRET_ADMIN_KEY"),
}


def header_reader(headers: Mapping[str, str]) -> Callable[[str], str | None]:
    """Read `x-hexclave-<name>`, then `x-stack-<name>`; an empty header counts as none (contract 3.2)."""
    return lambda name: headers.get(f"x-hexclave-{name}") or headers.get(f"x-stack-{name}") or None


def admit(project: Project, header: Callable[[str], str | None], allowed: tuple[AccessType, ...]) -> Caller:
    """Let a caller in, or refuse with the first check that fails.

    The token's claims decide whether its user may pass; the user itself comes from the database, so a deleted
    user is nobody although the token is good (contract 11).

    Raises:
        Refusal: with the known error of contract 3.4.
    """
    access = _access_type(header)
    project_id = header("project-id")
    if project_id is None:
        raise known_error("ACCESS_TYPE_WITHOUT_PROJECT_ID", request_type=access)
    token = header("access-token")
    verified = _verify(project, token) if token else None
    if verified:
        _check_token(verified, project_id, header)
    if project_id != project.id:
        raise known_error("CURRENT_PROJECT_NOT_FOUND", project_id=project_id)
    _check_key(project, access, header)
    branch = header("branch-id") or "main"
    if branch != "main":
        raise known_error("BRANCH_DOES_NOT_EXIST", branch_id=branch)
    if access not in allowed:
        names = [f"'{name}'" for name in allowed]
        words = {"allowed": ", ".join([*names[:-2], " or ".join(names[-2:])])}
        raise known_error(
            "INSUFFICIENT_ACCESS_TYPE", words, actual_access_type=access, allowed_access_types=list(allowed)
        )
    if verified is None:
        return Caller(access=access)
    user = project.users.get(str(verified.claims.get("sub")))
    return Caller(access=access, user=user, session_id=verified.claims.get("refresh_token_id"))


def _access_type(header: Callable[[str], str | None]) -> AccessType:
    given = header("access-type")
    if given is None:
        has_key = any(header(name) for name, _, _ in _KEYS.values())
        raise known_error("PROJECT_KEY_WITHOUT_ACCESS_TYPE" if has_key else "ACCESS_TYPE_REQUIRED")
    for access in _KEYS:
        if access == given:
            return access
    raise known_error("INVALID_ACCESS_TYPE", {"given": given})


def _verify(project: Project, token: str) -> Verified:
    try:
        return project.keys.verify(token, issuer_bases=project.issuer_bases, now=project.clock())
    except BadToken:
        raise known_error("UNPARSABLE_ACCESS_TOKEN") from None
    except ExpiredToken as error:
        raise _expired(error.claims) from None


def _expired(claims: Mapping[str, Any]) -> Refusal:
    ids = {name: claims.get(claim) for name, claim in (("user_id", "sub"), ("refresh_token_id", "refresh_token_id"))}
    return access_token_expired(int(claims["exp"] * 1000), ids={"project_id": claims["aud"].partition(":")[0]} | ids)


def _check_token(token: Verified, project_id: str, header: Callable[[str], str | None]) -> None:
    claims = token.claims
    reason = claims.get("restricted_reason")
    is_anonymous, is_restricted = token.kind == "anonymous", token.kind != "regular"
    if (
        claims.get("is_anonymous") is not is_anonymous
        or claims.get("is_restricted") is not is_restricted
        or not (isinstance(reason, dict) and "type" in reason if is_restricted else reason is None)
        or claims.get("branch_id") != "main"
    ):  # the backend throws when genuine claims contradict each other (contract section 2)
        raise Refusal(text_reply("Internal Server Error.", 500))
    if token.project_id != project_id:
        raise known_error(
            "INVALID_PROJECT_FOR_ACCESS_TOKEN",
            expected_project_id=project_id,
            actual_project_id=token.project_id,
        )
    allows_anonymous = header("allow-anonymous-user") == "true"
    allows_restricted = allows_anonymous or header("allow-restricted-user") == "true"
    if is_anonymous and not allows_anonymous:
        raise known_error("ANONYMOUS_AUTHENTICATION_NOT_ALLOWED")
    if is_restricted and not allows_restricted:
        raise known_error("RESTRICTED_USER_NOT_ALLOWED", restricted_reason=reason)


def _check_key(project: Project, access: AccessType, header: Callable[[str], str | None]) -> None:
    name, missing_code, wrong_code = _KEYS[access]
    given = header(name)
    if given is None:
        if missing_code:  # the publishable key is optional by default (contract 9.25)
            raise known_error(missing_code)
        return
    expected = {
        "client": project.publishable_client_key,
        "server": project.secret_server_key,
        "admin": project.super_secret_admin_key,
    }[access]
    if given != expected:
        raise known_error(wrong_code, project_id=project.id)
