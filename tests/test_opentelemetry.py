"""The OpenTelemetry observer, with the SDK's exporters in memory: metrics, spans, and nothing secret in either."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode, get_current_span

import hexclave_integrations.telemetry as documentation
from hexclave_integrations import AsyncHexclaveClient, HexclaveClient, __version__
from hexclave_integrations.requirements import require_permission, require_user
from hexclave_integrations.telemetry import OpenTelemetryObserver
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from ._server import (
    CROWD,
    DRIVE_IDS,
    DRIVES,
    Clock,
    Drive,
    Server,
    error_of,
    fixed,
    gated,
    hang,
    relay,
    settings,
    wait_for_refresh,
)

Attributes = dict[str, Any]

UNITS: Final = {
    "hexclave.admissions": "{admission}",
    "hexclave.refusals": "{refusal}",
    "hexclave.question.duration": "s",
    "hexclave.cache.lookups": "{lookup}",
    "hexclave.webhook.deliveries": "{delivery}",
}
NAMES: Final = {
    "hexclave.requirement.scope",
    "hexclave.principal.kind",
    "hexclave.code",
    "hexclave.question.kind",
    "http.response.status_code",
    "error.type",
    "hexclave.cache.name",
    "hexclave.cache.location",
    "hexclave.cache.outcome",
    "hexclave.webhook.outcome",
    "hexclave.webhook.event_type",
}
DATA = {"id": "ad962777-8244-496a-b6a2-e0c6a449c79e"}


class Telemetry:
    """An observer and what its metrics and spans came to.

    Attributes:
        observer: for a configuration.
        tracer: of the application, for spans around requests.
    """

    def __init__(self) -> None:
        self._reader, self._exporter = InMemoryMetricReader(), InMemorySpanExporter()
        self._meters, self._tracers = MeterProvider([self._reader]), TracerProvider()
        self._tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self._tracers.get_tracer("the application")
        self.observer = OpenTelemetryObserver(self._meters, self._tracers)

    def metrics(self) -> dict[str, Any]:
        """The metrics so far, by name."""
        data = self._reader.get_metrics_data()
        resources = [] if data is None else data.resource_metrics
        found = [scope for resource in resources for scope in resource.scope_metrics]
        assert {(scope.scope.name, scope.scope.version) for scope in found} <= {("hexclave_integrations", __version__)}
        return {metric.name: metric for scope in found for metric in scope.metrics}

    def points(self, name: str) -> list[tuple[Attributes, Any]]:
        """The attributes and the point of each series of a metric."""
        return [(dict(point.attributes), point) for point in self.metrics()[name].data.data_points]

    def counts(self, name: str) -> dict[tuple[Any, ...], int]:
        """The values of a counter by the values of its attributes, in the order of their names."""
        return {
            tuple(attributes[key] for key in sorted(attributes)): point.value for attributes, point in self.points(name)
        }

    def spans(self, *, ours: bool = True) -> list[ReadableSpan]:
        """The spans that have ended: those of the kit, or those of the application."""
        wanted = "hexclave_integrations" if ours else "the application"
        return [
            span
            for span in self._exporter.get_finished_spans()
            if span.instrumentation_scope is not None and span.instrumentation_scope.name == wanted
        ]

    def exported(self) -> str:
        """Everything as one text."""
        return "\n".join(
            [
                *(metric.to_json() for metric in self.metrics().values()),
                *(span.to_json() for span in self._exporter.get_finished_spans()),
            ]
        )

    def end(self) -> None:
        self._meters.shutdown()
        self._tracers.shutdown()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    found = Telemetry()
    yield found
    found.end()


@pytest.fixture(params=DRIVES, ids=DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    driving: Drive = request.param()
    yield driving
    driving.end()


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def attributes_of(span: ReadableSpan) -> Attributes:
    return dict(span.attributes or {})


def exercise(drive: Drive, sandbox: Sandbox, telemetry: Telemetry) -> list[str]:
    """Requests of every outcome; returns what must be told to nobody."""
    alice, team = sandbox.create_user(display_name="Alice Liddell", primary_email="alice@example.com"), "{team}"
    teams = {"team": sandbox.create_team().id}
    sandbox.add_member(teams["team"], alice)
    key = sandbox.create_api_key(user=alice).value
    with Server(relay(sandbox)) as server:
        config = settings(sandbox, server, observer=telemetry.observer)
        client = drive.client(config)
        access = sandbox.token(alice)
        good, bad = ({"x-stack-access-token": token} for token in (access, access[:-3] + "AAA"))
        for requirement in (require_user, require_user.live(), require_permission(team, "export_reports")):
            for headers in ({}, good, good, bad):
                error_of(drive, client, "admit", requirement, client.attempt(headers), params=teams)
        for text in (key, key, key[:-1]):
            error_of(drive, client, "check_api_key", text)
        drive.run(client, "get_current_user", access)
        webhooks = Webhooks(sandbox.config.webhook_secrets, observer=telemetry.observer)
        webhooks.on("team.updated")(lambda event: 1 / 0)
        created, updated = (sandbox.webhook(f"team.{what}", DATA) for what in ("created", "updated"))
        for body, fields in (created, created, (created[0] + b" ", created[1]), updated):
            webhooks.receive(body, fields)
        server.behaviour = fixed(500, b"")
        error_of(drive, client, "list_permissions", alice.id)
        session = str(sandbox.token(alice)).split(".")[1]
        secrets = [alice.id, teams["team"], key, *access.split("."), session, config.project_id]
        secrets += [str(config.secret_server_key), server.url, "127.0.0.1", "alice", DATA["id"], "/api/v1", "users/"]
    return secrets


def test_metrics_have_the_documented_names_units_and_attributes(
    drive: Drive, sandbox: Sandbox, telemetry: Telemetry
) -> None:
    """Each metric is there, with its unit and a description, and no attribute but those of the documentation."""
    exercise(drive, sandbox, telemetry)
    metrics = telemetry.metrics()

    assert {name: metric.unit for name, metric in metrics.items()} == UNITS
    assert all(metric.description.endswith(".") for metric in metrics.values())
    seen = {key for name in metrics for attributes, _ in telemetry.points(name) for key in attributes}
    assert seen == NAMES
    assert [name for name in (*UNITS, *NAMES) if f"`{name}`" not in (documentation.__doc__ or "")] == []


def test_counts_are_right(drive: Drive, sandbox: Sandbox, telemetry: Telemetry) -> None:
    """By scope and principal, by code, by cache and outcome, and by the outcome of a delivery."""
    exercise(drive, sandbox, telemetry)

    assert telemetry.counts("hexclave.admissions") == {("regular", "user"): 4}
    assert telemetry.counts("hexclave.refusals") == {
        ("USER_AUTHENTICATION_REQUIRED",): 3,
        ("UNPARSABLE_ACCESS_TOKEN",): 3,
        ("TEAM_PERMISSION_REQUIRED",): 2,
        ("API_KEY_NOT_FOUND",): 1,
    }
    lookups = telemetry.counts("hexclave.cache.lookups")
    assert lookups["memory", "permissions", "miss"] == 2
    assert lookups["memory", "permissions", "hit"] == 1
    assert lookups["memory", "api key", "miss"] == 1
    assert lookups["memory", "api key", "hit"] == 1
    assert lookups["memory", "token", "hit"] == 6
    assert telemetry.counts("hexclave.webhook.deliveries") == {
        ("team.created", "handled"): 1,
        ("team.created", "duplicate"): 1,
        ("WEBHOOK_VERIFICATION_FAILED", "refused"): 1,
        ("WEBHOOK_HANDLER_FAILED", "team.updated", "failed"): 1,
    }


def test_durations_are_a_histogram_in_seconds(drive: Drive, sandbox: Sandbox, telemetry: Telemetry) -> None:
    """With buckets for what a question takes, and one series for each kind, status and failure."""
    exercise(drive, sandbox, telemetry)
    points = telemetry.points("hexclave.question.duration")
    series = {(a["hexclave.question.kind"], a.get("http.response.status_code"), a.get("error.type")) for a, _ in points}

    assert {
        ("key set", 200, None),
        ("team permissions", 200, None),
        ("sessions", 200, None),
        ("project permissions", 500, "500"),
    } <= series
    for _, point in points:
        assert 0 < point.sum < 20
        assert point.explicit_bounds[0] == 0.005
        assert point.explicit_bounds[-1] == 10


def test_nothing_secret_is_exported(drive: Drive, sandbox: Sandbox, telemetry: Telemetry) -> None:
    """No token, key, id, name, host or path in anything that leaves the process."""
    secrets = exercise(drive, sandbox, telemetry)
    exported = telemetry.exported()

    assert "hexclave team permissions" in exported
    assert [secret for secret in secrets if secret in exported] == []


class Requests:
    """Calls of a client, each inside of a span of the application's, as a framework's instrumentation makes it.

    Args:
        client: of either colour.
        telemetry: where the spans go.
    """

    def __init__(self, client: Any, telemetry: Telemetry) -> None:
        self._client = client
        self._telemetry = telemetry

    def handle(self, method: str, *arguments: Any) -> Any:
        """Call it; awaited if the client is async."""
        if isinstance(self._client, AsyncHexclaveClient):
            return self._ahandle(method, *arguments)
        with self._telemetry.tracer.start_as_current_span("GET /", record_exception=False) as request:
            try:
                return getattr(self._client, method)(*arguments)
            finally:
                assert get_current_span() is request

    async def _ahandle(self, method: str, *arguments: Any) -> Any:
        with self._telemetry.tracer.start_as_current_span("GET /", record_exception=False) as request:
            try:
                return await getattr(self._client, method)(*arguments)
            finally:
                assert get_current_span() is request


def test_a_span_is_a_client_span_inside_of_the_requests(drive: Drive, sandbox: Sandbox, telemetry: Telemetry) -> None:
    """One for each exchange, named by its kind, child of what is current, and without errors where all is well."""
    user, team = sandbox.create_user(), sandbox.create_team()
    with Server(relay(sandbox)) as server:
        client = drive.client(settings(sandbox, server, observer=telemetry.observer))
        requests = Requests(client, telemetry)
        drive.run(requests, "handle", "verify_token", sandbox.token(user))
        drive.run(requests, "handle", "is_team_member", user.id, team.id)
        drive.run(requests, "handle", "is_team_member", user.id, team.id)

    key_set, member = telemetry.spans()
    assert (key_set.name, member.name) == ("hexclave key set", "hexclave team membership")
    first, second, third = telemetry.spans(ours=False)
    assert third.parent is None
    for span, request, status in ((key_set, first, 200), (member, second, 404)):
        assert span.kind is SpanKind.CLIENT
        assert span.parent == request.context
        kind = span.name.removeprefix("hexclave ")
        assert attributes_of(span) == {"hexclave.question.kind": kind, "http.response.status_code": status}
        assert span.status.status_code is StatusCode.UNSET
        assert span.events == ()


@pytest.mark.parametrize(
    ("behaviour", "attributes"),
    [
        pytest.param(fixed(500, b""), {"http.response.status_code": 500, "error.type": "500"}, id="an error"),
        pytest.param(hang, {"error.type": "timeout"}, id="nothing"),
    ],
)
def test_an_error_is_an_error_of_the_span(
    drive: Drive, sandbox: Sandbox, telemetry: Telemetry, behaviour: Any, attributes: Attributes
) -> None:
    """Also where the exchange is given up from outside."""
    with Server(behaviour) as server:
        client = drive.client(settings(sandbox, server, observer=telemetry.observer, http_timeout=0.5))
        user = sandbox.create_user()
        assert error_of(drive, Requests(client, telemetry), "handle", "list_permissions", user.id) is not None

    (span,), (request,) = telemetry.spans(), telemetry.spans(ours=False)
    assert span.parent == request.context
    assert attributes_of(span) == {"hexclave.question.kind": "project permissions", **attributes}
    assert span.status.status_code is StatusCode.ERROR


def test_a_crowd_has_one_span(drive: Drive, sandbox: Sandbox, telemetry: Telemetry) -> None:
    """It belongs to whoever began the fetch."""
    with Server(gated(relay(sandbox))) as server:
        client = drive.client(settings(sandbox, server, observer=telemetry.observer))
        threading.Timer(0.2, server.gate.set).start()
        drive.crowd(client, [("verify_token", (sandbox.token(sandbox.create_user()),)) for _ in range(CROWD)])

    assert [span.name for span in telemetry.spans()] == ["hexclave key set"]


def test_a_refresh_in_the_background_has_a_span(drive: Drive, sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Of its own, which ends after the request that noticed that the keys were old."""
    clock, token = Clock(), sandbox.token(sandbox.create_user(), 86400)
    with Server(relay(sandbox)) as server:
        client = drive.client(settings(sandbox, server, observer=telemetry.observer), clock=clock)
        drive.run(client, "verify_token", token)
        clock.advance(700)
        drive.run(client, "verify_token", token)
        wait_for_refresh()

    assert [span.name for span in telemetry.spans()] == ["hexclave key set"] * 2


def test_spans_of_the_transport_are_inside(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """On an event loop what an instrumented httpx records is a child of ours."""
    inner: Any = sandbox.config.transport

    class Instrumented:
        async def handle_async_request(self, request: Any) -> Any:
            with telemetry.tracer.start_as_current_span("HTTP GET"):
                return await inner.handle_async_request(request)

    client = AsyncHexclaveClient(
        dataclasses.replace(sandbox.config, observer=telemetry.observer, transport=Instrumented())
    )
    assert asyncio.run(client.warm())

    (http,), (ours,) = telemetry.spans(ours=False), telemetry.spans()
    assert http.parent == ours.context


def test_the_servers_own_calls_have_spans(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Named by what is done, and never by whom it is done to."""
    client = HexclaveClient(dataclasses.replace(sandbox.config, observer=telemetry.observer))
    user = client.server.users.create(display_name="Ada")
    client.server.users.delete(user.id)

    assert [span.name for span in telemetry.spans()] == ["hexclave new user", "hexclave user's deletion"]
    assert user.id not in telemetry.exported()


def test_without_providers_the_global_ones_count(sandbox: Sandbox) -> None:
    """Those of an application without an SDK forget everything, and nothing fails."""
    client = HexclaveClient(dataclasses.replace(sandbox.config, observer=OpenTelemetryObserver()))
    user = sandbox.create_user()

    assert client.admit(require_user, client.attempt(sandbox.headers(user))) is not None
    assert get_current_span() is INVALID_SPAN


def test_an_end_without_a_begin_is_still_measured(telemetry: Telemetry) -> None:
    """A tracer that fails costs the span, and not the metric."""
    telemetry.observer.question_ended(None, "user", 0.1, 200, None)

    ((_, point),) = telemetry.points("hexclave.question.duration")
    assert (point.count, point.sum) == (1, 0.1)
    assert telemetry.spans() == []
