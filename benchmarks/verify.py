"""What verifying a token costs, as ratios to a raw ES256 verification and to the documented snippet.

Whole requests are authenticated, with a browser's headers: finding the token among them is part of the cost.
"""

from __future__ import annotations

from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from hexclave_integrations import HexclaveClient, HexclaveConfig
from hexclave_integrations._base.strict import base64url
from hexclave_integrations.testing import Sandbox

from ._measure import Contender, Scale, Table, compare, interleave, refusing
from ._snippet import Snippet

__all__ = ["FIRST_SIGHT", "GARBAGE", "RAW", "REPEATED", "TITLE", "UNKNOWN_KEY", "raw_parts", "tables"]

ROUNDS = 150
BATCH = 40

TITLE = "Verification"
RAW = "raw ES256 verification (cryptography)"
SNIPPET = "documented snippet (PyJWKClient + jwt.decode)"
FIRST_SIGHT = "hexclave: first sight of a token"
REPEATED = "hexclave: repeated token"
GARBAGE = "hexclave: garbage refused"
UNKNOWN_KEY = "hexclave: unknown key refused"
NOTE = (
    "Each row but the first three is a whole `authenticate`: the token is found among six headers. "
    "An expired token that was never seen is verified before it is called expired."
)


def tables(scale: Scale) -> list[Table]:
    """Measure."""
    sandbox = Sandbox()
    rounds = scale.of(ROUNDS)
    with sandbox.serve():
        contenders = _contenders(sandbox, sandbox.config, rounds)
        interleave(contenders, rounds)
    return [compare(TITLE, contenders, {"x raw": RAW, "x snippet": SNIPPET}, NOTE)]


def _contenders(sandbox: Sandbox, config: HexclaveConfig, rounds: int) -> list[Contender[str]]:
    """Everything that is compared, over the same tokens."""
    user = sandbox.create_user(display_name="Ada Lovelace", primary_email="ada@example.com")

    def tokens(expires_in: float, batches: int) -> list[list[str]]:
        return [
            [sandbox.token(user, expires_in, session=sandbox.new_session(user)) for _ in range(BATCH)]
            for _ in range(batches)
        ]

    new = tokens(3600, rounds)
    sample = new[0][0]
    client = HexclaveClient(config)
    client.warm()
    snippet = Snippet(config.api_url, config.project_id)
    key = snippet.key(sample)
    raw = {token: raw_parts(token) for batch in new for token in batch}
    es256 = ECDSA(SHA256())

    def decode(token: str) -> object:
        return jwt.decode(token, key, algorithms=["ES256"], audience=config.project_id)

    def authenticate(token: str) -> object:
        return client.authenticate(
            {
                "host": "app.example.com",
                "user-agent": "Mozilla/5.0",
                "accept": "*/*",
                "accept-encoding": "gzip, br",
                "x-stack-access-token": token,
                "connection": "keep-alive",
            }
        )

    claims: dict[str, Any] = jwt.decode(sample, options={"verify_signature": False})
    unknown = sandbox.sign(claims, headers={"kid": "unknown-key-"})
    other = Sandbox()
    stranger = other.token(other.create_user())
    refused = refusing(authenticate)
    refused(unknown)  # the one fetch that an unknown key may cause

    return [
        Contender(RAW, lambda token: key.verify(*raw[token], es256), new),
        Contender("jwt.decode, key in hand", decode, new),
        Contender(SNIPPET, snippet.verify, new),
        Contender(FIRST_SIGHT, authenticate, new),
        Contender(REPEATED, authenticate, [[sample] * BATCH * 10]),
        Contender("hexclave: repeated token, verify_token alone", client.verify_token, [[sample] * BATCH * 10]),
        Contender(GARBAGE, refused, [["garbage"] * BATCH]),
        Contender("hexclave: wrong project refused", refused, [[stranger] * BATCH]),
        Contender(UNKNOWN_KEY, refused, [[unknown] * BATCH]),
        Contender("hexclave: expired token refused", refused, tokens(-60, 1)),
        Contender("hexclave: forged signature refused", refused, [[_forge(token) for token in new[0]]]),
    ]


def _forge(token: str) -> str:
    head, payload, signature = token.split(".")
    return f"{head}.{payload}.{signature[::-1][:85]}A"


def raw_parts(token: str) -> tuple[bytes, bytes]:
    """The signature in DER and the bytes it signs: what a bare verification needs."""
    signing_input, _, signature = token.rpartition(".")
    pair = base64url(signature.encode())
    return encode_dss_signature(int.from_bytes(pair[:32]), int.from_bytes(pair[32:])), signing_input.encode()
