"""Project Wycheproof's vectors: ECDSA on P-256, JSON Web Signature, JSON Web Key.

They are no part of this project: they are read from `shared/wycheproof` beside the repository, or from the folder that
`WYCHEPROOF_VECTORS` names, and without one these tests are skipped. None of the vectors is "acceptable": each is valid
or invalid. Of the valid ones those of other algorithms are refused here as well, since only ES256 is ever let in. Where
a key set as a whole is called invalid since it also publishes a secret key, its token is refused all the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hexclave_integrations import HexclaveClient, HexclaveConfig, InvalidToken, RequestRefused, Unavailable
from hexclave_integrations._token.keys import Decision, KeyRing, parse_key_set
from hexclave_integrations._token.verify import Verifier

from ._minting import KID, NOW, PROJECT, claims_of, decode, jwk, key_set, mint, new_key, raw_signature

FOLDER: Final = Path(
    os.environ.get("WYCHEPROOF_VECTORS") or Path(__file__).resolve().parents[2] / "shared" / "wycheproof"
)
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="Wycheproof's vectors are not here; WYCHEPROOF_VECTORS names their folder"
)

CONFIG: Final = HexclaveConfig(project_id=PROJECT)
KEY: Final = new_key()
SIGNATURE_LENGTH: Final = 64


class Case(NamedTuple):
    """One vector, and the group that it is in."""

    id: int
    is_valid: bool
    test: dict[str, Any]
    group: dict[str, Any]

    @property
    def key_set(self) -> bytes:
        """The keys of a JSON Web Signature or Key vector, as a server would publish them: a set."""
        published = self.group.get("public") or self.group["private"]
        return json.dumps(published).encode() if "keys" in published else key_set(published)

    @property
    def token(self) -> str:
        """The text of a JSON Web Signature."""
        jws = self.test["jws"]
        return jws if isinstance(jws, str) else json.dumps(jws)


def cases(name: str) -> list[Case]:
    """All vectors of a file; a case that is neither valid nor invalid would need a decision of ours."""
    document = json.loads((FOLDER / f"{name}_test.json").read_text(encoding="utf-8"))
    found = [
        Case(test["tcId"], test["result"] == "valid", test, group)
        for group in document["testGroups"]
        for test in group["tests"]
    ]
    assert {case.test["result"] for case in found} == {"valid", "invalid"}
    assert len(found) == document["numberOfTests"]
    return found


def signature_passes(key: EllipticCurvePublicKey, signing_input: bytes, signature: bytes) -> bool:
    """Whether the verifier's own check lets a signature of 64 bytes pass.

    The vectors sign messages that are no claims of ours. So the verifier gets what its parser makes of a token whose
    claims are in order, with the vector's message and signature: only the signature decides.
    """
    assert len(signature) == SIGNATURE_LENGTH
    verifier = Verifier(CONFIG)
    parsed = verifier.parse(mint(KEY, claims_of()))
    parsed.signing_input, parsed.signature = signing_input, signature
    try:
        verifier.verify(parsed, key, NOW)
    except InvalidToken:
        return False
    return True


def is_vouched_for(token: str, document: bytes) -> bool:
    """Whether a token would be let in by a verifier that asks nothing of its claims: key set, key id, signature."""
    try:
        keys = parse_key_set(document)
        header, payload, signature = token.split(".")
        key, raw = keys[json.loads(decode(header))["kid"]], decode(signature)
    except (ValueError, KeyError):
        return False
    return len(raw) == SIGNATURE_LENGTH and signature_passes(key, f"{header}.{payload}".encode(), raw)


def client_with(document: bytes) -> HexclaveClient:
    """A client to whom Hexclave publishes this key set."""
    return HexclaveClient(CONFIG, transport=httpx.MockTransport(lambda request: httpx.Response(200, content=document)))


def test_the_way_to_the_signature_check_tells_right_from_wrong() -> None:
    """What the other tests rely on: with claims in order, the signature and nothing else decides."""
    message = b"no claims of ours"

    assert signature_passes(KEY.public_key(), message, raw_signature(KEY, message))
    assert not signature_passes(KEY.public_key(), message, raw_signature(KEY, message + b"!"))
    assert not signature_passes(new_key().public_key(), message, raw_signature(KEY, message))


# --- ECDSA on P-256, r and s of 32 bytes each -------------------------------------------------------------


def ecdsa() -> Iterator[tuple[Case, EllipticCurvePublicKey, bytes, bytes]]:
    """Case, key, message and signature; a key that is there as JWK is read as Hexclave's are."""
    for case in cases("ecdsa_secp256r1_sha256_p1363"):
        key = load_der_public_key(bytes.fromhex(case.group["publicKeyDer"]))
        assert isinstance(key, EllipticCurvePublicKey)
        if published := case.group.get("publicKeyJwk"):
            assert parse_key_set(key_set(published)) == {published["kid"]: key}
        yield case, key, bytes.fromhex(case.test["msg"]), bytes.fromhex(case.test["sig"])


def test_ecdsa_signatures() -> None:
    """Every valid signature passes and every invalid one of the right length is refused."""
    seen = {
        case.id: (case.is_valid, signature_passes(key, message, signature))
        for case, key, message, signature in ecdsa()
        if len(signature) == SIGNATURE_LENGTH
    }

    assert {number for number, (expected, found) in seen.items() if expected != found} == set()
    assert len(seen) > 200


def test_ecdsa_signatures_of_another_length() -> None:
    """A signature that is not 64 bytes long does not get past the parser; none of them is valid."""
    others = [(case, signature) for case, _, _, signature in ecdsa() if len(signature) != SIGNATURE_LENGTH]

    for case, signature in others:
        with pytest.raises(InvalidToken):
            Verifier(CONFIG).parse(mint(KEY, claims_of(), signature=signature))
        assert not case.is_valid
    assert others


# --- JSON Web Signature -----------------------------------------------------------------------------------


def test_no_foreign_token_is_let_in() -> None:
    """Whatever the vectors call it, no token of theirs makes anybody a user; a set without an ES256 key cannot tell."""
    for case in cases("json_web_signature"):
        with client_with(case.key_set) as client, pytest.raises(RequestRefused) as refused:
            client.verify_token(case.token)
        assert isinstance(refused.value, InvalidToken | Unavailable), case.id


def test_web_signatures() -> None:
    """Of their ES256 tokens the valid ones are refused for their claims alone, the invalid ones before that."""
    vouched = {case.id: is_vouched_for(case.token, case.key_set) for case in cases("json_web_signature")}
    valid = {
        case.id
        for case in cases("json_web_signature")
        if case.is_valid and (case.group.get("public") or case.group["private"]).get("alg") == "ES256"
    }

    assert {number for number, passes in vouched.items() if passes} == valid
    assert valid


# --- JSON Web Key -----------------------------------------------------------------------------------------

MIXED: Final = "MixedKeySet"


def bad_key_sets() -> list[Case]:
    """The vectors whose keys are all useless to us: symmetric, RSA, for another use, curve or algorithm, no point."""
    return [case for case in cases("json_web_key") if MIXED not in case.test["flags"]]


def test_web_keys() -> None:
    """No key of theirs is one for us, and the tokens that come along are not let in, the valid ones included."""
    for case in cases("json_web_key"):
        assert not is_vouched_for(case.token, case.key_set), case.id
        with client_with(case.key_set) as client, pytest.raises(RequestRefused):
            client.verify_token(case.token)


def test_a_set_of_bad_web_keys_is_no_key_set() -> None:
    """Who is sent such a set cannot tell who anybody is, and says so: no yes, and no sign-out."""
    for case in bad_key_sets():
        with pytest.raises(ValueError, match="no usable key"):
            parse_key_set(case.key_set)
        with client_with(case.key_set) as client, pytest.raises(Unavailable):
            client.verify_token(mint(KEY, claims_of()))


def test_a_set_of_bad_web_keys_keeps_the_old_one() -> None:
    """Keys that cannot be used are no reason to forget those that can."""
    for case in bad_key_sets():
        ring = KeyRing(CONFIG)
        ring.accept(key_set(jwk(KEY.public_key())), NOW)
        good = ring.current
        with pytest.raises(ValueError, match="no usable key"):
            ring.accept(case.key_set, NOW + 1)
        ring.failed(NOW + 1)
        assert ring.current is good
        assert ring.decide(KID, NOW + 1) is Decision.USE


def test_a_bad_web_key_is_skipped_among_good_ones() -> None:
    """A bad key beside ours does no harm and is not used, not even under the name of ours."""
    ours = jwk(KEY.public_key())

    for case in bad_key_sets():
        entries = json.loads(case.key_set)["keys"]
        assert parse_key_set(key_set(*entries, ours)) == {KID: KEY.public_key()}, case.id
        renamed = [entry | {"kid": KID} for entry in entries]
        assert parse_key_set(key_set(ours, *renamed)) == {KID: KEY.public_key()}, case.id


def test_a_set_that_publishes_a_secret_key_as_well() -> None:
    """What is not well defined ("best practice is to reject"): the secret is skipped, the public ES256 key is read."""
    (case,) = [case for case in cases("json_web_key") if MIXED in case.test["flags"]]

    secret, public = json.loads(case.key_set)["keys"]
    assert (secret["kty"], public["kty"]) == ("oct", "EC")
    assert parse_key_set(case.key_set).keys() == {public["kid"]}
