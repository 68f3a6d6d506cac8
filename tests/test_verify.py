"""The verifier: what Hexclave signs passes, and nothing else does (contract section 2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hexclave_integrations import HexclaveConfig, HexclaveUser
from hexclave_integrations._token.find import MAX_TOKEN
from hexclave_integrations._token.keys import parse_key_set
from hexclave_integrations._token.verify import Verifier
from hexclave_integrations.errors import InvalidToken, RequestRefused, TokenExpired, WrongProject

from ._minting import (
    ABSENT,
    AUDIENCES,
    EXPIRES,
    FLAGS,
    HOST,
    ISSUED,
    KID,
    KINDS,
    NOW,
    OTHER_PROJECT,
    PROJECT,
    SESSION,
    TEAM,
    USER,
    N,
    claims_of,
    data,
    decode,
    encode,
    issuer,
    jwk,
    key_set,
    mint,
    mint_segments,
    new_key,
    raw_signature,
)

KEY = new_key()
ATTACKER = new_key()
CONFIG = HexclaveConfig(project_id=PROJECT)
HEADER = {"alg": "ES256", "kid": KID}


def judge(token: str, *, now: float = NOW, config: HexclaveConfig = CONFIG) -> tuple[HexclaveUser, int]:
    """Parse and verify with a verifier that remembers nothing."""
    verifier = Verifier(config)
    return verifier.verify(verifier.parse(token), KEY.public_key(), now)


def refusal(token: str, *, now: float = NOW, config: HexclaveConfig = CONFIG) -> type[RequestRefused]:
    """The class of the error that the token meets."""
    with pytest.raises(RequestRefused) as caught:
        judge(token, now=now, config=config)
    return type(caught.value)


# --- tokens recorded from a real server ---------------------------------------------------------------------

RECORDED = data("tokens.json")
RECORDED_CONFIG = HexclaveConfig(project_id=RECORDED["project_id"], api_url=RECORDED["issuer_host"])
RECORDED_KEYS = parse_key_set(json.dumps(RECORDED["jwks_include_anonymous"]).encode())
RECORDED_KINDS = {
    "A_regular": "regular",
    "A_second": "regular",
    "A_regular_signin2": "regular",
    "A_anonymous": "anonymous",
    "A_full_impersonated": "regular",
    "A_restricted_by_admin": "restricted",
}
recorded = pytest.mark.parametrize("case", [pytest.param(name, id=name) for name in RECORDED["tokens"]])


def recorded_at(case: str) -> float:
    """When the token was recorded, in epoch seconds."""
    return datetime.fromisoformat(RECORDED["tokens"][case]["recorded_at"]).timestamp()


def judge_recorded(case: str, now: float, config: HexclaveConfig = RECORDED_CONFIG) -> tuple[HexclaveUser, int]:
    """Verify a recorded token with the recorded key it names."""
    verifier = Verifier(config)
    parsed = verifier.parse(RECORDED["tokens"][case]["access_token"])
    return verifier.verify(parsed, RECORDED_KEYS[parsed.kid], now)


@recorded
def test_a_recorded_token_is_accepted(case: str) -> None:
    """Real tokens verify at the time of their recording, with kind and profile as signed."""
    claims = RECORDED["tokens"][case]["claims"]

    user, expires = judge_recorded(case, recorded_at(case))

    assert claims["exp"] == expires
    expected = HexclaveUser(
        id=claims["sub"],
        kind=RECORDED_KINDS[case],  # type: ignore[arg-type]  # the table holds plain strings
        project_id=RECORDED["project_id"],
        display_name=claims["name"],
        primary_email=claims["email"],
        primary_email_verified=claims["email_verified"],
        selected_team_id=claims["selected_team_id"],
        restricted_reason=(claims["restricted_reason"] or {"type": None})["type"],
        requires_totp_mfa=claims["requires_totp_mfa"],
        signed_up_at=datetime.fromtimestamp(claims["signed_up_at"], UTC),
        session_id=claims["refresh_token_id"],
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )
    assert expected == user
    assert claims == dict(user.claims)


@recorded
def test_a_recorded_token_ends(case: str) -> None:
    """The last moment is just before expiry and leeway; then the token is over."""
    end = RECORDED["tokens"][case]["claims"]["exp"] + RECORDED_CONFIG.leeway

    judge_recorded(case, end - 0.001)
    with pytest.raises(TokenExpired):
        judge_recorded(case, end)


@recorded
def test_a_recorded_token_is_of_its_project_only(case: str) -> None:
    """Under another project's configuration the token is another project's, before any key is looked at."""
    config = HexclaveConfig(project_id=PROJECT, api_url=RECORDED["issuer_host"])

    with pytest.raises(WrongProject):
        Verifier(config).parse(RECORDED["tokens"][case]["access_token"])


@recorded
def test_a_recorded_token_is_of_its_host_only(case: str) -> None:
    """A token of a self-hosted server is nothing to a configuration for the cloud."""
    config = HexclaveConfig(project_id=RECORDED["project_id"])

    with pytest.raises(InvalidToken):
        judge_recorded(case, recorded_at(case), config)


@recorded
def test_a_recorded_token_does_not_verify_with_another_recorded_key(case: str) -> None:
    """Each token matches the one key it names and none of its neighbours."""
    verifier = Verifier(RECORDED_CONFIG)
    parsed = verifier.parse(RECORDED["tokens"][case]["access_token"])

    for kid in RECORDED_KEYS.keys() - {parsed.kid}:
        with pytest.raises(InvalidToken):
            verifier.verify(parsed, RECORDED_KEYS[kid], recorded_at(case))


def test_the_plain_key_set_has_only_the_keys_of_regular_users() -> None:
    """Restricted and anonymous users have keys of their own, which only the full set names (contract 9.9)."""
    plain = parse_key_set(json.dumps(RECORDED["jwks_plain"]).encode())
    verifier = Verifier(RECORDED_CONFIG)
    kids = {name: verifier.parse(item["access_token"]).kid for name, item in RECORDED["tokens"].items()}

    assert len(plain) == 2
    assert len(RECORDED_KEYS) == 6
    assert plain.keys() < RECORDED_KEYS.keys()
    assert {name: kind == "regular" for name, kind in RECORDED_KINDS.items()} == {
        name: kid in plain for name, kid in kids.items()
    }


# --- claims as they are and as they must not be -------------------------------------------------------------

FIXTURES = data("token_claims.json")
INCONSISTENT = data("token_claims_inconsistent.json")
FIXTURE_KINDS = {
    "regular": "regular",
    "regular_null_profile": "regular",
    "regular_legacy_host": "regular",
    "anonymous": "anonymous",
    "restricted_email_not_verified": "restricted",
    "restricted_by_administrator": "restricted",
    "legacy_claim_names": "regular",
}


@pytest.mark.parametrize("case", [pytest.param(name, id=name) for name in FIXTURES])
def test_documented_claims_are_accepted(case: str) -> None:
    """Every documented shape of claims gives a user of the right kind."""
    claims = FIXTURES[case]["claims"]

    user, expires = judge(mint(KEY, claims, FIXTURES[case]["header"]))

    assert (FIXTURE_KINDS[case], claims["sub"], claims["name"], claims["email"], SESSION) == (
        user.kind,
        user.id,
        user.display_name,
        user.primary_email,
        user.session_id,
    )
    assert claims["exp"] == expires


@pytest.mark.parametrize("case", [pytest.param(name, id=name) for name in INCONSISTENT])
def test_inconsistent_claims_are_refused_although_signed(case: str) -> None:
    """A signature does not make a contradiction true."""
    assert InvalidToken is refusal(mint(KEY, INCONSISTENT[case]["claims"], INCONSISTENT[case]["header"]))


@pytest.mark.parametrize("flags", KINDS)
@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize("audience", KINDS)
def test_audience_issuer_and_flags_must_agree(audience: str, path: str, flags: str) -> None:
    """Of the 27 combinations only the three that agree pass."""
    token = mint(KEY, claims_of(audience, iss=issuer(path), **FLAGS[flags]))

    if audience == path == flags:
        assert audience == judge(token)[0].kind
    else:
        assert InvalidToken is refusal(token)


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        pytest.param((anonymous, restricted, reason), kind, id=f"{kind}-{anonymous}-{restricted}-{reason}")
        for kind in KINDS
        for anonymous, restricted, reason in itertools.product(
            (True, False, None, "absent"), (True, False, None, "absent"), ("object", None, "absent")
        )
    ],
)
def test_only_the_documented_flags_pass(flags: tuple[object, object, object], kind: str) -> None:
    """Flags present, null or absent: what passes is what Hexclave signs, now or in the past."""
    reason = {"type": "anonymous" if kind == "anonymous" else "email_not_verified"}
    values = {"absent": ABSENT, "object": reason}
    anonymous, restricted, why = (values[flag] if isinstance(flag, str) else flag for flag in flags)
    token = mint(KEY, claims_of(kind, is_anonymous=anonymous, is_restricted=restricted, restricted_reason=why))
    genuine: dict[str, set[tuple[object, object, object]]] = {
        "regular": {(False, r, w) for r in (False, "absent") for w in (None, "absent")},
        "restricted": {(False, True, "object")},
        "anonymous": {(True, r, w) for r in (True, "absent") for w in ("object", "absent")},
    }

    try:
        accepted = judge(token)[0].kind == kind
    except InvalidToken:
        accepted = False

    assert (flags in genuine[kind]) is accepted


def test_an_old_anonymous_token_has_its_reason_filled_in() -> None:
    """Old anonymous tokens lack flag and reason; both follow from `is_anonymous` (contract section 2)."""
    token = mint(KEY, claims_of("anonymous", is_restricted=ABSENT, restricted_reason=ABSENT))

    assert (judge(token)[0].kind, judge(token)[0].restricted_reason) == ("anonymous", "anonymous")


ILL_TYPED: list[Any] = [
    pytest.param(0, id="zero"),
    pytest.param(1, id="one"),
    pytest.param(1.5, id="float"),
    pytest.param(True, id="true"),
    pytest.param(False, id="false"),
    pytest.param("", id="empty-string"),
    pytest.param("x", id="string"),
    pytest.param([], id="empty-array"),
    pytest.param({}, id="empty-object"),
    pytest.param({"type": 1}, id="object"),
    pytest.param(None, id="null"),
    pytest.param(ABSENT, id="absent"),
]
# What may stand in a claim besides its usual value: nulls and absences that Hexclave's schema allows.
TOLERATED: dict[str, list[object]] = {
    "name": ["", "x", None, ABSENT],
    "email": ["", "x", None, ABSENT],
    "email_verified": [True, False, ABSENT],
    "requires_totp_mfa": [True, False, ABSENT],
    "selected_team_id": [None, ABSENT],
    "signed_up_at": [0, 1, None, ABSENT],
    "iat": [0, 1],
    "is_anonymous": [False],
    "is_restricted": [False, ABSENT],
    "restricted_reason": [None, ABSENT],
}


@pytest.mark.parametrize("value", ILL_TYPED)
@pytest.mark.parametrize("claim", [pytest.param(name, id=name) for name in claims_of()])
def test_each_claim_has_its_type(claim: str, value: object) -> None:
    """A claim of another type, empty, null or absent is refused, unless the contract allows exactly that."""
    token = mint(KEY, claims_of("regular", **{claim: value}))

    if any(type(value) is type(item) and value == item for item in TOLERATED.get(claim, [])):
        assert judge(token)[0].id == USER
    else:
        over = claim == "exp" and type(value) is int
        assert (TokenExpired if over else InvalidToken) is refusal(token)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"aud": [PROJECT]}, id="audience-list"),
        pytest.param({"aud": [PROJECT, OTHER_PROJECT]}, id="audience-list-of-two"),
        pytest.param({"aud": f"{PROJECT}:"}, id="audience-colon"),
        pytest.param({"aud": f"{PROJECT}:admin"}, id="audience-unknown-suffix"),
        pytest.param({"aud": f"{PROJECT}:anon:restricted"}, id="audience-two-suffixes"),
        pytest.param({"aud": f"{PROJECT} "}, id="audience-space"),
        pytest.param({"aud": f" {PROJECT}"}, id="audience-leading-space"),
        pytest.param({"aud": PROJECT.upper()}, id="audience-upper-case"),
        pytest.param({"aud": f"{PROJECT}\x00"}, id="audience-nul"),
        pytest.param({"aud": PROJECT[:-1]}, id="audience-prefix"),
        pytest.param({"aud": "https://other.example"}, id="audience-of-another-system"),
        pytest.param({"project_id": OTHER_PROJECT}, id="another-project-claim"),
        pytest.param({"project_id": PROJECT.upper()}, id="project-claim-upper-case"),
        pytest.param({"branch_id": "dev"}, id="branch"),
        pytest.param({"branch_id": "Main"}, id="branch-case"),
        pytest.param({"branchId": "dev"}, id="branch-names-disagree"),
        pytest.param({"branch_id": None, "branchId": "main"}, id="branch-null-and-legacy"),
        pytest.param({"refreshTokenId": USER}, id="session-names-disagree"),
        pytest.param({"refresh_token_id": None, "refreshTokenId": SESSION}, id="session-null-and-legacy"),
        pytest.param({"role": "service_role"}, id="role"),
        pytest.param({"role": "Authenticated"}, id="role-case"),
        pytest.param({"sub": f"{USER}\n"}, id="subject-line-feed"),
        pytest.param({"sub": f"{USER}/../{TEAM}"}, id="subject-path"),
        pytest.param({"sub": "user_123456"}, id="subject-of-the-docs-sample"),
        pytest.param({"selected_team_id": "team"}, id="team-no-uuid"),
        pytest.param({"restricted_reason": {"type": "email_not_verified"}}, id="reason-for-regular"),
        pytest.param({"restricted_reason": []}, id="reason-empty-list"),
        pytest.param({"restricted_reason": False}, id="reason-false"),
        pytest.param({"is_anonymous": 0}, id="zero-for-false"),
        pytest.param({"exp": float(EXPIRES)}, id="float-expiry"),
        pytest.param({"exp": str(EXPIRES)}, id="string-expiry"),
        pytest.param({"exp": 10**30}, id="expiry-beyond-dates"),
        pytest.param({"exp": 253_402_300_800}, id="expiry-in-the-year-10000"),
        pytest.param({"exp": -1}, id="negative-expiry"),
        pytest.param({"iat": -1}, id="negative-issue"),
        pytest.param({"nbf": None}, id="null-not-before"),
        pytest.param({"nbf": "0"}, id="string-not-before"),
        pytest.param({"nbf": True}, id="true-not-before"),
        pytest.param({"signed_up_at": 10**20}, id="sign-up-beyond-dates"),
        pytest.param({"signed_up_at": -1}, id="sign-up-before-1970"),
        pytest.param({"jti": 7}, id="numeric-token-id"),
        pytest.param({"jti": None}, id="null-token-id"),
    ],
)
def test_a_contradicting_claim_is_refused(changes: dict[str, Any]) -> None:
    """Claims that Hexclave would not sign are refused although the signature is genuine."""
    assert InvalidToken is refusal(mint(KEY, claims_of("regular", **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"new_claim": {"deep": [1, None]}}, id="unknown-claim"),
        pytest.param({"jti": "id"}, id="token-id"),
        pytest.param({"nbf": ISSUED}, id="not-before"),
        pytest.param({"exp": 253_402_300_799}, id="last-second-of-9999"),
        pytest.param({"branchId": "main"}, id="both-branch-names-agree"),
        pytest.param({"refreshTokenId": SESSION}, id="both-session-names-agree"),
        pytest.param({"branch_id": ABSENT, "branchId": "main"}, id="legacy-branch"),
        pytest.param({"name": "Ada \U0001f600 ü"}, id="any-unicode-name"),
        pytest.param({"name": "n" * 5000}, id="long-name"),
        pytest.param({"name": "[" * 300}, id="name-of-brackets"),
    ],
)
def test_claims_that_add_nothing_wrong_are_accepted(changes: dict[str, Any]) -> None:
    """Unknown claims are tolerated, and legacy names beside current ones if they agree."""
    assert judge(mint(KEY, claims_of("regular", **changes)))[0].id == USER


@pytest.mark.parametrize(
    "audience",
    [
        pytest.param(OTHER_PROJECT, id="regular"),
        pytest.param(f"{OTHER_PROJECT}:restricted", id="restricted"),
        pytest.param(f"{OTHER_PROJECT}:anon", id="anonymous"),
        pytest.param("internal", id="internal"),
        pytest.param("internal:anon", id="internal-anonymous"),
        pytest.param(OTHER_PROJECT.upper(), id="upper-case"),
    ],
)
def test_another_project_is_told_from_the_unverified_audience(audience: str) -> None:
    """`parse` already knows, so that no key of another project is ever looked for."""
    with pytest.raises(WrongProject):
        Verifier(CONFIG).parse(mint(ATTACKER, claims_of("regular", aud=audience)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_internal_project_is_a_project_like_others(kind: str) -> None:
    """`internal` is the one project id that is no UUID."""
    config = HexclaveConfig(project_id="internal")
    audience = AUDIENCES[kind].replace(PROJECT, "internal")
    claims = claims_of(kind, aud=audience, iss=issuer(kind, project="internal"), project_id="internal")

    assert kind == judge(mint(KEY, claims), config=config)[0].kind


# --- issuers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["https://api.hexclave.com", "https://api.stack-auth.com"])
@pytest.mark.parametrize("api_url", ["https://api.hexclave.com", "https://api.stack-auth.com"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_cloud_hosts_are_accepted_whichever_is_configured(kind: str, api_url: str, host: str) -> None:
    """Tokens of old and new SDKs carry different hosts of the same service (contract section 2)."""
    config = HexclaveConfig(project_id=PROJECT, api_url=api_url)

    assert kind == judge(mint(KEY, claims_of(kind, iss=issuer(kind, host))), config=config)[0].kind


GENUINE_ISSUER = issuer("regular")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f"{GENUINE_ISSUER}/", id="trailing-slash"),
        pytest.param(f"{GENUINE_ISSUER}?x", id="query"),
        pytest.param(f"{GENUINE_ISSUER}#x", id="fragment"),
        pytest.param(f"{GENUINE_ISSUER} ", id="space"),
        pytest.param(f"{GENUINE_ISSUER}\n", id="line-feed"),
        pytest.param(GENUINE_ISSUER.upper(), id="upper-case"),
        pytest.param(GENUINE_ISSUER.replace("https", "http"), id="http"),
        pytest.param(GENUINE_ISSUER.replace("/v1/", "/v2/"), id="version"),
        pytest.param(GENUINE_ISSUER.replace("/v1/", "/latest/"), id="latest"),
        pytest.param(GENUINE_ISSUER.replace(".com", ".com:443"), id="explicit-port"),
        pytest.param(GENUINE_ISSUER.replace(".com", ".com."), id="root-dot"),
        pytest.param(GENUINE_ISSUER.replace(".com", ".com.evil.com"), id="host-suffix"),
        pytest.param(GENUINE_ISSUER.replace("//", "//evil.com/"), id="host-prefix-path"),
        pytest.param(GENUINE_ISSUER.replace("//", "//evil-"), id="host-prefix"),
        pytest.param(GENUINE_ISSUER.replace("//", "//evil@"), id="user-name"),
        pytest.param(GENUINE_ISSUER.replace("api.", "api1."), id="fallback-host"),
        pytest.param(GENUINE_ISSUER.replace("api.", "api.dev."), id="development-cloud"),
        pytest.param(f"https://evil.com/{GENUINE_ISSUER}", id="suffix-match"),
        pytest.param(GENUINE_ISSUER.replace(PROJECT, OTHER_PROJECT), id="another-project"),
        pytest.param(GENUINE_ISSUER.replace(PROJECT, PROJECT.upper()), id="project-upper-case"),
        pytest.param(f"{HOST}/api/v1/projects", id="no-project"),
        pytest.param(HOST, id="host-only"),
        pytest.param([GENUINE_ISSUER], id="list"),
    ],
)
def test_an_issuer_is_compared_as_a_whole(value: object) -> None:
    """Neither prefix nor suffix nor another spelling of a genuine issuer counts (contract 9.10)."""
    assert InvalidToken is refusal(mint(KEY, claims_of("regular", iss=value)))


def test_a_self_hosted_server_accepts_only_its_own_issuer_and_extras() -> None:
    """The cloud's issuers mean nothing to a self-hosted server."""
    own, extra = "https://auth.example.com/hexclave", "https://old.example.com"
    config = HexclaveConfig(project_id=PROJECT, api_url=f"{own}/", issuer_urls=(extra,))

    for host in (own, extra):
        assert judge(mint(KEY, claims_of("regular", iss=issuer("regular", host))), config=config)[0].id == USER
    for host in (HOST, "https://api.stack-auth.com", "https://auth.example.com"):
        assert InvalidToken is refusal(mint(KEY, claims_of("regular", iss=issuer("regular", host))), config=config)


# --- time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leeway", "now", "expected"),
    [
        pytest.param(10, EXPIRES + 9.999, None, id="within-leeway"),
        pytest.param(10, EXPIRES + 10, TokenExpired, id="leeway-over"),
        pytest.param(10, EXPIRES + 10.001, TokenExpired, id="past-leeway"),
        pytest.param(0, EXPIRES - 0.001, None, id="no-leeway-before"),
        pytest.param(0, EXPIRES, TokenExpired, id="no-leeway-at-expiry"),
        pytest.param(10, ISSUED - 10, None, id="issued-within-leeway"),
        pytest.param(10, ISSUED - 10.001, InvalidToken, id="issued-in-the-future"),
        pytest.param(0, ISSUED, None, id="no-leeway-at-issue"),
        pytest.param(0, ISSUED - 0.001, InvalidToken, id="no-leeway-before-issue"),
        pytest.param(300, EXPIRES + 299, None, id="largest-leeway"),
        pytest.param(10, 0, InvalidToken, id="clock-at-the-epoch"),
        pytest.param(10, 4e9, TokenExpired, id="clock-far-ahead"),
    ],
)
def test_times_have_leeway_and_edges(leeway: float, now: float, expected: type[RequestRefused] | None) -> None:
    """Both edges are exact: the leeway's last moment passes, the next does not."""
    config = HexclaveConfig(project_id=PROJECT, leeway=leeway)
    token = mint(KEY, claims_of())

    if expected is None:
        assert judge(token, now=now, config=config)[1] == EXPIRES
    else:
        assert expected is refusal(token, now=now, config=config)


@pytest.mark.parametrize(
    ("not_before", "accepted"),
    [
        pytest.param(int(NOW) + 10, True, id="within-leeway"),
        pytest.param(int(NOW) + 11, False, id="past-leeway"),
        pytest.param(0, True, id="long-ago"),
    ],
)
def test_not_before_is_honoured(not_before: int, accepted: bool) -> None:
    """Hexclave sends no `nbf`; one that comes counts (RFC 7519 section 4.1.5)."""
    token = mint(KEY, claims_of(nbf=not_before))

    if accepted:
        assert judge(token)[0].id == USER
    else:
        assert InvalidToken is refusal(token)


@pytest.mark.parametrize(
    ("expires", "now", "over"),
    [
        pytest.param(1000, 1009.999, False, id="before"),
        pytest.param(1000, 1010.0, True, id="at-the-edge"),
        pytest.param(1000, 999.0, False, id="running"),
    ],
)
def test_a_remembered_token_ends_when_a_verified_one_would(expires: int, now: float, over: bool) -> None:
    """The cache asks `over_from`, which has the same edge as `verify`."""
    assert over is (now >= Verifier(CONFIG).over_from(expires))


def test_expired_is_said_only_of_an_otherwise_good_token() -> None:
    """A forged or inconsistent token is invalid, however old: clients refresh only what was genuine."""
    late = EXPIRES + 3600

    assert TokenExpired is refusal(mint(KEY, claims_of()), now=late)
    assert InvalidToken is refusal(mint(ATTACKER, claims_of()), now=late)
    assert InvalidToken is refusal(mint(KEY, claims_of(role="admin")), now=late)
    assert InvalidToken is refusal(mint(KEY, claims_of("anonymous", aud=PROJECT)), now=late)


# --- headers ------------------------------------------------------------------------------------------------

PUBLIC_PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def mac(secret: bytes, name: str = "sha256") -> str:
    """A token whose HMAC was made with what everybody knows: the public key."""
    header = {"alg": f"HS{name[3:]}", "kid": KID}
    segments = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims_of()).encode())}"
    return f"{segments}.{encode(hmac.new(secret, segments.encode(), name).digest())}"


def signed_with_sha384() -> str:
    """An ES256 header over a signature with another hash."""
    segments = mint(KEY, claims_of(), HEADER).rpartition(".")[0]
    r, s = decode_dss_signature(KEY.sign(segments.encode(), ec.ECDSA(SHA384())))
    return f"{segments}.{encode(r.to_bytes(32) + s.to_bytes(32))}"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(mac(PUBLIC_PEM), id="hs256-with-pem"),
        pytest.param(mac(PUBLIC_PEM.strip()), id="hs256-with-stripped-pem"),
        pytest.param(mac(PUBLIC_PEM, "sha384"), id="hs384-with-pem"),
        pytest.param(mac(PUBLIC_PEM, "sha512"), id="hs512-with-pem"),
        pytest.param(mac(b""), id="hs256-with-empty-secret"),
        pytest.param(mac(json.dumps(jwk(KEY.public_key())).encode()), id="hs256-with-jwk"),
        pytest.param(signed_with_sha384(), id="another-hash"),
    ],
)
def test_key_confusion_is_refused(token: str) -> None:
    """The public key is no secret, and ES256 is the only algorithm."""
    assert InvalidToken is refusal(token)


@pytest.mark.parametrize(
    "alg",
    [
        pytest.param(value, id=repr(value))
        for value in (
            *("none", "None", "NONE", "nOnE", "", "HS256", "HS384", "RS256", "PS256", "ES384", "ES512", "ES256K"),
            *("es256", "ES256 ", " ES256", "EdDSA", "Ed25519", "ES256\x00", None, True, 0, ["ES256"], {"ES256": 1}),
        )
    ],
)
def test_no_other_algorithm_counts(alg: object) -> None:
    """A genuine ES256 signature under another algorithm's name is refused."""
    assert InvalidToken is refusal(mint(KEY, claims_of(), {"alg": alg, "kid": KID}))


@pytest.mark.parametrize("alg", ["none", "None", "ES256", "HS256"])
def test_a_token_without_a_signature_is_refused(alg: str) -> None:
    """RFC 7515's unsecured form is refused whatever the header says."""
    assert InvalidToken is refusal(mint(KEY, claims_of(), {"alg": alg, "kid": KID}, signature=b""))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"kid": KID}, id="no-algorithm"),
        pytest.param({"alg": "ES256"}, id="no-key-id"),
        pytest.param({"alg": "ES256", "kid": ""}, id="empty-key-id"),
        pytest.param({"alg": "ES256", "kid": None}, id="null-key-id"),
        pytest.param({"alg": "ES256", "kid": 1}, id="numeric-key-id"),
        pytest.param({"alg": "ES256", "kid": [KID]}, id="key-id-list"),
        pytest.param({"alg": "ES256", "kid": "k" * 257}, id="long-key-id"),
        pytest.param(HEADER | {"crit": ["exp"]}, id="critical-extension"),
        pytest.param(HEADER | {"crit": []}, id="empty-critical"),
        pytest.param(HEADER | {"crit": None}, id="null-critical"),
        pytest.param(HEADER | {"crit": ["b64"], "b64": True}, id="critical-b64"),
        pytest.param(HEADER | {"b64": True}, id="b64-true"),
        pytest.param(HEADER | {"b64": False}, id="b64-false"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"ES256"', id="string"),
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="truncated"),
        pytest.param(b'{"alg":"none","alg":"ES256","kid":"k"}', id="algorithm-twice"),
        pytest.param(b'{"alg":"ES256","kid":"a","kid":"b"}', id="key-id-twice"),
        pytest.param(b'{"alg":"ES256","\\u0061lg":"none","kid":"k"}', id="algorithm-twice-escaped"),
        pytest.param(b'{"alg":"ES256","kid":"\\ud800"}', id="lone-surrogate-key-id"),
        pytest.param(b'\xef\xbb\xbf{"alg":"ES256","kid":"k"}', id="bom"),
        pytest.param('{"alg":"ES256","kid":"k"}'.encode("utf-16"), id="utf-16"),
        pytest.param(b'{"alg":"ES256","kid":"\xff"}', id="not-utf-8"),
        pytest.param(b'{"alg":"ES256","kid":"k","x":NaN}', id="nan"),
        pytest.param(b'{"alg":"ES256","kid":"k","x":' + b"[" * 600 + b"]" * 600 + b"}", id="deep"),
    ],
)
def test_a_header_that_changes_or_hides_the_meaning_is_refused(header: dict[str, Any] | bytes) -> None:
    """Signed or not: a header is ES256 with a key id, one reading, and no extension (RFC 7515 section 4.1.11)."""
    with pytest.raises(InvalidToken):
        Verifier(CONFIG).parse(mint(KEY, claims_of(), header))


EMBEDDED: list[Any] = [
    pytest.param({"jwk": jwk(ATTACKER.public_key())}, id="jwk"),
    pytest.param({"jku": "https://evil.example/jwks.json"}, id="jku"),
    pytest.param({"x5u": "https://evil.example/cert.pem"}, id="x5u"),
    pytest.param({"x5c": [base64.b64encode(b"certificate").decode()]}, id="x5c"),
    pytest.param({"x5t": "dGh1bWI", "x5t#S256": "dGh1bWI"}, id="thumbprints"),
    pytest.param({"typ": "JWT", "cty": "JWT", "zip": "DEF"}, id="types"),
]


@pytest.mark.parametrize("extra", EMBEDDED)
def test_a_key_that_a_token_brings_along_is_never_used(extra: dict[str, Any]) -> None:
    """Signed by the key it advertises, the token is as forged as any other."""
    assert InvalidToken is refusal(mint(ATTACKER, claims_of(), HEADER | extra))


@pytest.mark.parametrize("extra", EMBEDDED)
def test_a_genuine_token_is_not_harmed_by_what_it_advertises(extra: dict[str, Any]) -> None:
    """Unknown header members are ignored (RFC 7515 section 4): the key set alone decides."""
    assert judge(mint(KEY, claims_of(), HEADER | extra))[0].id == USER


@pytest.mark.parametrize(
    "kid",
    [
        pytest.param("../../../dev/null", id="path"),
        pytest.param("' OR 1=1 --", id="sql"),
        pytest.param("k\r\nX: y", id="line-feed"),
        pytest.param("\U0001f600", id="emoji"),
        pytest.param("k" * 256, id="longest"),
    ],
)
def test_a_key_id_is_only_a_name(kid: str) -> None:
    """Whatever it spells, a key id is handed on as it is and looked up, never interpreted."""
    assert kid == Verifier(CONFIG).parse(mint(KEY, claims_of(), {"alg": "ES256", "kid": kid})).kid


# --- remembered headers -------------------------------------------------------------------------------------


def test_a_remembered_header_does_not_vouch_for_the_next_token() -> None:
    """The header of a genuine token saves parsing; the signature is checked all the same."""
    verifier = Verifier(CONFIG)
    verifier.verify(verifier.parse(mint(KEY, claims_of())), KEY.public_key(), NOW)
    forged = verifier.parse(mint(ATTACKER, claims_of(sub=TEAM)))

    assert forged.kid == KID
    with pytest.raises(InvalidToken):
        verifier.verify(forged, KEY.public_key(), NOW)


def test_a_remembered_header_names_its_own_key_only() -> None:
    """Tokens of two keys keep their key ids, remembered or not."""
    verifier, other = Verifier(CONFIG), new_key()
    keys = {KID: KEY, "other": other}

    for _ in range(3):
        for kid, key in keys.items():
            parsed = verifier.parse(mint(key, claims_of(), {"alg": "ES256", "kid": kid}))
            assert kid == parsed.kid
            assert verifier.verify(parsed, keys[parsed.kid].public_key(), NOW)[0].id == USER


def test_the_rest_of_a_token_with_a_remembered_header_is_still_read_strictly() -> None:
    """A known header does not open a way round the checks of payload and signature."""
    verifier = Verifier(CONFIG)
    token = mint(KEY, claims_of())
    verifier.verify(verifier.parse(token), KEY.public_key(), NOW)
    header, payload, signature = token.split(".")

    for bad in (
        f"{header}..{signature}",
        f"{header}.{payload}=.{signature}",
        f"{header}.{payload}.{signature[:-1]}",
        f"{header}.{payload}.{signature}.",
        f"{header}.{encode(b'[]')}.{signature}",
        f"{header} .{payload}.{signature}",
    ):
        with pytest.raises(InvalidToken):
            verifier.parse(bad)


def test_a_flood_of_forged_headers_is_not_remembered() -> None:
    """Memory grows with genuine headers only."""
    verifier = Verifier(CONFIG)
    for number in range(500):
        forged = verifier.parse(mint(KEY, claims_of(), HEADER | {"n": number}, signature=bytes(64)))
        with pytest.raises(InvalidToken):
            verifier.verify(forged, KEY.public_key(), NOW)

    assert len(verifier._headers) == 0


def test_genuine_headers_are_remembered_within_a_bound() -> None:
    """Even a server that signs a new header for every token does not fill the memory."""
    verifier = Verifier(CONFIG)
    for number in range(200):
        parsed = verifier.parse(mint(KEY, claims_of(), HEADER | {"n": number}))
        verifier.verify(parsed, KEY.public_key(), NOW)

    assert 0 < len(verifier._headers) <= 64


# --- payloads -----------------------------------------------------------------------------------------------


def payload(insert: str = "", **changes: Any) -> bytes:
    """A payload's JSON text with `insert` before its end."""
    return json.dumps(claims_of(**changes)).encode()[:-1] + insert.encode() + b"}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(payload(f',"sub":"{TEAM}"'), id="subject-twice"),
        pytest.param(payload(',"exp":4000000000'), id="expiry-twice"),
        pytest.param(payload(',"is_anonymous":false'), id="same-value-twice"),
        pytest.param(payload(f',"\\u0073ub":"{TEAM}"'), id="subject-twice-escaped"),
        pytest.param(payload(',"x":{"a":1,"a":2}'), id="duplicate-inside"),
        pytest.param(payload(',"x":NaN'), id="nan"),
        pytest.param(payload(',"x":Infinity'), id="infinity"),
        pytest.param(payload(',"x":1e400'), id="overflow"),
        pytest.param(payload(',"x":' + "9" * 5000), id="huge-integer"),
        pytest.param(payload(',"x":' + "[" * 600 + "]" * 600), id="deep"),
        pytest.param(payload(',"x":"\\ud800"'), id="lone-surrogate"),
        pytest.param(payload().replace(b"Ada", b"\\udfff"), id="lone-surrogate-in-name"),
        pytest.param(payload().replace(str(EXPIRES).encode(), b"1e400"), id="infinite-expiry"),
        pytest.param(payload().replace(str(EXPIRES).encode(), b"1.767226200e9"), id="expiry-in-exponent-form"),
        pytest.param(b"\xef\xbb\xbf" + payload(), id="bom"),
        pytest.param(payload().decode().encode("utf-16-le"), id="utf-16"),
        pytest.param(payload().replace(b"Ada", b"\xff\xfe"), id="not-utf-8"),
        pytest.param(payload().replace(b"Ada", b"A\x00a"), id="control-character"),
        pytest.param(payload() + b"x", id="trailing-text"),
        pytest.param(payload() + payload(), id="two-objects"),
        pytest.param(b"[" + payload() + b"]", id="in-an-array"),
        pytest.param(b'"x"', id="string"),
        pytest.param(b"null", id="null"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_payload_with_two_readings_is_refused_although_signed(text: bytes) -> None:
    """Duplicates, numbers that are none, foreign encodings and nesting are no claims."""
    assert InvalidToken is refusal(mint(KEY, text))


def test_whitespace_inside_the_json_means_nothing() -> None:
    """JSON may be spaced; the signature covers the bytes as they are."""
    assert judge(mint(KEY, b" \n" + json.dumps(claims_of(), indent=2).encode() + b"\t"))[0].id == USER


def test_an_emoji_in_escapes_is_no_lone_surrogate() -> None:
    """JavaScript's JSON may escape characters outside the basic plane as a pair."""
    assert judge(mint(KEY, json.dumps(claims_of(name="\U0001f600")).encode()))[0].display_name == "\U0001f600"


# --- the compact form ---------------------------------------------------------------------------------------

TOKEN = mint(KEY, claims_of())
HEAD, BODY, SIGNATURE = TOKEN.split(".")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param(".", id="one-dot"),
        pytest.param("..", id="two-dots"),
        pytest.param("....", id="four-dots"),
        pytest.param("." * 5000, id="many-dots"),
        pytest.param(f"{HEAD}.{BODY}", id="no-signature"),
        pytest.param(f"{HEAD}.{BODY}.", id="empty-signature"),
        pytest.param(f".{BODY}.{SIGNATURE}", id="empty-header"),
        pytest.param(f"{HEAD}..{SIGNATURE}", id="empty-payload"),
        pytest.param(f"{TOKEN}.", id="trailing-dot"),
        pytest.param(f".{TOKEN}", id="leading-dot"),
        pytest.param(f"{HEAD}.{BODY}.{BODY}.{SIGNATURE}", id="four-segments"),
        pytest.param(f"{HEAD}.{BODY}.x.y.{SIGNATURE}", id="five-segments-as-in-jwe"),
        pytest.param(f"{BODY}.{HEAD}.{SIGNATURE}", id="swapped"),
        pytest.param(f"{HEAD}.{SIGNATURE}.{BODY}", id="signature-in-the-middle"),
        pytest.param(f"{TOKEN}=", id="padded-signature"),
        pytest.param(f"{TOKEN}==", id="twice-padded-signature"),
        pytest.param(f"{HEAD}=.{BODY}.{SIGNATURE}", id="padded-header"),
        pytest.param(f"{HEAD}.{BODY}=.{SIGNATURE}", id="padded-payload"),
        pytest.param(f" {TOKEN}", id="leading-space"),
        pytest.param(f"{TOKEN} ", id="trailing-space"),
        pytest.param(f"{TOKEN}\n", id="line-feed"),
        pytest.param(f"{TOKEN}\x00", id="nul"),
        pytest.param(f"{HEAD}\n.{BODY}.{SIGNATURE}", id="line-feed-in-header"),
        pytest.param(f"{HEAD}.{BODY[:9]}\n{BODY[9:]}.{SIGNATURE}", id="line-feed-in-payload"),
        pytest.param(f"{HEAD}.{BODY}.{SIGNATURE[:43]} {SIGNATURE[44:]}", id="space-in-signature"),
        pytest.param(f"{HEAD}.{BODY}.{SIGNATURE[:85]}", id="short-signature"),
        pytest.param(f"{TOKEN}A", id="long-signature"),
        pytest.param(f"Bearer {TOKEN}", id="with-scheme"),
        pytest.param(f'"{TOKEN}"', id="quoted"),
        pytest.param(TOKEN.replace(".", "%2E"), id="percent-encoded"),
        pytest.param(TOKEN.replace(".", "．"), id="full-width-dots"),  # noqa: RUF001
        pytest.param(f"{TOKEN[:-1]}é", id="not-ascii"),
        pytest.param(f"{TOKEN[:-1]}\ud800", id="surrogate"),
        pytest.param(json.dumps({"payload": BODY, "protected": HEAD, "signature": SIGNATURE}), id="json-form"),
        pytest.param("null", id="null"),
        pytest.param("undefined", id="undefined"),
    ],
)
def test_only_the_compact_form_is_a_token(token: str) -> None:
    """Three segments of unpadded base64url and nothing around them."""
    with pytest.raises(InvalidToken):
        Verifier(CONFIG).parse(token)


def test_the_size_is_capped_before_anything_is_read() -> None:
    """16 KiB is the last size that is looked at; a signed token of one more byte is refused."""
    fits = mint(KEY, payload(name="n" * 11500))
    room = MAX_TOKEN - len(fits)
    # Base64 grows in steps; the header's padding member takes up the rest.
    sizes: dict[int, str] = {}
    for extra in range(room * 3 // 4 - 12, room * 3 // 4 + 12):
        for pad in range(4):
            token = mint(KEY, payload(name="n" * (11500 + extra)), HEADER | {"p": "p" * pad})
            sizes[len(token)] = token

    exact = sizes.get(MAX_TOKEN) or sizes[MAX_TOKEN - 12]
    larger = min(size for size in sizes if size > MAX_TOKEN)
    assert judge(exact)[0].id == USER
    assert InvalidToken is refusal(sizes[larger])


def test_a_megabyte_is_refused_at_once() -> None:
    """Size alone is reason enough."""
    with pytest.raises(InvalidToken):
        Verifier(CONFIG).parse("A" * 1_000_000)


# --- signatures ---------------------------------------------------------------------------------------------

SIGNED = f"{HEAD}.{BODY}".encode()
RAW = decode(SIGNATURE)
R, S = int.from_bytes(RAW[:32]), int.from_bytes(RAW[32:])


def numbers(r: int, s: int) -> bytes:
    """A raw signature."""
    return r.to_bytes(32) + s.to_bytes(32)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(bytes(64), id="all-zero"),
        pytest.param(numbers(0, S), id="r-zero"),
        pytest.param(numbers(R, 0), id="s-zero"),
        pytest.param(numbers(1, 1), id="both-one"),
        pytest.param(numbers(N, S), id="r-is-n"),
        pytest.param(numbers(R, N), id="s-is-n"),
        pytest.param(numbers(N, N), id="both-n"),
        pytest.param(numbers(N - 1, N - 1), id="both-n-minus-one"),
        pytest.param(b"\xff" * 64, id="all-ones"),
        pytest.param(numbers(S, R), id="swapped"),
        pytest.param(numbers(N - R, S), id="r-negated"),
        pytest.param(numbers(R, S ^ 1), id="one-bit"),
        pytest.param(RAW[::-1], id="little-endian"),
        pytest.param(raw_signature(ATTACKER, SIGNED), id="of-another-key"),
        pytest.param(raw_signature(KEY, SIGNED + b"x"), id="of-another-text"),
        pytest.param(raw_signature(KEY, BODY.encode()), id="of-the-payload-only"),
        pytest.param(hashlib.sha512(SIGNED).digest(), id="a-hash"),
        pytest.param(encode_dss_signature(R, S), id="der"),
        pytest.param(encode_dss_signature(R, S)[:64], id="der-cut-to-64"),
        pytest.param(RAW[:63], id="63-bytes"),
        pytest.param(RAW + b"\x00", id="65-bytes"),
        pytest.param(b"\x00" + RAW[:32] + b"\x00" + RAW[32:], id="33-bytes-each"),
    ],
)
def test_a_signature_is_r_and_s_of_this_text_by_this_key(raw: bytes) -> None:
    """Degenerate numbers, other encodings, other texts and other keys are refused (RFC 7518 section 3.4)."""
    assert InvalidToken is refusal(f"{HEAD}.{BODY}.{encode(raw)}")


def test_the_other_spelling_of_a_signature_verifies() -> None:
    """(r, n - s) is a valid ECDSA signature too, and JWS asks for no low s: the same claims, so nothing is gained.

    Whoever remembers tokens by their text must not take the text for the token's identity.
    """
    twin = f"{HEAD}.{BODY}.{encode(numbers(R, N - S))}"

    assert twin != TOKEN
    assert judge(TOKEN) == judge(twin)


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_stray_bits_at_the_end_of_a_segment_are_refused(segment: int) -> None:
    """A second spelling of the same bytes is refused, even where the signature covers it."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    pad = next(n for n in range(3) if len(encode(json.dumps(HEADER | {"p": "p" * n}).encode())) % 4)
    body = next(b for n in range(3) if len(encode(b := payload(name="n" * n))) % 4)
    segments = [encode(json.dumps(HEADER | {"p": "p" * pad}).encode()), encode(body)]
    if segment < 2:
        segments[segment] = segments[segment][:-1] + alphabet[alphabet.index(segments[segment][-1]) | 1]
    token = mint_segments(KEY, *segments)
    if segment == 2:
        token = token[:-1] + alphabet[alphabet.index(token[-1]) | 1]

    with pytest.raises(InvalidToken):
        Verifier(CONFIG).parse(token)


def test_every_changed_character_is_noticed() -> None:
    """No character of a token can be replaced by another: nothing in it is unsigned."""
    verifier = Verifier(CONFIG)
    for index in range(len(TOKEN)):
        replacement = "A" if TOKEN[index] != "A" else "B"
        with pytest.raises(RequestRefused):
            verifier.verify(verifier.parse(TOKEN[:index] + replacement + TOKEN[index + 1 :]), KEY.public_key(), NOW)


# --- the user -----------------------------------------------------------------------------------------------


def test_the_claims_of_a_user_are_a_copy() -> None:
    """A view cannot change what the next request of the same token sees."""
    user, _ = judge(TOKEN)
    user.claims["sub"] = "somebody else"
    user.claims.clear()

    assert user.id == user.claims["sub"]
    with pytest.raises(AttributeError):
        user.kind = "regular"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("regular", (True, False, False), id="regular"),
        pytest.param("restricted", (False, True, False), id="restricted"),
        pytest.param("anonymous", (False, True, True), id="anonymous"),
    ],
)
def test_only_a_regular_user_counts_as_authenticated(kind: str, expected: tuple[bool, bool, bool]) -> None:
    """`if user.is_authenticated` is the secure default in every framework."""
    user, _ = judge(mint(KEY, claims_of(kind)))

    assert expected == (user.is_authenticated, user.is_restricted, user.is_anonymous)


def test_the_repr_of_a_user_holds_no_profile() -> None:
    """Logs show who, and nothing about them."""
    text = repr(judge(TOKEN)[0])

    assert f"HexclaveUser(id='{USER}', kind='regular')" == text


def test_the_key_set_decides_which_key_a_token_has() -> None:
    """Parsed key sets and minted tokens fit together as on the wire."""
    keys = parse_key_set(key_set(jwk(ATTACKER.public_key(), "other"), jwk(KEY.public_key())))
    verifier = Verifier(CONFIG)
    parsed = verifier.parse(TOKEN)

    assert verifier.verify(parsed, keys[parsed.kid], NOW)[0].id == USER
