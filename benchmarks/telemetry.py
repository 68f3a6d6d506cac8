"""What an observer costs: whole decisions about remembered tokens and permissions, without one and with two of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from hexclave_integrations import HexclaveClient, HexclaveConfig
from hexclave_integrations.requirements import Requirement, require_permission, require_user
from hexclave_integrations.telemetry import Observer, OpenTelemetryObserver
from hexclave_integrations.testing import Sandbox

from ._measure import Contender, Scale, Table, compare, interleave
from ._snippet import Snippet
from .verify import RAW, raw_parts

__all__ = ["tables"]

ROUNDS = 150
BATCH = 200
PERMISSION = "export_reports"

TITLES = ("Telemetry: a repeated token", "Telemetry: a remembered permission")
NONE = "hexclave: no observer"
IDLE = "hexclave: an observer that does nothing"
METRICS = "hexclave: OpenTelemetry"
COUNTER = "OpenTelemetry: one addition to a counter"
NOTE = (
    "The rows of hexclave are `admit` for a new request of a browser. For a repeated token an observer is told of one "
    "look-up and one admission, for a remembered permission of one look-up more: an addition to a counter each. The "
    "SDK aggregates in memory."
)


def tables(scale: Scale) -> list[Table]:
    """Measure."""
    sandbox = Sandbox()
    rounds = scale.of(ROUNDS)
    with sandbox.serve():
        user, team = sandbox.create_user(display_name="Ada Lovelace"), sandbox.create_team().id
        sandbox.grant(user, PERMISSION, team=team)
        parts = [
            _contenders(sandbox.config, requirement, sandbox.token(user, 3600))
            for requirement in (require_user, require_permission(team, PERMISSION))
        ]
        interleave([contender for part in parts for contender in part], rounds)
    columns = {"x raw": RAW, "x no observer": NONE}
    return [compare(title, part, columns, NOTE) for title, part in zip(TITLES, parts, strict=True)]


def _contenders(config: HexclaveConfig, requirement: Requirement, token: str) -> list[Contender[str]]:
    meters, tracers = MeterProvider([InMemoryMetricReader()]), TracerProvider()
    counter = meters.get_meter("benchmark").create_counter("additions")
    key, es256 = Snippet(config.api_url, config.project_id).key(token), ECDSA(SHA256())
    signature = raw_parts(token)
    observers = {NONE: None, IDLE: Observer(), METRICS: OpenTelemetryObserver(meters, tracers)}
    return [
        Contender(RAW, lambda _: key.verify(*signature, es256), [[token] * 40]),
        Contender(COUNTER, lambda _: counter.add(1, {"one": "user", "another": "regular"}), [[token] * BATCH]),
        *(
            Contender(name, _admitting(config, observer, requirement), [[token] * BATCH])
            for name, observer in observers.items()
        ),
    ]


def _admitting(config: HexclaveConfig, observer: Observer | None, requirement: Requirement) -> Any:
    client = HexclaveClient(dataclasses.replace(config, observer=observer))

    def admit(token: str) -> None:
        headers = {
            "host": "app.example.com",
            "user-agent": "Mozilla/5.0",
            "accept": "*/*",
            "accept-encoding": "gzip, br",
            "x-stack-access-token": token,
            "connection": "keep-alive",
        }
        assert client.admit(requirement, client.attempt(headers)) is not None

    return admit
