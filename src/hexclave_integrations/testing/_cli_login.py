"""`/auth/cli` of the sandbox: a command line that a browser signs in (contract 4.8)."""

from __future__ import annotations

from ._project import Project
from ._records import CliLogin
from ._routing import EVERYBODY, STRING, Call, Field, Route, integer, one_of, required
from ._wire import Refusal, Reply, iso_time, json_reply, known_error, random_text, text_reply

__all__ = ["ROUTES"]

_HOUR_MILLIS = 3_600_000


def _begin(call: Call) -> Reply:
    anonymous = call.body.get("anon_refresh_token")
    if anonymous is not None:
        session = call.project.find_session(anonymous)
        if session is None:
            raise Refusal(text_reply("Invalid anon refresh token", 400))
        if not call.project.users[session.user_id].is_anonymous:
            raise Refusal(text_reply("The provided refresh token does not belong to an anonymous user", 400))
    login = CliLogin(
        polling_code=random_text(45),
        login_code=random_text(45),
        expires_at=call.project.now_millis() + int(call.body.get("expires_in_millis", 2 * _HOUR_MILLIS)),
        anon_refresh_token=anonymous,
    )
    call.project.cli_logins.append(login)
    answer = {"polling_code": login.polling_code, "login_code": login.login_code}
    return json_reply(answer | {"expires_at": iso_time(login.expires_at)})


def _poll(call: Call) -> Reply:
    """Where the login stands; the refresh token is told once."""
    code = call.body["polling_code"]
    login = next((login for login in call.project.cli_logins if login.polling_code == code), None)
    if login is None:
        raise known_error("INVALID_POLLING_CODE")
    if _is_over(call.project, login):
        return json_reply({"status": "expired"})
    if login.used:
        return json_reply({"status": "used"})
    if login.refresh_token is None:
        return json_reply({"status": "waiting"})
    login.used = True
    return json_reply({"status": "success", "refresh_token": login.refresh_token}, 201)


def _complete(call: Call) -> Reply:
    """What the page that confirms a login asks: `check` looks, `complete` gives the browser's session to it."""
    login = _pending(call.project, call.body["login_code"])
    mode = call.body.get("mode", "complete")
    if mode == "check":
        is_anonymous = _anonymous_refresh_token(call.project, login) is not None
        return json_reply({"cli_session_state": "anonymous" if is_anonymous else "none"})
    if mode == "claim-anon-session":
        return _claim(call.project, login)
    refresh_token = call.body.get("refresh_token")
    if not refresh_token:
        raise Refusal(text_reply("refresh_token is required when mode is 'complete'", 400))
    session = call.project.find_session(refresh_token)
    if session is None:
        raise Refusal(text_reply("Invalid refresh token", 400))
    reason = call.project.users[session.user_id].restricted_reason
    if reason is not None:
        raise known_error("RESTRICTED_USER_NOT_ALLOWED", restricted_reason=reason)
    login.refresh_token, login.anon_refresh_token = refresh_token, None
    return json_reply({"success": True})


def _claim(project: Project, login: CliLogin) -> Reply:
    """Hand the command line's anonymous session to the browser, once, so that it can be upgraded there."""
    refresh_token = _anonymous_refresh_token(project, login)
    session = project.find_session(refresh_token) if refresh_token else None
    if session is None:
        raise Refusal(text_reply("No anonymous session associated with this code", 400))
    login.anon_refresh_token = None
    token = project.mint(project.users[session.user_id], session.id)
    return json_reply({"access_token": token, "refresh_token": refresh_token})


def _pending(project: Project, login_code: str) -> CliLogin:
    for login in project.cli_logins:
        if login.login_code == login_code and login.refresh_token is None and not _is_over(project, login):
            return login
    raise Refusal(text_reply("Invalid login code or the code has expired", 400))


def _anonymous_refresh_token(project: Project, login: CliLogin) -> str | None:
    session = project.find_session(login.anon_refresh_token) if login.anon_refresh_token else None
    return login.anon_refresh_token if session and project.users[session.user_id].is_anonymous else None


def _is_over(project: Project, login: CliLogin) -> bool:
    return login.expires_at <= project.now_millis()


_BEGIN_FIELDS = {"expires_in_millis": Field(integer(most=24 * _HOUR_MILLIS)), "anon_refresh_token": Field(STRING)}
_COMPLETE_FIELDS = {
    "login_code": required(STRING),
    "mode": Field(one_of("check", "claim-anon-session", "complete")),
    "refresh_token": Field(STRING),
}
_POLL_FIELDS = {"polling_code": required(STRING)}
ROUTES = (
    Route(method="POST", pattern="/auth/cli", handler=_begin, access=EVERYBODY, body=_BEGIN_FIELDS, body_optional=True),
    Route(method="POST", pattern="/auth/cli/poll", handler=_poll, access=EVERYBODY, body=_POLL_FIELDS),
    Route(method="POST", pattern="/auth/cli/complete", handler=_complete, access=EVERYBODY, body=_COMPLETE_FIELDS),
)
