"""What verifying a token costs, as ratios to a raw ES256 verification and to the documented snippet.

`make bench` runs it. All contenders are measured in one run, interleaved in small batches, and the median of the
batches is printed, so that a busy moment of the machine hits them alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from hexclave_integrations import HexclaveClient, HexclaveConfig, RequestRefused
from hexclave_integrations._strict import base64url
from hexclave_integrations.testing import Sandbox

ROUNDS = 60
BATCH = 40


@dataclass
class Contender:
    """Something to measure.

    Attributes:
        run: called with each item of a batch.
        batches: the items, one batch a round.
        per_call: microseconds per call, one number a round.
    """

    name: str
    run: Callable[[str], object]
    batches: Sequence[Sequence[str]]
    per_call: list[float] = field(default_factory=list)

    def measure(self, number: int) -> None:
        """Time one batch."""
        items = self.batches[number % len(self.batches)]
        run, clock = self.run, time.perf_counter
        begin = clock()
        for item in items:
            run(item)
        self.per_call.append((clock() - begin) / len(items) * 1e6)

    @property
    def median(self) -> float:
        """Microseconds per call."""
        return statistics.median(self.per_call)


def refusing(verify: Callable[[str], object]) -> Callable[[str], None]:
    """Measure a refusal."""

    def run(token: str) -> None:
        try:
            verify(token)
        except RequestRefused:
            return
        raise AssertionError("a bad token was accepted")

    return run


def contenders(sandbox: Sandbox, config: HexclaveConfig) -> list[Contender]:
    """Everything that is compared, over the same tokens."""
    user = sandbox.create_user(display_name="Ada Lovelace", primary_email="ada@example.com")
    batches = [
        [sandbox.token(user, 3600, session=sandbox.new_session(user)) for _ in range(BATCH)] for _ in range(ROUNDS)
    ]
    repeated = [[batches[0][0]] * BATCH * 10]
    client = HexclaveClient(config)
    client.warm()

    url = f"{config.api_url}/api/v1/projects/{config.project_id}/.well-known/jwks.json"
    jwks_client = jwt.PyJWKClient(url)
    key = jwks_client.get_signing_key_from_jwt(batches[0][0]).key
    raw = {token: raw_parts(token) for batch in batches for token in batch}
    es256 = ECDSA(SHA256())

    def decode(token: str) -> object:
        return jwt.decode(token, key, algorithms=["ES256"], audience=config.project_id)

    def snippet(token: str) -> object:
        signing_key = jwks_client.get_signing_key_from_jwt(token)
        return jwt.decode(token, signing_key.key, algorithms=["ES256"], audience=config.project_id)

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

    def forged(token: str) -> str:
        head, payload, signature = token.split(".")
        return f"{head}.{payload}.{signature[::-1][:85]}A"

    claims = jwt.decode(batches[0][0], options={"verify_signature": False})
    unknown = sandbox.sign(claims, headers={"kid": "unknown-key-"})
    refusing(authenticate)(unknown)  # the one fetch that an unknown key may cause

    return [
        Contender("raw ES256 verification (cryptography)", lambda token: key.verify(*raw[token], es256), batches),
        Contender("jwt.decode, key in hand", decode, batches),
        Contender("documented snippet (PyJWKClient + jwt.decode)", snippet, batches),
        Contender("hexclave: first sight of a token", authenticate, batches),
        Contender("hexclave: repeated token", authenticate, repeated),
        Contender("hexclave: garbage refused", refusing(authenticate), [["garbage"] * BATCH]),
        Contender("hexclave: unknown key refused", refusing(authenticate), [[unknown] * BATCH]),
        Contender("hexclave: forged signature refused", refusing(authenticate), [[forged(t) for t in batches[0]]]),
    ]


def raw_parts(token: str) -> tuple[bytes, bytes]:
    """The signature in DER and the bytes it signs: what a bare verification needs."""
    signing_input, _, signature = token.rpartition(".")
    pair = base64url(signature.encode())
    return encode_dss_signature(int.from_bytes(pair[:32]), int.from_bytes(pair[32:])), signing_input.encode()


def main() -> None:
    """Measure and print."""
    sandbox = Sandbox()
    with sandbox.serve():
        measured = contenders(sandbox, sandbox.config)
        for number in range(ROUNDS):
            for contender in measured:
                contender.measure(number)
    raw, snippet = measured[0].median, measured[2].median
    print(f"{'':<47}{'us':>8}{'x raw':>9}{'x snippet':>11}")
    for contender in measured:
        median = contender.median
        print(f"{contender.name:<47}{median:>8.1f}{median / raw:>9.3f}{median / snippet:>11.4f}")


if __name__ == "__main__":
    main()
