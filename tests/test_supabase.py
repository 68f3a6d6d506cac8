"""`SupabaseSigner` seen alone: what it writes into a token, whom and what it refuses, and what it never tells."""

from __future__ import annotations

import base64
import copy
import dataclasses
import enum
import hashlib
import hmac
import json
import os
import pickle
import time
import timeit
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, Literal

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization import PublicFormat as Public
from fastapi.encoders import jsonable_encoder
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.authentication import UnauthenticatedUser
from werkzeug.local import LocalProxy

from hexclave_integrations import ConfigurationError, HexclaveClient, HexclaveUser
from hexclave_integrations.errors import (
    AnonymousNotAllowed,
    NotAuthenticated,
    RequestRefused,
    RestrictedNotAllowed,
    TokenExpired,
)
from hexclave_integrations.requirements import require_user
from hexclave_integrations.supabase import MAX_EXPIRES_IN, ClaimsRefused, SupabaseSigner, SupabaseToken
from hexclave_integrations.supabase._signer import _extra
from hexclave_integrations.testing import Sandbox

from ._minting import PROJECT, USER, decode, encode

SECRET = "jI4uWv0O5fCYgdq2Vp1zHn8sKtXb7LmR"
KID = "3a18cfe2-7226-43b0-bbb4-7c5242f2406e"
NOW = 1767225600

# The example of Supabase's page on signing keys, and the same key with all that `supabase gen signing-key` writes.
DOCUMENTED = {
    "kty": "EC",
    "kid": KID,
    "d": "RDbwqThwtGP4WnvACvO_0nL0oMMSmMFSYMPosprlAog",
    "crv": "P-256",
    "x": "gyLVvp9dyEgylYH7nR2E2qdQ_-9Pv5i1tk7c2qZD4Nk",
    "y": "CD9RfYOTyjR5U-PC9UDlsthRpc7vAQQQ2FTt8UsX0fY",
}
GENERATED = {**DOCUMENTED, "use": "sig", "key_ops": ["sign", "verify"], "alg": "ES256", "ext": True}

Format = Literal["pkcs8", "traditional", "jwk", "jwk text", "jwk bytes"]
FORMATS: tuple[Format, ...] = ("pkcs8", "traditional", "jwk", "jwk text", "jwk bytes")
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def key_of(algorithm: str) -> PrivateKey:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048)


def pem(key: Any, format: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return str(key.private_bytes(Encoding.PEM, format, NoEncryption()).decode())


def jwk(key: PrivateKey, **changes: Any) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        return RSAAlgorithm.to_jwk(key, as_dict=True) | {"kid": KID} | changes
    return ECAlgorithm.to_jwk(key, as_dict=True) | {"kid": KID} | changes


def written(key: PrivateKey, format: Format) -> Any:
    if format == "pkcs8":
        return pem(key)
    if format == "traditional":  # SEC 1 or PKCS #1
        return pem(key, PrivateFormat.TraditionalOpenSSL).encode()
    return {"jwk": jwk(key), "jwk text": json.dumps(jwk(key), indent=2), "jwk bytes": json.dumps(jwk(key)).encode()}[
        format
    ]


def user(kind: Any = "regular", **changes: Any) -> HexclaveUser:
    reasons = {"restricted": "email_not_verified", "anonymous": "anonymous"}
    fields = {"id": USER, "kind": kind, "project_id": PROJECT, "restricted_reason": reasons.get(kind)}
    return HexclaveUser(**fields | changes)


def signer(key: Any = SECRET, **options: Any) -> SupabaseSigner:
    return SupabaseSigner(key, **{"clock": lambda: NOW + 0.75, **options})


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, payload, _ = token.split(".")
    return json.loads(decode(head)), json.loads(decode(payload))


def payload_of(token: str) -> dict[str, Any]:
    return parts(token)[1]


def shown(error: BaseException) -> str:
    """All that a log shows of an error, and of whatever it was raised in the middle of."""
    text = ""
    pending: BaseException | None = error
    while pending is not None:
        text += "".join(traceback.format_exception(pending)) + repr(vars(pending)) + repr(pending.args)
        pending = pending.__context__
    return text


# --- the token ------------------------------------------------------------------------------------------------


def test_legacy_token_says_exactly_who_until_when() -> None:
    """The payload of a legacy token is subject, role and times, and its header the algorithm."""
    head, payload = parts(signer().token_for(user()))

    assert payload == {"sub": USER, "role": "authenticated", "iat": NOW, "exp": NOW + 3600}
    assert head == {"alg": "HS256", "typ": "JWT"}


@pytest.mark.parametrize("secret", [SECRET, base64.b64encode(b"32 bytes that base64 would give!").decode()])
def test_secret_is_taken_as_it_is(secret: str) -> None:
    """The key is the secret's UTF-8 bytes, even where they look like base64."""
    token = signer(secret).token_for(user())
    signed, _, signature = token.rpartition(".")

    assert decode(signature) == hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    assert token == signer(secret.encode()).token_for(user())


def test_secret_may_have_any_letters() -> None:
    """A secret of one's own that is not ASCII counts as its UTF-8 bytes."""
    secret = "pässwörter-mit-ümlauten-ÄÖÜ-€"
    signed, _, signature = signer(secret).token_for(user()).rpartition(".")

    assert decode(signature) == hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_signing_keys(algorithm: str, format: Format) -> None:
    """Each spelling of a private key signs tokens that its public half verifies, with kid and audience."""
    key = key_of(algorithm)
    token = signer(written(key, format), kid=KID, clock=time.time).token_for(user())

    claims = jwt.decode(token, key.public_key(), [algorithm], audience="authenticated")
    assert claims == {
        "sub": USER,
        "role": "authenticated",
        "aud": "authenticated",
        "iat": claims["iat"],
        "exp": claims["iat"] + 3600,
    }
    assert parts(token)[0] == {"alg": algorithm, "kid": KID, "typ": "JWT"}


def test_shared_secret_signing_key_has_kid_and_audience() -> None:
    """A shared secret that Supabase keeps under an id is a signing key like the others."""
    head, payload = parts(signer(SECRET, kid=KID).token_for(user()))

    assert (head["alg"], head["kid"], payload["aud"]) == ("HS256", KID, "authenticated")


@pytest.mark.parametrize("key", [DOCUMENTED, GENERATED], ids=["documented", "generated"])
def test_supabase_cli_output_is_accepted(key: dict[str, Any]) -> None:
    """What `supabase gen signing-key` prints can be pasted as it is."""
    token = signer(json.dumps(key) + "\n").token_for(user())

    public = jwt.PyJWK({name: key[name] for name in ("kty", "crv", "x", "y")})
    assert parts(token)[0] == {"alg": "ES256", "kid": KID, "typ": "JWT"}
    assert jwt.decode(token, public, ["ES256"], {"verify_exp": False, "verify_aud": False, "verify_iat": False})


def test_numbers_without_leading_zeros_are_accepted() -> None:
    """Supabase's CLI drops a number's leading zeros, as one key in a hundred has them."""
    key = next(
        key
        for key in (ec.derive_private_key(number, ec.SECP256R1()) for number in range(2, 10_000))
        if key.public_key().public_numbers().x.bit_length() <= 248
    )
    numbers = key.private_numbers()
    short = {
        name: encode(value.to_bytes((value.bit_length() + 7) // 8))
        for name, value in (
            ("x", numbers.public_numbers.x),
            ("y", numbers.public_numbers.y),
            ("d", numbers.private_value),
        )
    }
    token = signer(GENERATED | short, clock=time.time).token_for(user())

    assert len(short["x"]) < 43
    assert jwt.decode(token, key.public_key(), ["ES256"], audience="authenticated")["sub"] == USER


@pytest.mark.parametrize("prefix", ["Bag Attributes\n    friendlyName: supabase\n", "\ufeff", "\n\n"])
def test_lines_above_a_pem_do_not_make_it_a_secret(prefix: str) -> None:
    """A key file that starts with a tool's remarks is a private key, never an HS256 secret."""
    assert parts(signer(prefix + pem(key_of("ES256")), kid=KID).token_for(user()))[0]["alg"] == "ES256"


def test_rsa_jwk_without_its_primes() -> None:
    """An RSA key serves with its modulus and exponents alone."""
    slim = {name: value for name, value in jwk(key_of("RS256")).items() if name in ("kty", "n", "e", "d", "kid")}

    assert parts(signer(slim).token_for(user()))[0] == {"alg": "RS256", "kid": KID, "typ": "JWT"}


def test_tokens_of_a_second_have_one_text() -> None:
    """A fraction of a second is cut off, since the times are whole numbers."""
    issued = SupabaseSigner(SECRET, clock=lambda: NOW + 0.999).issue(user())

    assert issued.expires_at == NOW + 3600
    assert all(type(payload_of(issued.token)[name]) is int for name in ("iat", "exp"))


def test_default_clock_is_the_real_one() -> None:
    """Without a clock of its own a token is valid now."""
    claims = jwt.decode(SupabaseSigner(SECRET).token_for(user()), SECRET, ["HS256"])

    assert abs(claims["iat"] - time.time()) < 10


def test_clock_that_tells_no_time_signs_nothing() -> None:
    """A broken clock ends in an error and no token."""
    with pytest.raises(ValueError, match="NaN"):
        signer(clock=lambda: float("nan")).token_for(user())


def test_answer_of_an_endpoint() -> None:
    """The endpoint's answer holds token and end, and no cache keeps it."""
    issued = signer(expires_in=60).issue(user())

    assert json.loads(issued.body()) == {"token": issued.token, "expires_at": NOW + 60}
    assert issued.headers() == [("Content-Type", "application/json"), ("Cache-Control", "private, no-store")]


# --- lifetime and role ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1, 60, MAX_EXPIRES_IN])
def test_lifetime(seconds: int) -> None:
    """A token lives as long as was asked."""
    payload = payload_of(signer(expires_in=seconds).token_for(user()))

    assert payload["exp"] - payload["iat"] == seconds


@pytest.mark.parametrize("seconds", [0, -1, MAX_EXPIRES_IN + 1, 60.0, True, "60", None, float("nan")])
def test_lifetime_has_a_cap(seconds: Any) -> None:
    """What is no whole number of seconds within the cap stops the start."""
    with pytest.raises(ConfigurationError, match="expires_in"):
        signer(expires_in=seconds)


@pytest.mark.parametrize("role", ["authenticated", "anon", "app_reader", "_x"])
def test_role(role: str) -> None:
    """A role of one's own reaches the token."""
    assert payload_of(signer(role=role).token_for(user()))["role"] == role


@pytest.mark.parametrize(
    "role",
    [
        *("service_role", "my_service_role", "postgres", "authenticator", "supabase_admin", "supabase_auth_admin"),
        *("pg_read_all_data", "dashboard_user", "pgbouncer", "pgsodium_keyholder", "none", "SERVICE_ROLE"),
        *("Authenticated", "", " authenticated", "authenticated\n", "a b", 'a"b', "a" * 64, "é", None, b"anon", 1),
    ],
)
def test_role_is_never_a_privileged_one(role: Any) -> None:
    """A role that no policy binds, or that is no plain role name, stops the start."""
    with pytest.raises(ConfigurationError, match="role"):
        signer(role=role)


# --- whom it signs for ----------------------------------------------------------------------------------------

KIND_OPTIONS: list[tuple[dict[str, bool], set[str]]] = [
    ({}, {"regular"}),
    ({"allow_restricted": True}, {"regular", "restricted"}),
    ({"allow_anonymous": True}, {"regular", "restricted", "anonymous"}),
    ({"allow_restricted": True, "allow_anonymous": True}, {"regular", "restricted", "anonymous"}),
]


@pytest.mark.parametrize("kind", ["regular", "restricted", "anonymous"])
@pytest.mark.parametrize(("options", "allowed"), KIND_OPTIONS)
def test_kinds(options: dict[str, bool], allowed: set[str], kind: str) -> None:
    """Restricted and anonymous users are refused unless told otherwise; anonymous implies restricted."""
    if kind in allowed:
        assert payload_of(signer(**options).token_for(user(kind)))["sub"] == USER
    else:
        expected = AnonymousNotAllowed if kind == "anonymous" else RestrictedNotAllowed
        with pytest.raises(expected):
            signer(**options).token_for(user(kind))


@pytest.mark.parametrize("kind", ["regular", "restricted", "anonymous"])
def test_only_anonymous_users_are_marked(kind: str) -> None:
    """An anonymous user's token says so as Supabase's own does; the others lack the claim."""
    payload = payload_of(signer(allow_anonymous=True).token_for(user(kind)))

    assert payload.get("is_anonymous") == (True if kind == "anonymous" else None)
    assert payload["role"] == "authenticated"


@pytest.mark.parametrize("name", ["allow_restricted", "allow_anonymous"])
@pytest.mark.parametrize("value", ["false", "", 0, 1, None])
def test_kinds_are_switched_by_booleans(name: str, value: Any) -> None:
    """A text from the environment, which would be true whatever it says, stops the start."""
    with pytest.raises(ConfigurationError, match=name):
        signer(**{name: value})


@pytest.mark.parametrize(("options", "allowed"), KIND_OPTIONS)
def test_guard_lets_through_whom_it_signs_for(options: dict[str, bool], allowed: set[str]) -> None:
    """The endpoint's requirement allows the signer's kinds, and no API keys."""
    guard = signer(**options).guard(require_user)

    assert (guard.restricted, guard.anonymous) == ("restricted" in allowed, "anonymous" in allowed)
    assert not guard.api_key
    assert not guard.optional


@pytest.mark.parametrize(
    "nobody",
    [None, LocalProxy(lambda: None), UnauthenticatedUser(), SimpleNamespace(is_authenticated=False)],
    ids=["None", "flask", "starlette", "django"],
)
def test_nobody(nobody: Any) -> None:
    """Nobody gets no token, in whatever form a framework hands over nobody."""
    with pytest.raises(NotAuthenticated):
        signer().token_for(nobody)
    with pytest.raises(NotAuthenticated):
        signer().headers_for(nobody)


def test_flask_proxy_of_a_user() -> None:
    """Flask's `current_user` is as good as the user behind it."""
    proxy: Any = LocalProxy(lambda: user())

    assert signer().token_for(proxy) == signer().token_for(user())


@pytest.mark.parametrize(
    "stranger",
    [
        SimpleNamespace(id=USER, kind="regular", expires_at=None, is_authenticated=True),
        {"id": USER, "kind": "regular"},
        USER,
        user("admin"),
        user("Restricted"),
        user(None),
        user(id=""),
        user(id="1"),
        user(id="service_role"),
        user(id=USER + "\n"),
        user(id=7),
    ],
    ids=lambda value: None,
)
def test_users_made_by_hand(stranger: Any) -> None:
    """Whatever is no user of a known kind with a UUID gets no token, however it was put together."""
    with pytest.raises(TypeError, match="HexclaveUser"):
        signer(allow_anonymous=True).token_for(stranger)


@pytest.mark.parametrize("seconds", [-1, 0, 0.75])
def test_expired_user(seconds: float) -> None:
    """A user whose access token is over gets no new lease of life."""
    with pytest.raises(TokenExpired):
        signer().token_for(user(expires_at=datetime.fromtimestamp(NOW + seconds, UTC)))


def test_user_until_his_last_moment() -> None:
    """A user whose access token is not over yet gets a token of the full lifetime."""
    last = user(expires_at=datetime.fromtimestamp(NOW + 1, UTC))

    assert signer().issue(last).expires_at == NOW + 3600


def test_verified_and_fetched_users_of_a_sandbox(hexclave_sandbox: Sandbox) -> None:
    """Users as the client verifies or fetches them get tokens in their own name."""
    alice = hexclave_sandbox.create_user()
    with HexclaveClient(hexclave_sandbox.config) as client:
        verified = client.authenticate(hexclave_sandbox.headers(alice))
        fetched = client.get_user(alice.id)

    real = SupabaseSigner(SECRET)
    assert payload_of(real.token_for(verified))["sub"] == alice.id
    assert payload_of(real.token_for(fetched))["sub"] == alice.id


def test_refusals_are_answers() -> None:
    """Each refusal knows its status: nobody and anonymous 401, restricted 403."""
    statuses = {}
    for whom in (None, user("anonymous"), user("restricted")):
        with pytest.raises(RequestRefused) as caught:
            signer().issue(whom)
        statuses[whom and whom.kind] = caught.value.status

    assert statuses == {None: 401, "anonymous": 401, "restricted": 403}


# --- further claims -------------------------------------------------------------------------------------------


def test_further_claims() -> None:
    """Claims for policies of one's own stand beside the token's."""
    claims = {
        "email": "ada@example.com",
        "plan": "none",
        "app_metadata": {"teams": ["a", "b"], "role": "admin"},
        "aal": "aal2",
        "iss": "my-app",
        "seats": 3,
        "ratio": 0.5,
        "beta": None,
        "service_role": False,
    }
    payload = payload_of(signer().token_for(user(), claims))

    assert payload == claims | {"sub": USER, "role": "authenticated", "iat": NOW, "exp": NOW + 3600}
    assert payload_of(signer().token_for(user(), {})) == payload_of(signer().token_for(user()))


RESERVED = ["sub", "role", "aud", "exp", "iat", "nbf", "is_anonymous"]


@pytest.mark.parametrize("name", [*RESERVED, "Sub", "ROLE", "Is_Anonymous", " role", "exp\t"])
@pytest.mark.parametrize("value", [None, "authenticated", USER, 0, []])
def test_claims_of_the_token_itself(name: str, value: Any) -> None:
    """No claim replaces what the token says of subject, role, audience or time, in any case."""
    with pytest.raises(ClaimsRefused, match=name.strip().lower()):
        signer().token_for(user(), {name: value})


PRIVILEGED = [
    *("service_role", "SERVICE_ROLE", "Service_Role", " service_role ", "service_role\n", '"service_role"'),
    *("/service_role/", "x:service_role", "service_role,authenticated", '{"role":"service_role"}', "supabase_admin"),
    *("Supabase_Auth_Admin", "postgres", "/postgres", "authenticator", "pg_read_all_data", "dashboard_user"),
    *("pgbouncer", "pgsodium_keyholder"),
]


@pytest.mark.parametrize("value", PRIVILEGED)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: {"user_role": value},
        lambda value: {"app_metadata": {"role": value}},
        lambda value: {"app_metadata": {"user_role": value}},
        lambda value: {"roles": ["authenticated", value]},
        lambda value: {"app_metadata": {"roles": [value, None, 1]}},
    ],
    ids=["claim", "object", "claim of an object", "list", "list of an object"],
)
def test_claims_that_could_be_a_role(value: str, wrap: Callable[[str], dict[str, Any]]) -> None:
    """No claim that a `jwt-role-claim-key` points to names a privileged role, however that key cuts it."""
    with pytest.raises(ClaimsRefused, match="privileged role"):
        signer().token_for(user(), wrap(value))


@pytest.mark.parametrize("value", [*PRIVILEGED, "pg_jones@example.com", "Postgres", "I never use service_role"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: {"email": value},
        lambda value: {"team": {"name": value}},
        lambda value: {"user_metadata": {"bio": value}},
        lambda value: {"a": [{"b": [[{"c": value}]]}]},
        lambda value: {value: {value: [value]}},
    ],
    ids=["claim", "object", "metadata", "deep", "names"],
)
def test_what_people_are_called_is_no_role(value: str, wrap: Callable[[str], dict[str, Any]]) -> None:
    """Names, addresses and texts are signed whatever they say: nothing reads a role there."""
    claims = wrap(value)

    assert payload_of(signer().token_for(user(), claims)).items() >= claims.items()


@pytest.mark.parametrize("text", [" ", "-", "_", "a ", "pg_", "service_", "a -"])
def test_cost_of_claims_grows_with_their_length(text: str) -> None:
    """Twice the claims cost about twice as much, where a search that starts anew at each character costs four times."""

    def cost(size: int) -> float:
        claims = {"user_role": ("x" + text * size)[:size] + "x"}
        return min(timeit.repeat(lambda: _extra(claims), timer=time.thread_time, number=20, repeat=10))

    short = cost(500)
    assert cost(4_000) < 3 * 8 * short


class _Name(enum.StrEnum):
    ROLE = "role"


class _Sly(str):
    """A name that denies to be itself."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0

    def lower(self) -> str:
        return "harmless"


class _Changing(Mapping[str, Any]):
    """Harmless when looked at first, and something else afterwards."""

    def __init__(self) -> None:
        self.looks = 0

    def __getitem__(self, name: str) -> Any:
        self.looks += 1
        return "service_role" if self.looks > 1 else "free"

    def __iter__(self) -> Iterator[str]:
        yield "plan" if self.looks == 0 else "role"

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("name", [_Name.ROLE, _Sly("role"), _Sly("sub")])
def test_names_that_pretend(name: Any) -> None:
    """A name counts for what is written into the token, not for what it says of itself."""
    with pytest.raises(ClaimsRefused, match="whom a token speaks for"):
        signer().token_for(user(), {name: "service_role"})


def test_mapping_that_changes() -> None:
    """A mapping is read once, so that what was judged is what is signed."""
    assert payload_of(signer().token_for(user(), _Changing()))["plan"] == "free"


@pytest.mark.parametrize(
    "claims",
    [
        {"plan": object()},
        {"plan": b"free"},
        {"plan": {1, 2}},
        {"plan": datetime.now(UTC)},
        {"plan": float("nan")},
        {"plan": float("inf")},
        {b"plan": 1},
        {("a", "b"): 1},
        {1: "a", "1": "b"},
        {None: 1, "null": 2},
        {"plan": "\ud800"},
        {"\udfff": 1},
        {"plan": 10**5000},
        [["plan"]],
        ["ab", 3],
        "plan",
        7,
        False,
    ],
    ids=lambda value: None,
)
def test_claims_that_are_no_json(claims: Any) -> None:
    """What is no JSON object with each name once is refused as such."""
    with pytest.raises(ClaimsRefused, match="mapping of names to JSON values"):
        signer().token_for(user(), claims)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [600, 5_000, 100_000])
def test_deep_claims(depth: int) -> None:
    """Claims nested beyond reason are refused, and end nobody's stack."""
    with pytest.raises(ClaimsRefused):
        signer().token_for(user(), {"plan": nested(depth)})


def test_long_claims() -> None:
    """Claims up to 4 KiB fit in a header of 8 KiB; beyond they are refused."""
    longest = {"note": "x" * (4096 - len('{"note":""}'))}

    assert len(f"Bearer {signer(GENERATED).token_for(user(), longest)}") < 8192 - len("Authorization: \r\n")
    with pytest.raises(ClaimsRefused, match="4096 bytes"):
        signer().token_for(user(), {"note": longest["note"] + "x"})


@pytest.mark.parametrize("claims", [{"note": "a\0b"}, {"a\0b": 1}, {"a": {"b\0": 1}}, {"a": ["\0"]}])
def test_claims_that_postgresql_cannot_read(claims: dict[str, Any]) -> None:
    """The character NUL, at which every query of the token would fail, is refused."""
    with pytest.raises(ClaimsRefused, match="NUL"):
        signer().token_for(user(), claims)


@pytest.mark.parametrize("issuer", [None, 5, ["a"], {}])
def test_issuer_is_text(issuer: Any) -> None:
    """An issuer that is no text is refused."""
    with pytest.raises(ClaimsRefused, match="iss"):
        signer().token_for(user(), {"iss": issuer})


def test_user_is_judged_before_claims() -> None:
    """Who may not have a token is told so, whatever the claims."""
    with pytest.raises(RestrictedNotAllowed):
        signer().token_for(user("restricted"), {"role": "x"})


# --- the server's own client ----------------------------------------------------------------------------------

ANON_KEY = jwt.encode({"iss": "supabase", "ref": "abc", "role": "anon", "exp": 2**31}, SECRET, "HS256")
SERVICE_KEY = jwt.encode({"iss": "supabase", "ref": "abc", "role": "service_role", "exp": 2**31}, SECRET, "HS256")


@pytest.mark.parametrize("api_key", ["sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH", ANON_KEY])
def test_headers(api_key: str) -> None:
    """A request carries the user's token, and the public API key for the gateway."""
    token = signer().token_for(user(), {"plan": "free"})

    assert signer().headers_for(user(), api_key, {"plan": "free"}) == {
        "Authorization": f"Bearer {token}",
        "apikey": api_key,
    }
    assert signer().headers_for(user()) == {"Authorization": f"Bearer {signer().token_for(user())}"}


@pytest.mark.parametrize(
    "api_key",
    [
        *("sb_secret_0123456789abcdefghij_x", "sb_secret_", "sbp_0123456789abcdef", SERVICE_KEY, f" {SERVICE_KEY}"),
        *(" sb_secret_x", "\tsb_secret_x", "SB_SECRET_x", f"{SERVICE_KEY}\n", f"Bearer {SERVICE_KEY}", SECRET),
        *("", "sb_publishable_", "sb_publishable_x\r\nx-evil: 1", "sb_publishable_x sb_secret_x", f"{ANON_KEY} "),
        *("eyJ", "eyJ.eyJ.x", "a.b.c", jwt.encode({"role": ["anon"]}, SECRET), jwt.encode({}, SECRET)),
        *("sb_publishable_é", b"sb_publishable_x", 7, ANON_KEY.encode()),
    ],
)
def test_api_keys_that_are_not_public(api_key: Any) -> None:
    """Only the publishable key and the anon key go beside a user's token; the rest is refused unseen."""
    with pytest.raises(ConfigurationError, match="publishable") as caught:
        signer().headers_for(user(), api_key)

    if len(str(api_key)) > 9:
        assert str(api_key).strip() not in shown(caught.value)


# --- keys that are refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [
        *("", "short", "x" * 31, "x" * 64, "abab" * 16, f"{SECRET}\n", f" {SECRET}", f"{SECRET}\r\n"),
        *("your-super-secret-jwt-token-with-at-least-32-characters-long", f"ssh-rsa {SECRET}", f'"{SECRET}"'),
        *(f"'{SECRET}'", "reallyreallyreallyreallyverysafe", "${SUPABASE_JWT_SECRET}-${SUPABASE_JWT_SECRET}"),
        *("https://abcdefghijklmnopqrst.supabase.co", 'key={"kty":"EC","crv":"P-256","x":"abc"}', f"{SECRET}\0"),
    ],
)
def test_weak_secrets(secret: str) -> None:
    """A secret that is short, a placeholder, or cut out badly stops the start and says how to make one."""
    with pytest.raises(ConfigurationError, match="openssl rand") as caught:
        signer(secret)

    assert not secret.strip() or secret.strip() not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        *(SERVICE_KEY, ANON_KEY, "sb_secret_" + "a1b2" * 8, "sb_publishable_" + "a1b2" * 8),
        *(f'"{SERVICE_KEY}"', f"Bearer {SERVICE_KEY}", "'sb_secret_" + "a1b2" * 8 + "'"),
    ],
)
def test_api_keys_are_no_secrets(key: str) -> None:
    """An API key in the secret's place is told apart."""
    with pytest.raises(ConfigurationError, match="API key, not the JWT secret") as caught:
        signer(key)

    assert key not in shown(caught.value)


def encoded_keys() -> Iterator[tuple[str, bytes]]:
    pkcs8, encrypted = NoEncryption(), BestAvailableEncryption(b"x")
    for algorithm in ("ES256", "RS256"):
        key = key_of(algorithm)
        yield f"PEM {algorithm}", pem(key).encode()
        yield f"PEM and remarks {algorithm}", b"Bag Attributes\n" + pem(key, PrivateFormat.TraditionalOpenSSL).encode()
        yield f"JWK {algorithm}", json.dumps(jwk(key)).encode()
        yield f"JWK set {algorithm}", json.dumps({"keys": [jwk(key)]}, indent=1).encode()
        yield f"DER {algorithm}", key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, pkcs8)
        yield (
            f"traditional DER {algorithm}",
            key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, pkcs8),
        )
        yield f"encrypted DER {algorithm}", key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, encrypted)
        yield (
            f"public DER {algorithm}",
            key.public_key().public_bytes(Encoding.DER, Public.SubjectPublicKeyInfo),
        )
    yield "secret JWK", json.dumps({"kty": "oct", "k": encode(SECRET.encode()), "kid": KID}).encode()


@pytest.mark.parametrize(
    "encode_key",
    [
        base64.b64encode,
        lambda key: base64.b64encode(key).rstrip(b"="),
        lambda key: base64.urlsafe_b64encode(key).rstrip(b"="),
        lambda key: base64.encodebytes(key),
        lambda key: base64.b64encode(key).decode() + "\n",
    ],
    ids=["standard", "unpadded", "for URLs", "in lines", "text"],
)
def test_keys_in_base64_are_no_secrets(encode_key: Callable[[bytes], str | bytes]) -> None:
    """A key that a tool wrapped in base64 would sign what Supabase refuses: it is told apart from a secret."""
    for name, key in encoded_keys():
        for kid in (None, KID):
            with pytest.raises(ConfigurationError, match="key written in base64") as caught:
                signer(encode_key(key), kid=kid)

            assert base64.b64encode(key)[:40].decode() not in shown(caught.value), name


def test_random_secrets_in_base64_are_secrets() -> None:
    """What `openssl rand -base64 48` and Supabase's dashboard write is a secret, whatever it begins with."""
    for size in (32, 48, 64):
        for start in (b"", b"\x30", b"\x30" + bytes([size - 2]), b"{"):
            secret = base64.b64encode(start + os.urandom(size - len(start)))

            assert parts(signer(secret).token_for(user()))[0]["alg"] == "HS256"


@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy, partial(pickle.dumps, protocol=0)])
def test_a_signer_is_not_copied(copying: Callable[[object], object]) -> None:
    """What is made of a signer, in a task queue for instance, would hold the key."""
    with pytest.raises(TypeError, match="make one in each process"):
        copying(signer())


@pytest.mark.parametrize("key", [None, 7, bytearray(SECRET.encode()), [SECRET], SECRET + "\ud800"], ids=type)
def test_what_is_no_key_at_all(key: Any) -> None:
    """Neither text nor bytes nor mapping: the message names the three."""
    with pytest.raises(ConfigurationError, match="JWT secret, or a private key") as caught:
        signer(key)

    assert SECRET not in shown(caught.value)


@cache
def bad_pems() -> dict[str, str]:
    es, rs = key_of("ES256"), key_of("RS256")
    encrypted = es.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()
    public = es.public_key().public_bytes(Encoding.PEM, Public.SubjectPublicKeyInfo).decode()
    return {
        "public": public,
        "public RSA": rs.public_key().public_bytes(Encoding.PEM, Public.PKCS1).decode(),
        "remarks and public": f"Bag Attributes\n{public}",
        "encrypted": encrypted,
        "P-384": pem(ec.generate_private_key(ec.SECP384R1())),
        "secp256k1": pem(ec.generate_private_key(ec.SECP256K1())),
        "Ed25519": pem(ed25519.Ed25519PrivateKey.generate()),
        "RSA of 1024 bits": pem(rsa.generate_private_key(65537, 1024)),
        "one line": pem(es).replace("\n", "\\n"),
        "cut off": pem(es)[:120],
        "only a line": "-----BEGIN PRIVATE KEY-----",
    }


@pytest.mark.parametrize("name", bad_pems())
def test_pems_that_cannot_sign(name: str) -> None:
    """A PEM that is no private key of the two kinds stops the start, and none becomes an HS256 secret."""
    text = bad_pems()[name]
    with pytest.raises(ConfigurationError, match="signing key") as caught:
        signer(text, kid=KID)

    assert not any(len(line) > 40 and line in shown(caught.value) for line in text.splitlines())


@cache
def bad_jwks() -> dict[str, Any]:
    es, rs = jwk(key_of("ES256")), jwk(key_of("RS256"))
    other = jwk(ec.generate_private_key(ec.SECP256R1()))
    p384 = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()), as_dict=True)
    small = jwk(rsa.generate_private_key(65537, 1024))
    return {
        "empty": {},
        "public": {name: value for name, value in es.items() if name != "d"},
        "public RSA": {name: rs[name] for name in ("kty", "n", "e", "kid")},
        "secret": {"kty": "oct", "k": encode(SECRET.encode()), "kid": KID},
        "Ed25519": {"kty": "OKP", "crv": "Ed25519", "x": es["x"], "d": es["d"], "kid": KID},
        "P-384": {**p384, "kid": KID},
        "another curve's name": es | {"crv": "P-384"},
        "no curve": {name: value for name, value in es.items() if name != "crv"},
        "another's public part": es | {"x": other["x"], "y": other["y"]},
        "mirrored": es | {"y": es["x"]},
        "zero": es | {"d": "AA"},
        "nothing": es | {"d": ""},
        "number": es | {"d": 7},
        "padded": es | {"d": es["d"] + "="},
        "too large": es | {"d": encode(b"\xff" * 32)},
        "huge": es | {"d": encode(b"\x7f" * 100_000)},
        "RSA of 1024 bits": small,
        "RSA exponent 1": rs | {"e": "AQ"},
        "RSA of many primes": rs | {"oth": []},
        "RSA that is none": rs | {"d": rs["p"]},
        "RSA without q": {name: value for name, value in rs.items() if name != "q"},
        "EC for RS256": es | {"alg": "RS256"},
        "EC for none": es | {"alg": "none"},
        "EC for HS256": es | {"alg": "HS256"},
        "RSA for PS256": rs | {"alg": "PS256"},
        "RSA called EC": rs | {"kty": "EC"},
        "EC called RSA": es | {"kty": "RSA"},
        "kty of another type": es | {"kty": ["EC"]},
        "for encryption": es | {"use": "enc"},
        "for verifying": es | {"key_ops": ["verify"]},
        "for nothing": es | {"key_ops": None},
    }


@pytest.mark.parametrize("name", bad_jwks())
def test_jwks_that_cannot_sign(name: str) -> None:
    """A JWK that is no private key of the two kinds, or says so of itself, stops the start."""
    key = bad_jwks()[name]
    for spelling in (key, json.dumps(key)):
        with pytest.raises(ConfigurationError, match="signing key") as caught:
            signer(spelling, kid=KID)
        told = shown(caught.value)
        assert not any(isinstance(part, str) and len(part) > 40 and part in told for part in key.values())


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([GENERATED]),
        json.dumps({"keys": [GENERATED]}),
        json.dumps(GENERATED)[:-1],
        json.dumps(GENERATED)[:-1] + ', "kid": "another"}',
        "[" * 100_000,
        "{" + json.dumps(GENERATED),
    ],
    ids=["list", "set", "cut off", "twice", "deep", "garbage"],
)
def test_text_that_is_no_jwk(text: str) -> None:
    """Text that begins like JSON is a JWK or an error, never an HS256 secret, and the error keeps it to itself."""
    with pytest.raises(ConfigurationError, match="signing key") as caught:
        signer(text, kid=KID)

    assert DOCUMENTED["d"] not in shown(caught.value)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_signing_keys_need_their_id(algorithm: str) -> None:
    """Without a kid Supabase would not find the key: the start stops."""
    key = key_of(algorithm)
    without = {name: value for name, value in jwk(key).items() if name != "kid"}

    for spelling in (pem(key), without, json.dumps(without)):
        with pytest.raises(ConfigurationError, match="needs its kid"):
            signer(spelling)


@pytest.mark.parametrize("kid", ["", " ", f"{KID}\n", f" {KID}", 7, b"kid", ["kid"]])
def test_ids_that_are_none(kid: Any) -> None:
    """An id that is no text, or has blanks around it, stops the start for every kind of key."""
    for key in (SECRET, pem(key_of("ES256")), GENERATED):
        with pytest.raises(ConfigurationError, match="kid"):
            signer(key, kid=kid)
    with pytest.raises(ConfigurationError, match="kid"):
        signer(GENERATED | {"kid": kid})


def test_two_ids() -> None:
    """A JWK that names another id than the caller stops the start; the same one is fine."""
    with pytest.raises(ConfigurationError, match="kid"):
        signer(GENERATED, kid="another")
    assert parts(signer(GENERATED, kid=KID).token_for(user()))[0]["kid"] == KID


# --- what it never tells --------------------------------------------------------------------------------------


def test_nothing_shows_keys_or_tokens() -> None:
    """Neither the signer nor its tokens show themselves to a log."""
    issued = signer().issue(user())
    text = repr(signer()) + str(signer()) + repr(issued) + str(issued) + f"{[issued]}"

    assert SECRET not in text
    assert issued.token not in text


def test_no_serializer_shows_the_key() -> None:
    """A route that returns its signer by mistake answers with an error and not with the key."""
    with pytest.raises(ValueError, match="vars") as caught:
        jsonable_encoder(signer())

    assert SECRET not in str(caught.value)


def test_refused_claims_stay_untold() -> None:
    """A refusal names the reserved claims and never a value."""
    for claims in ({"note": "private", "role": "private"}, {"roles": "private service_role"}, {"b": {"private"}}):
        with pytest.raises(ClaimsRefused) as caught:
            signer().token_for(user(), claims)
        assert "private" not in str(caught.value)


def test_token_is_an_immutable_value() -> None:
    """A token cannot be lengthened after it was signed."""
    issued = SupabaseToken("a.b.c", NOW)
    with pytest.raises(dataclasses.FrozenInstanceError):
        issued.expires_at = NOW + 1  # type: ignore[misc]
