"""`/auth/password`, `/auth/otp`, `/auth/anonymous` and `/auth/oauth/token` of the sandbox (contract 3.5, 4.8)."""

from __future__ import annotations

from . import _sign_in
from ._codes import CODE_LENGTH, find_code
from ._records import CodeKind
from ._routing import (
    ANYTHING,
    EMAIL,
    EVERYBODY,
    STRICT_EMAIL,
    STRING,
    URL,
    Call,
    Field,
    Route,
    exactly,
    one_of,
    required,
    text,
)
from ._wire import Reply, json_reply, known_error

__all__ = ["CODE_FIELDS", "ROUTES", "check_code_route"]

# What the SDK sends for a client secret where the project has no publishable key.
_PUBLIC_CLIENT = "__stack_public_client__"


def _sign_up(call: Call) -> Reply:
    signed_in = _sign_in.sign_up(
        call.project,
        call.body["email"],
        call.body["password"],
        callback_url=call.body.get("verification_callback_url"),
        caller=call.caller.user,
    )
    return _tokens(call, signed_in)


def _sign_in_with_password(call: Call) -> Reply:
    return _tokens(call, _sign_in.sign_in(call.project, call.body["email"], call.body["password"]))


def _sign_up_anonymously(call: Call) -> Reply:
    return _tokens(call, _sign_in.sign_up_anonymously(call.project))


def _send_sign_in_code(call: Call) -> Reply:
    nonce = _sign_in.send_sign_in_code(call.project, call.body["email"], call.body["callback_url"])
    return json_reply({"nonce": nonce})


def _sign_in_with_code(call: Call) -> Reply:
    signed_in = _sign_in.sign_in_with_code(call.project, call.body["code"], caller=call.caller.user)
    return _tokens(call, signed_in, is_new_user=signed_in.is_new_user)


def _tokens(call: Call, signed_in: _sign_in.SignedIn, **more: bool) -> Reply:
    tokens = {
        "access_token": call.project.mint(signed_in.user, signed_in.session.id),
        "refresh_token": signed_in.session.refresh_token,
        "user_id": signed_in.user.id,
    }
    return json_reply(tokens | more)


def check_code_route(kind: CodeKind, pattern: str) -> Route:
    """The endpoint below `pattern` that says whether a code is good, without using it up."""

    def check(call: Call) -> Reply:
        find_code(call.project, kind, call.body["code"])
        return json_reply({"is_code_valid": True})

    return Route(method="POST", pattern=f"{pattern}/check-code", handler=check, access=EVERYBODY, body=CODE_FIELDS)


def _update_password(call: Call) -> Reply:
    """Needs the old password; the session whose refresh token comes along goes on, all others end (contract 11)."""
    user = call.caller.require_signed_in()
    _sign_in.change_password(
        call.project, user, call.body["old_password"], call.body["new_password"], call.header("refresh-token")
    )
    return json_reply({"success": True})


def _set_password(call: Call) -> Reply:
    _sign_in.give_password(call.caller.require_signed_in(), call.body["password"])
    return json_reply({"success": True})


def _send_reset_code(call: Call) -> Reply:
    _sign_in.send_reset_code(call.project, call.body["email"], call.body["callback_url"])
    return json_reply({"success": "maybe, only if user with e-mail exists"})


def _reset_password(call: Call) -> Reply:
    _sign_in.reset_password(call.project, call.body["code"], call.body["password"])
    return json_reply({"success": True})


def _oauth_token(call: Call) -> Reply:
    """The SDK's way to refresh: a form, and a refusal that names its code, or else the SDK tries again for 20 s."""
    client_id, secret = call.body.get("client_id"), call.body.get("client_secret")
    if client_id != call.project.id or secret not in (None, _PUBLIC_CLIENT, call.project.publishable_client_key):
        raise known_error("INVALID_OAUTH_CLIENT_ID_OR_SECRET", client_id=None)
    if call.body["grant_type"] != "refresh_token":
        raise known_error("INVALID_AUTHORIZATION_CODE")
    session = call.project.find_session(str(call.body.get("refresh_token")))
    if session is None:
        raise known_error("REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
    session.last_used_at = call.project.now_millis()
    answer = {
        "access_token": call.project.mint(call.project.users[session.user_id], session.id),
        "token_type": "Bearer",
        "expires_in": 3600,  # so says the real server, although the token is good for 600 s
        "scope": "legacy",
        "afterCallbackRedirectUrl": None,
        "after_callback_redirect_url": None,
    }
    return json_reply(answer, headers={"cache-control": "no-store", "pragma": "no-cache"})


def _disabled(code: str, pattern: str) -> Route:
    """An endpoint of a way to sign in that a sandbox does not have: it refuses whatever is asked."""

    def refuse(call: Call) -> Reply:
        raise known_error(code)

    is_page = pattern.endswith("}")  # a browser is sent there, without headers
    return Route(
        method="GET" if is_page else "POST",
        pattern=pattern,
        handler=refuse,
        access=() if is_page else EVERYBODY,
        query=None,
    )


_PASSWORD = text(longest=70)
CODE_FIELDS = {"code": required(exactly(CODE_LENGTH))}
_SIGN_IN_EMAIL = required(EMAIL, text(longest=256), STRICT_EMAIL)
_BOT_CHALLENGE = {
    name: Field(ANYTHING) for name in ("bot_challenge_token", "bot_challenge_phase", "bot_challenge_unavailable")
}
_SIGN_UP_FIELDS = {
    "email": _SIGN_IN_EMAIL,
    "password": required(_PASSWORD),
    "verification_callback_url": Field(URL),
    **_BOT_CHALLENGE,
}
_SIGN_IN_FIELDS = {"email": required(EMAIL), "password": required(_PASSWORD)}
_SEND_CODE_FIELDS = {"email": _SIGN_IN_EMAIL, "callback_url": required(URL), **_BOT_CHALLENGE}
_SEND_RESET_FIELDS = {"email": required(EMAIL), "callback_url": required(URL)}
_UPDATE_FIELDS = {"old_password": required(_PASSWORD), "new_password": required(_PASSWORD)}
_TOKEN_FIELDS = {
    "grant_type": required(one_of("authorization_code", "refresh_token")),
    "client_id": Field(STRING),
    "client_secret": Field(STRING),
}

ROUTES = (
    Route(method="POST", pattern="/auth/password/sign-up", handler=_sign_up, access=EVERYBODY, body=_SIGN_UP_FIELDS),
    Route(
        method="POST",
        pattern="/auth/password/sign-in",
        handler=_sign_in_with_password,
        access=EVERYBODY,
        body=_SIGN_IN_FIELDS,
    ),
    Route(
        method="POST", pattern="/auth/password/update", handler=_update_password, access=EVERYBODY, body=_UPDATE_FIELDS
    ),
    Route(
        method="POST",
        pattern="/auth/password/set",
        handler=_set_password,
        access=EVERYBODY,
        body={"password": required(_PASSWORD)},
    ),
    Route(
        method="POST",
        pattern="/auth/password/send-reset-code",
        handler=_send_reset_code,
        access=EVERYBODY,
        body=_SEND_RESET_FIELDS,
    ),
    Route(
        method="POST",
        pattern="/auth/password/reset",
        handler=_reset_password,
        access=EVERYBODY,
        body=CODE_FIELDS | {"password": required(_PASSWORD)},
    ),
    check_code_route("password_reset", "/auth/password/reset"),
    Route(
        method="POST",
        pattern="/auth/otp/send-sign-in-code",
        handler=_send_sign_in_code,
        access=EVERYBODY,
        body=_SEND_CODE_FIELDS,
    ),
    Route(method="POST", pattern="/auth/otp/sign-in", handler=_sign_in_with_code, access=EVERYBODY, body=CODE_FIELDS),
    check_code_route("sign_in", "/auth/otp/sign-in"),
    Route(method="POST", pattern="/auth/anonymous/sign-up", handler=_sign_up_anonymously, access=EVERYBODY),
    Route(
        method="POST",
        pattern="/auth/oauth/token",
        handler=_oauth_token,
        access=(),
        body=_TOKEN_FIELDS,
        any_fields=True,
    ),
    _disabled("OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED", "/auth/oauth/authorize/{provider_id}"),
    _disabled("VERIFICATION_CODE_NOT_FOUND", "/auth/mfa/sign-in"),
    _disabled("PASSKEY_AUTHENTICATION_NOT_ENABLED", "/auth/passkey/initiate-passkey-registration"),
    _disabled("PASSKEY_AUTHENTICATION_NOT_ENABLED", "/auth/passkey/initiate-passkey-authentication"),
    _disabled("PASSKEY_AUTHENTICATION_NOT_ENABLED", "/auth/passkey/register"),
    _disabled("PASSKEY_AUTHENTICATION_NOT_ENABLED", "/auth/passkey/sign-in"),
)
