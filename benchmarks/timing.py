"""Whether the time of a refusal says how wrong a secret was: two kinds of wrong each, measured in turns, and compared.

As dudect does it (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", 2017): single calls of both kinds
in random order, the slowest tenth of all dropped, and Welch's t. With |t| below 4.5 the two cannot be told apart by
this many calls. The first row shows that the method sees a difference where there is one.
"""

from __future__ import annotations

import base64
import random
import statistics
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Final

from hexclave_integrations import HexclaveClient
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from ._measure import FULL, Scale, Table, refusing

__all__ = ["main", "rows", "tables"]

CALLS: Final = 10_000
API_KEY_CALLS: Final = 3_000
LEAST: Final = 30
KEPT: Final = 0.9
SUSPICIOUS: Final = 4.5

NOTE = (
    "Medians of the two kinds, and Welch's t over single calls in random order without the slowest tenth: "
    f"below {SUSPICIOUS} the two cannot be told apart. The first row is a comparison that stops early."
)

Row = tuple[str, float, float, float, float]
"""What is compared, the medians of both kinds in microseconds, their ratio, and Welch's t."""


def rows(scale: Scale = FULL) -> list[Row]:
    """Measure: a control first, then what has to be constant."""
    sandbox, of_keys = Sandbox(), scale.of(API_KEY_CALLS, LEAST)
    with HexclaveClient(sandbox.config) as client:
        return [
            _row("control: a comparison that stops at the first difference", _control(), scale.of(CALLS, LEAST)),
            _row("webhook signature: first or last byte wrong", _webhooks(sandbox), scale.of(CALLS, LEAST)),
            _row(
                "access token: first or last byte of its signature wrong",
                _tokens(sandbox, client),
                scale.of(CALLS, LEAST),
            ),
            _row("API key: its id unknown, or its secret wrong", _api_keys(sandbox, client, of_keys), of_keys),
        ]


def tables(scale: Scale = FULL) -> list[Table]:
    """The rows, as the other parts have them."""
    columns = {"us, one": ".2f", "us, other": ".2f", "ratio": ".3f", "Welch's t": ".1f"}
    return [Table("Constant time", columns, {name: numbers for name, *numbers in rows(scale)}, NOTE)]


def main() -> None:
    """Measure and print."""
    for table in tables():
        print(table.text())


Kinds = tuple[Sequence[str], Sequence[str], Callable[[str], None]]
"""Texts of one kind, of the other, and what is done with them. They are made beforehand: to make one just before it is
used leaves traces in the processor that are told apart more easily than anything the call does."""


def _row(name: str, kinds: Kinds, calls: int) -> Row:
    *pools, call = kinds
    rng = random.Random(2026)
    times: tuple[list[int], list[int]] = ([], [])
    for number in range(_needed(calls)):
        kind = rng.randrange(2)
        text = pools[kind][number % len(pools[kind])]
        begin = time.perf_counter_ns()
        call(text)
        spent = time.perf_counter_ns() - begin
        if number >= calls // 10:  # the first ones warm caches up
            times[kind].append(spent)
    limit = statistics.quantiles([*times[0], *times[1]], n=100)[int(KEPT * 100) - 1]
    one, other = ([spent / 1000 for spent in spents if spent <= limit] for spents in times)
    medians = statistics.median(one), statistics.median(other)
    return name, *medians, medians[1] / medians[0], _welch(one, other)


def _needed(calls: int) -> int:
    """How many calls there are in all, for so many of each kind."""
    return 2 * calls + calls // 10


def _welch(one: list[float], other: list[float]) -> float:
    """Welch's t statistic: how many standard errors the means lie apart."""
    error = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / error**0.5 if error else 0.0


def _control() -> Kinds:
    secret = "s" * 64

    def compare(text: str) -> None:
        for one, other in zip(secret, text, strict=True):
            if one != other:
                return

    return ["x" + secret[1:]], [secret[:-1] + "x"], compare


def _webhooks(sandbox: Sandbox) -> Kinds:
    body, headers = sandbox.webhook("user.deleted", {"id": "3241a285-8329-4d69-8f3d-316e08cf140c"})
    genuine = base64.b64decode(headers["svix-signature"].removeprefix("v1,"))
    verify = Webhooks(sandbox.config.webhook_secrets, tolerance=86400).verify

    def make(place: int) -> list[str]:
        return ["v1," + base64.b64encode(raw).decode() for raw in _flipped(genuine, place)]

    return make(0), make(-1), refusing(lambda text: verify(body, headers | {"svix-signature": text}))


def _tokens(sandbox: Sandbox, client: HexclaveClient) -> Kinds:
    user = sandbox.create_user()
    client.verify_token(sandbox.token(user))  # the keys are there
    signed, _, signature = sandbox.token(user).rpartition(".")
    genuine = base64.urlsafe_b64decode(signature + "==")

    def make(place: int) -> list[str]:
        return [f"{signed}.{base64.urlsafe_b64encode(raw).decode().rstrip('=')}" for raw in _flipped(genuine, place)]

    return make(0), make(-1), refusing(client.verify_token)


def _api_keys(sandbox: Sandbox, client: HexclaveClient, calls: int) -> Kinds:
    genuine = sandbox.create_api_key(user=sandbox.create_user()).value
    prefix, _, rest = genuine.partition("_")
    secret, key_id, end = rest[:45], rest[45:77], rest[77:]

    def make(*, is_known: bool) -> str:
        # Every one is new, since refusals are remembered.
        other = f"{random.getrandbits(128):032x}"
        changed = f"{prefix}_{other}{secret[32:]}{key_id if is_known else other}{end}"
        return changed[:-8] + f"{zlib.crc32(changed[:-8].encode()):08x}"

    unknown, wrong = ([make(is_known=is_known) for _ in range(_needed(calls))] for is_known in (False, True))
    return unknown, wrong, refusing(client.check_api_key)


def _flipped(raw: bytes, place: int) -> list[bytes]:
    """The same bytes with each bit of one byte flipped."""
    changed = [bytearray(raw) for _ in range(8)]
    for bit, copy in enumerate(changed):
        copy[place] ^= 1 << bit
    return [bytes(copy) for copy in changed]


if __name__ == "__main__":
    main()
