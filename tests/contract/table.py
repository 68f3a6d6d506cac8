"""The rows: who asks for what, and the answer that every framework owes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from hexclave_integrations.testing import Sandbox

BEARER = 'Bearer realm="hexclave"'
INVALID = f'{BEARER}, error="invalid_token"'
INSUFFICIENT = f'{BEARER}, error="insufficient_user_authentication"'
VARY = "X-Stack-Access-Token, X-Hexclave-Access-Token, Authorization, X-Stack-Auth, X-Api-Key"


class World:
    """A sandbox with the people the rows speak of."""

    def __init__(self) -> None:
        self.sandbox = Sandbox()
        self.alice = self.sandbox.create_user(display_name="Alice")
        self.bob = self.sandbox.create_user(display_name="Bob")
        self.restricted = self.sandbox.create_user("restricted")
        self.anonymous = self.sandbox.create_user("anonymous")
        self.team = self.sandbox.create_team()
        self.sandbox.add_member(self.team, self.alice)
        self.sandbox.grant(self.alice, "export_reports", team=self.team)
        self.sandbox.grant(self.alice, "access_admin_dashboard")
        self.sandbox.define_item("credits")
        self.sandbox.define_item("seats", customer_type="team")
        self.sandbox.define_product("pro")
        self.sandbox.define_product("team-pro", customer_type="team")

    def claims(self, user: Any) -> dict[str, Any]:
        return jwt.decode(self.sandbox.token(user), options={"verify_signature": False})

    def forged(self, user: Any, *, key: Any = None, algorithm: str = "ES256", **header: Any) -> str:
        """A token with right claims, the right key id unless told otherwise, and the forger's own signature."""
        kid = jwt.get_unverified_header(self.sandbox.token(user))["kid"]
        signing_key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
        return jwt.encode(self.claims(user), signing_key, algorithm=algorithm, headers={"kid": kid, **header})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a framework answered, as far as the contract speaks of it."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


def read_answer(status: int, headers: Any, body: bytes) -> Answer:
    """Keep the headers the contract speaks of, by lower-case name."""
    lowered = {name.lower(): value for name, value in dict(headers).items()}
    spoken_of = ("cache-control", "vary", "www-authenticate", "retry-after", "content-type")
    # Frameworks may add a charset to what a view returned, and what else they vary on.
    kept = {name: lowered[name].partition(";")[0].removeprefix("Accept, ") for name in spoken_of if name in lowered}
    return Answer(status=status, body=json.loads(body) if body else None, headers=kept)


def let_in(body: Any, *, private: bool = True) -> Answer:
    headers = {"content-type": "application/json"}
    if private:
        headers |= {"cache-control": "private, no-store", "vary": VARY}
    return Answer(status=200, body=body, headers=headers)


def refused(
    status: int,
    code: str,
    error: str,
    *,
    challenge: str | None = None,
    details: Any = None,
    retry_after: int | None = None,
) -> Answer:
    headers = {"content-type": "application/json", "cache-control": "private, no-store", "vary": VARY}
    if challenge is not None:
        headers["www-authenticate"] = challenge
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    body = {"code": code, "error": error} | ({} if details is None else {"details": details})
    return Answer(status=status, body=body, headers=headers)


Ask = Callable[[str, dict[str, str]], Answer]
"""`ask(path, headers)`: send a GET to the application of a column and return its answer."""


NOBODY = refused(
    401,
    "USER_AUTHENTICATION_REQUIRED",
    "User authentication is required for this endpoint.",
    challenge=BEARER,
)
BAD_TOKEN = refused(401, "UNPARSABLE_ACCESS_TOKEN", "The access token is not valid.", challenge=INVALID)
EXPIRED = refused(
    401, "ACCESS_TOKEN_EXPIRED", "The access token has expired. Refresh it and try again.", challenge=INVALID
)
WRONG_PROJECT = refused(
    401,
    "INVALID_PROJECT_FOR_ACCESS_TOKEN",
    "The access token was issued for another project.",
    challenge=INVALID,
)
ANONYMOUS = refused(
    401,
    "ANONYMOUS_AUTHENTICATION_NOT_ALLOWED",
    "Anonymous users are not allowed here. Sign in with an account.",
    challenge=INSUFFICIENT,
)
ENDED = refused(401, "USER_AUTHENTICATION_REQUIRED", "The session has ended. Sign in again.", challenge=INVALID)


def restricted(reason: str = "email_not_verified") -> Answer:
    return refused(
        403,
        "RESTRICTED_USER_NOT_ALLOWED",
        "Restricted users are not allowed here.",
        details={"restricted_reason": {"type": reason}},
    )


NO_TEAM_PERMISSION = refused(
    403,
    "TEAM_PERMISSION_REQUIRED",
    "A team permission is required that the user does not have.",
    details={"permission_id": "export_reports"},
)
NO_PROJECT_PERMISSION = refused(
    403,
    "PROJECT_PERMISSION_REQUIRED",
    "A project permission is required that the user does not have.",
    details={"permission_id": "access_admin_dashboard"},
)
ANOTHER_SITE = refused(
    403,
    "CSRF_CHECK_FAILED",
    "The CSRF check failed: the request may come from another site. Send the token in a header.",
)
NO_MEMBER = refused(403, "TEAM_MEMBERSHIP_REQUIRED", "Membership of the team is required.")
NO_KEY = refused(401, "API_KEY_NOT_FOUND", "The API key is not valid.", challenge=BEARER)
KEY_REVOKED = refused(401, "API_KEY_REVOKED", "The API key has been revoked.", challenge=BEARER)
KEY_EXPIRED = refused(401, "API_KEY_EXPIRED", "The API key has expired.", challenge=BEARER)
WRONG_KEY_TYPE = refused(401, "WRONG_API_KEY_TYPE", "An API key of this type is not accepted here.", challenge=BEARER)


def unavailable(retry_after: int = 1) -> Answer:
    return refused(
        503,
        "HEXCLAVE_UNAVAILABLE",
        "Authentication cannot be checked right now. Try again shortly.",
        retry_after=retry_after,
    )


@dataclass(frozen=True)
class Row:
    """A name, and a generator of `(path, headers, expected)`; it may change the world between its steps."""

    name: str
    steps: Callable[[World], Iterator[tuple[str, dict[str, str], Answer]]]
    starts_in_outage: bool = False
    accepts_cookies: bool = False


ROWS: list[Row] = []


def row(function: Callable[[World], Iterator[tuple[str, dict[str, str], Answer]]]) -> Any:
    name = function.__name__
    ROWS.append(Row(name, function, name.endswith("_cold"), name.endswith("_accepting_cookies")))
    return function


def token(text: str) -> dict[str, str]:
    return {"x-stack-access-token": text}


def me(user: Any, kind: str = "regular") -> Answer:
    return let_in({"id": user.id, "kind": kind})


Steps = Iterator[tuple[str, dict[str, str], Answer]]


@row
def public_route(w: World) -> Steps:
    yield "/public", {}, let_in({"public": True}, private=False)


@row
def public_route_answers_a_bad_token_as_none(w: World) -> Steps:
    yield "/public", token("garbage"), Answer(status=200, body={"public": True})


@row
def nobody(w: World) -> Steps:
    yield "/me", {}, NOBODY
    yield "/restricted", {}, NOBODY
    yield "/anyone", {}, NOBODY
    yield "/live", {}, NOBODY
    yield f"/teams/{w.team.id}/member", {}, NOBODY
    yield f"/teams/{w.team.id}/export", {}, NOBODY
    yield "/project", {}, NOBODY
    yield "/key", {}, NOBODY
    yield "/either", {}, NOBODY


@row
def other_authorization_schemes_are_nobody(w: World) -> Steps:
    for value in ("Basic dXNlcjpwYXNz", "Bearer", "Digest username=x", "StackSession abc"):
        yield "/me", {"authorization": value}, NOBODY


@row
def regular_user(w: World) -> Steps:
    for path in ("/me", "/restricted", "/anyone", "/live", "/either"):
        yield path, w.sandbox.headers(w.alice), me(w.alice)


@row
def every_header_form(w: World) -> Steps:
    text = w.sandbox.token(w.alice)
    pair = json.dumps({"accessToken": text, "refreshToken": "r"}, separators=(",", ":"))
    envelope = base64.b64encode(pair.encode()).decode()
    for headers in (
        {"x-stack-access-token": text},
        {"x-hexclave-access-token": text},
        {"authorization": f"Bearer stackauth_{envelope}"},
        {"authorization": f"Bearer hexclave_{envelope}"},
        {"x-stack-auth": pair},
        {"authorization": f"Bearer {text}"},
        {"authorization": f"bearer   {text}"},
    ):
        yield "/me", headers, me(w.alice)


@row
def malformed_envelopes_are_bad_tokens(w: World) -> Steps:
    for headers in (
        {"authorization": "Bearer stackauth_"},
        {"authorization": "Bearer stackauth_%%%"},
        {"authorization": "Bearer hexclave_bm90IGpzb24="},
        {"authorization": "Bearer hexclave_W10="},
        {"authorization": "Bearer hexclave_eyJhY2Nlc3NUb2tlbiI6MX0="},
        {"x-stack-auth": "null"},
        {"x-stack-auth": "{"},
    ):
        yield "/me", headers, BAD_TOKEN
        yield "/optional", headers, BAD_TOKEN


@row
def signed_out_envelope_is_nobody(w: World) -> Steps:
    yield "/me", {"x-stack-auth": '{"accessToken":null,"refreshToken":null}'}, NOBODY
    yield "/optional", {"x-stack-auth": '{"accessToken":null,"refreshToken":null}'}, let_in({"id": None})


@row
def the_text_of_a_missing_token_is_nobody(w: World) -> Steps:
    for text in ("null", "undefined", "", "null,null", "undefined,undefined"):
        for headers in (
            {"x-stack-access-token": text},
            {"x-hexclave-access-token": text},
            {"authorization": f"Bearer {text}".strip()},
            {"x-api-key": text},
            {"x-stack-access-token": text, "x-hexclave-access-token": text, "authorization": "bearer null"},
        ):
            if "," in text and "authorization" in headers:
                continue
            yield "/me", headers, NOBODY
            yield "/optional", headers, let_in({"id": None})
            yield "/key", headers, NOBODY
            yield "/either", headers, NOBODY


@row
def a_source_after_a_missing_token_counts(w: World) -> Steps:
    text, garbage = w.sandbox.token(w.alice), "garbage"
    pair = json.dumps({"accessToken": text, "refreshToken": None})
    key = w.sandbox.create_api_key(user=w.alice)
    for missing in ("null", "undefined", ""):
        before = {"x-stack-access-token": missing}
        yield "/me", {**before, "x-hexclave-access-token": text}, me(w.alice)
        yield "/me", {**before, "authorization": f"Bearer {text}"}, me(w.alice)
        yield "/me", {**before, "authorization": "Bearer undefined", "x-stack-auth": pair}, me(w.alice)
        yield "/optional", {**before, "x-hexclave-access-token": garbage}, BAD_TOKEN
        yield "/optional", {**before, "authorization": f"Bearer {garbage}"}, BAD_TOKEN
        yield "/optional", {"x-stack-access-token": f"{missing or 'null'},{text}"}, BAD_TOKEN
        yield "/key", {"x-api-key": missing, "authorization": f"Bearer {key.value}"}, let_in({"id": key.id})
        yield "/either", {**before, "x-api-key": key.value}, me(w.alice)
    for said, expected in ((None, NOBODY), ("", NOBODY), ("null", BAD_TOKEN), ("undefined", BAD_TOKEN)):
        yield "/me", {"x-stack-auth": json.dumps({"accessToken": said, "refreshToken": None})}, expected


def _signed_elsewhere(claims: dict[str, Any], algorithm: str = "HS256", **header: Any) -> str:
    key: Any = "0123456789abcdef" * 4 if algorithm == "HS256" else ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(claims, key, algorithm=algorithm, headers=header)


@row
def a_bearer_token_of_another_issuer_is_nobody_where_a_user_is_optional(w: World) -> Steps:
    simplejwt = {"token_type": "access", "exp": 4102444800, "iat": 1, "jti": "a", "user_id": 7}
    elsewhere = {"iss": "https://auth.shop.example", "aud": ["api", "shop"], "sub": w.alice.id}
    a_uuid = "11111111-1111-4111-8111-111111111111"
    for text, refusal in (
        (_signed_elsewhere(simplejwt), BAD_TOKEN),
        (_signed_elsewhere(simplejwt | {"iss": "shop", "aud": "shop"}), BAD_TOKEN),
        (_signed_elsewhere(elsewhere), BAD_TOKEN),
        (_signed_elsewhere(elsewhere, "ES256", kid="theirs"), BAD_TOKEN),
        (_signed_elsewhere(elsewhere | {"aud": a_uuid}, "ES256", kid="theirs"), WRONG_PROJECT),
    ):
        yield "/optional", {"authorization": f"Bearer {text}"}, let_in({"id": None})
        for path in ("/me", "/anyone", "/live", "/either", f"/teams/{w.team.id}/export"):
            yield path, {"authorization": f"Bearer {text}"}, refusal
        # Only where it stands for any issuer's token: these forms are Hexclave's own.
        pair = json.dumps({"accessToken": text, "refreshToken": None})
        yield "/optional", token(text), refusal
        yield "/optional", {"x-hexclave-access-token": text}, refusal
        yield "/optional", {"x-stack-auth": pair}, refusal
        yield "/optional", {"authorization": f"Bearer {text}", "x-stack-access-token": "garbage"}, BAD_TOKEN


@row
def a_bearer_token_that_names_us_is_ours(w: World) -> Steps:
    project = w.sandbox.config.project_id
    elsewhere: dict[str, Any] = {"iss": "https://auth.shop.example", "aud": "shop"}
    for claims in (
        w.claims(w.alice),
        elsewhere | {"iss": w.claims(w.alice)["iss"]},
        elsewhere | {"iss": w.claims(w.alice)["iss"].upper()},
        elsewhere | {"iss": w.sandbox.config.api_url},
        elsewhere | {"iss": "api.hexclave.com"},
        elsewhere | {"iss": "https://api.stack-auth.com/api/v1/projects/x"},
        elsewhere | {"aud": project},
        elsewhere | {"aud": f"{project}:anon"},
        elsewhere | {"aud": ["shop", project.upper()]},
        elsewhere | {"aud": project[:18]},
        elsewhere | {"aud": {"name": "shop"}},
        elsewhere | {"aud": []} | {"iss": None},
        elsewhere | {"iss": ["https://auth.shop.example"]},
        elsewhere | {"iss": ""},
        elsewhere | {"project_id": "other"},
        elsewhere | {"refresh_token_id": "other"},
    ):
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        text = ".".join([_signed_elsewhere({}).split(".")[0], payload, "A" * 43])
        yield "/optional", {"authorization": f"Bearer {text}"}, BAD_TOKEN
        yield "/me", {"authorization": f"Bearer {text}"}, BAD_TOKEN
    other = Sandbox()
    theirs = other.token(other.create_user())
    yield "/optional", {"authorization": f"Bearer {theirs}"}, WRONG_PROJECT
    unsigned = jwt.encode(elsewhere, "", algorithm="none")
    for text in (unsigned, unsigned + "A" * 43, "garbage", "a.b.c", f"{theirs}.{theirs}"):
        yield "/optional", {"authorization": f"Bearer {text}"}, BAD_TOKEN
    expired = w.sandbox.token(w.alice, expires_in=-60)
    yield "/optional", {"authorization": f"Bearer {expired}"}, EXPIRED


@row
def garbage(w: World) -> Steps:
    for text in ("garbage", "a.b.c", "..", "....", "eyJhbGciOiJub25lIn0.e30.", "Null", "null.", "a,b"):
        yield "/me", token(text), BAD_TOKEN


@row
def forgeries(w: World) -> Steps:
    yield "/me", token(w.forged(w.alice)), BAD_TOKEN
    yield "/me", token(w.forged(w.alice, kid="unknown-key-")), BAD_TOKEN
    yield "/me", token(w.forged(w.alice, key="", algorithm="none")), BAD_TOKEN
    secret = "0123456789abcdef" * 4
    yield "/me", token(w.forged(w.alice, key=secret, algorithm="HS256")), BAD_TOKEN
    head, payload, signature = w.sandbox.token(w.alice).split(".")
    other = w.sandbox.token(w.bob).split(".")[1]
    yield "/me", token(f"{head}.{other}.{signature}"), BAD_TOKEN
    yield "/me", token(f"{head}.{payload}.{signature[:-4]}AAAA"), BAD_TOKEN
    yield "/optional", token(w.forged(w.alice)), BAD_TOKEN


@row
def genuine_signature_over_wrong_claims(w: World) -> Steps:
    for claims in (
        {"iss": "https://evil.example/api/v1/projects/" + w.sandbox.config.project_id},
        {"aud": w.sandbox.config.project_id + ":anon"},
        {"is_anonymous": True},
        {"is_restricted": True},
        {"restricted_reason": {"type": "email_not_verified"}},
        {"branch_id": "dev"},
        {"project_id": "11111111-1111-4111-8111-111111111111"},
        {"sub": "me"},
        {"role": "service_role"},
    ):
        yield "/me", token(w.sandbox.token(w.alice, claims=claims)), BAD_TOKEN


@row
def expired(w: World) -> Steps:
    yield "/me", token(w.sandbox.token(w.alice, expires_in=-60)), EXPIRED
    yield "/optional", token(w.sandbox.token(w.alice, expires_in=-60)), EXPIRED


@row
def another_project(w: World) -> Steps:
    other = Sandbox()
    yield "/me", other.headers(other.create_user()), WRONG_PROJECT


@row
def anonymous_user(w: World) -> Steps:
    headers = w.sandbox.headers(w.anonymous)
    yield "/me", headers, ANONYMOUS
    yield "/restricted", headers, ANONYMOUS
    yield "/live", headers, ANONYMOUS
    yield f"/teams/{w.team.id}/export", headers, ANONYMOUS
    yield "/anyone", headers, me(w.anonymous, "anonymous")
    yield "/optional", headers, let_in({"id": w.anonymous.id})


@row
def restricted_user(w: World) -> Steps:
    headers = w.sandbox.headers(w.restricted)
    yield "/me", headers, restricted()
    yield "/live", headers, restricted()
    yield f"/teams/{w.team.id}/member", headers, restricted()
    yield "/restricted", headers, me(w.restricted, "restricted")
    yield "/anyone", headers, me(w.restricted, "restricted")


@row
def optional(w: World) -> Steps:
    yield "/optional", {}, let_in({"id": None})
    yield "/optional", w.sandbox.headers(w.alice), let_in({"id": w.alice.id})


@row
def keys_down_cold(w: World) -> Steps:
    yield "/public", {}, let_in({"public": True}, private=False)
    yield "/me", {}, NOBODY
    yield "/me", token("garbage"), BAD_TOKEN
    yield "/me", w.sandbox.headers(w.alice), unavailable(30)
    yield "/optional", w.sandbox.headers(w.alice), unavailable(30)


@row
def keys_down_warm(w: World) -> Steps:
    yield "/me", w.sandbox.headers(w.alice), me(w.alice)
    with w.sandbox.outage():
        yield "/me", w.sandbox.headers(w.alice), me(w.alice)
        yield "/me", w.sandbox.headers(w.bob), me(w.bob)
        yield "/me", token(w.forged(w.alice, kid="unknown-key-")), unavailable(30)


@row
def rotated_keys(w: World) -> Steps:
    old = w.sandbox.headers(w.alice)
    yield "/me", old, me(w.alice)
    w.sandbox.rotate_keys()
    yield "/me", w.sandbox.headers(w.bob), me(w.bob)
    yield "/me", old, BAD_TOKEN


@row
def team_permission(w: World) -> Steps:
    export = f"/teams/{w.team.id}/export"
    yield export, w.sandbox.headers(w.alice), me(w.alice)
    yield export, w.sandbox.headers(w.bob), NO_TEAM_PERMISSION
    yield f"/teams/{w.team.id.upper()}/export", w.sandbox.headers(w.alice), me(w.alice)
    yield "/teams/11111111-1111-4111-8111-111111111111/export", w.sandbox.headers(w.alice), NO_TEAM_PERMISSION


@row
def a_team_that_is_no_uuid_is_refused_without_a_call(w: World) -> Steps:
    yield "/me", w.sandbox.headers(w.alice), me(w.alice)
    with w.sandbox.outage():
        yield "/teams/nope/export", w.sandbox.headers(w.alice), NO_TEAM_PERMISSION
        yield "/teams/nope/member", w.sandbox.headers(w.alice), NO_MEMBER


@row
def nested_team_permission(w: World) -> Steps:
    w.sandbox.define_permission("accountant", contains=["export_reports"])
    w.sandbox.add_member(w.team, w.bob)
    w.sandbox.grant(w.bob, "accountant", team=w.team)
    yield f"/teams/{w.team.id}/export", w.sandbox.headers(w.bob), me(w.bob)


@row
def selected_team(w: World) -> Steps:
    yield "/selected/export", w.sandbox.headers(w.alice), NO_TEAM_PERMISSION
    w.sandbox.select_team(w.alice, w.team)
    yield "/selected/export", w.sandbox.headers(w.alice), me(w.alice)


@row
def selecting_a_team_is_no_permission(w: World) -> Steps:
    claims = {"selected_team_id": w.team.id}
    yield "/selected/export", token(w.sandbox.token(w.bob, claims=claims)), NO_TEAM_PERMISSION


@row
def project_permission(w: World) -> Steps:
    yield "/project", w.sandbox.headers(w.alice), me(w.alice)
    yield "/project", w.sandbox.headers(w.bob), NO_PROJECT_PERMISSION


@row
def team_membership(w: World) -> Steps:
    yield f"/teams/{w.team.id}/member", w.sandbox.headers(w.alice), me(w.alice)
    yield f"/teams/{w.team.id}/member", w.sandbox.headers(w.bob), NO_MEMBER


@row
def permissions_cannot_be_checked(w: World) -> Steps:
    yield "/me", w.sandbox.headers(w.alice), me(w.alice)
    for kind in ("refused", "error", "garbage"):
        with w.sandbox.outage(kind):
            team = w.sandbox.create_team()
            yield f"/teams/{team.id}/export", w.sandbox.headers(w.alice), unavailable()
            yield f"/teams/{team.id}/member", w.sandbox.headers(w.alice), unavailable()
            yield "/live", w.sandbox.headers(w.alice), unavailable()


@row
def rate_limit_is_honoured(w: World) -> Steps:
    yield "/me", w.sandbox.headers(w.alice), me(w.alice)
    with w.sandbox.outage("rate_limit", retry_after=7):
        yield "/project", w.sandbox.headers(w.alice), unavailable(7)
    asked = len(w.sandbox.requests)
    yield f"/teams/{w.team.id}/member", w.sandbox.headers(w.alice), unavailable(7)
    assert asked == len(w.sandbox.requests)


@row
def known_permissions_survive_an_outage(w: World) -> Steps:
    export = f"/teams/{w.team.id}/export"
    yield export, w.sandbox.headers(w.alice), me(w.alice)
    yield export, w.sandbox.headers(w.bob), NO_TEAM_PERMISSION
    with w.sandbox.outage():
        yield export, w.sandbox.headers(w.alice), me(w.alice)
        yield export, w.sandbox.headers(w.bob), NO_TEAM_PERMISSION


@row
def live_notices_sign_out(w: World) -> Steps:
    headers = w.sandbox.headers(w.alice)
    yield "/live", headers, me(w.alice)
    w.sandbox.sign_out(w.alice)
    yield "/me", headers, me(w.alice)
    yield "/live", headers, ENDED


@row
def live_notices_deletion(w: World) -> Steps:
    headers = w.sandbox.headers(w.alice)
    w.sandbox.delete_user(w.alice)
    yield "/me", headers, me(w.alice)
    yield "/live", headers, ENDED


@row
def live_notices_a_new_restriction(w: World) -> Steps:
    headers = w.sandbox.headers(w.alice)
    w.sandbox.restrict(w.alice)
    yield "/me", headers, me(w.alice)
    yield "/live", headers, restricted("restricted_by_administrator")


@row
def api_key(w: World) -> Steps:
    user_key = w.sandbox.create_api_key(user=w.alice)
    team_key = w.sandbox.create_api_key(team=w.team)
    yield "/key", {"x-api-key": user_key.value}, let_in({"id": user_key.id})
    yield "/key", {"authorization": f"Bearer {user_key.value}"}, let_in({"id": user_key.id})
    yield "/key", {"x-api-key": team_key.value}, let_in({"id": team_key.id})
    yield "/either", {"x-api-key": user_key.value}, me(w.alice)
    yield "/either", {"authorization": f"Bearer {user_key.value}"}, me(w.alice)
    yield "/either", {"x-api-key": team_key.value}, WRONG_KEY_TYPE
    yield "/me", {"x-api-key": user_key.value}, NOBODY
    yield "/me", {"authorization": f"Bearer {user_key.value}"}, BAD_TOKEN


@row
def bad_api_keys(w: World) -> Steps:
    key = w.sandbox.create_api_key(user=w.alice)
    expired_key = w.sandbox.create_api_key(user=w.alice, expires_in=-1)
    asked = len(w.sandbox.requests)
    for text in ("garbage", key.value[:-1] + "0", key.value + "0", key.value.replace("user", "team")):
        if text != key.value:
            yield "/key", {"x-api-key": text}, NO_KEY
    assert asked == len(w.sandbox.requests), "malformed keys are refused without a call"
    yield "/key", {"x-api-key": expired_key.value}, KEY_EXPIRED
    w.sandbox.revoke_api_key(key)
    yield "/key", {"x-api-key": key.value}, KEY_REVOKED
    yield "/key", w.sandbox.headers(w.alice), NOBODY


@row
def api_key_of_another_project(w: World) -> Steps:
    other = Sandbox()
    yield "/key", {"x-api-key": other.create_api_key(user=other.create_user()).value}, NO_KEY


@row
def api_key_of_a_restricted_or_deleted_owner(w: World) -> Steps:
    key = w.sandbox.create_api_key(user=w.restricted)
    yield "/key", {"x-api-key": key.value}, restricted()
    yield "/either", {"x-api-key": key.value}, restricted()
    gone = w.sandbox.create_api_key(user=w.bob)
    w.sandbox.delete_user(w.bob)
    yield "/key", {"x-api-key": gone.value}, NO_KEY


@row
def api_keys_cannot_be_checked(w: World) -> Steps:
    key = w.sandbox.create_api_key(user=w.alice)
    unseen = w.sandbox.create_api_key(user=w.bob)
    yield "/key", {"x-api-key": key.value}, let_in({"id": key.id})
    with w.sandbox.outage():
        yield "/key", {"x-api-key": key.value}, let_in({"id": key.id})
        yield "/key", {"x-api-key": unseen.value}, unavailable()
