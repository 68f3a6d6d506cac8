"""`OpenTelemetryObserver`: metrics and spans; the names stand in the package's docstring."""

from __future__ import annotations

from contextvars import Token
from typing import Any, Final

from .._base.extras import extra
from .._version import __version__
from ._observer import Observer

with extra("otel", "opentelemetry", "opentelemetry.context"):  # a package of that name need not be the API
    from opentelemetry.context import Context, attach, detach
    from opentelemetry.metrics import MeterProvider, get_meter
    from opentelemetry.trace import (
        Span,
        SpanKind,
        StatusCode,
        TracerProvider,
        get_tracer,
        set_span_in_context,
    )

__all__ = ["OpenTelemetryObserver"]

_SCOPE: Final = "hexclave_integrations"
# Of OpenTelemetry's `http.client.request.duration`; without advice the first bucket would end at five seconds.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

_CODE: Final = "hexclave.code"
_KIND: Final = "hexclave.question.kind"
_STATUS: Final = "http.response.status_code"
_ERROR: Final = "error.type"


class OpenTelemetryObserver(Observer):
    """Records what happens as OpenTelemetry metrics and spans.

    Needs the extra `otel`, which brings OpenTelemetry's API alone: the SDK and exporters are the application's.

    Args:
        meter_provider: makes the metrics; the global one when None.
        tracer_provider: makes the spans; the global one when None.

    Attributes are as in https://opentelemetry.io/docs/specs/semconv/http/, except that no span has a URL, whose path
    would have ids, and that a "no" of Hexclave's (an unknown API key, no member of a team) is no error.
    """

    def __init__(
        self,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        meter = get_meter(_SCOPE, __version__, meter_provider)
        self._tracer = get_tracer(_SCOPE, __version__, tracer_provider)
        self._admissions = meter.create_counter(
            "hexclave.admissions", "{admission}", "Requests that a requirement let through."
        )
        self._refusals = meter.create_counter("hexclave.refusals", "{refusal}", "Requests that were refused.")
        self._lookups = meter.create_counter(
            "hexclave.cache.lookups", "{lookup}", "Looks for what may be remembered, by whether it was."
        )
        self._questions = meter.create_histogram(
            "hexclave.question.duration",
            "s",
            "Duration of exchanges with Hexclave.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._deliveries = meter.create_counter(
            "hexclave.webhook.deliveries", "{delivery}", "Webhook deliveries that were received."
        )

    def admitted(self, scope: str, principal: str) -> None:
        self._admissions.add(1, {"hexclave.requirement.scope": scope, "hexclave.principal.kind": principal})

    def refused(self, code: str) -> None:
        self._refusals.add(1, {_CODE: code})

    def looked_up(self, cache: str, location: str, is_hit: bool) -> None:
        self._lookups.add(
            1,
            {
                "hexclave.cache.name": cache,
                "hexclave.cache.location": location,
                "hexclave.cache.outcome": "hit" if is_hit else "miss",
            },
        )

    def question_begins(self, kind: str) -> tuple[Span, Token[Context]]:
        span = self._tracer.start_span(f"hexclave {kind}", kind=SpanKind.CLIENT, attributes={_KIND: kind})
        # Current for the time of the exchange, so that spans of an instrumented httpx are inside of it.
        return span, attach(set_span_in_context(span))

    def question_ended(self, begun: Any, kind: str, seconds: float, status: int | None, failure: str | None) -> None:
        outcome: dict[str, str | int] = {}
        if status is not None:
            outcome[_STATUS] = status
        if failure is not None:
            outcome[_ERROR] = failure
        # Before the span ends: it is what an exemplar of the metric points to.
        self._questions.record(seconds, {_KIND: kind, **outcome})
        if begun is None:
            return
        span, token = begun
        detach(token)
        span.set_attributes(outcome)
        if failure is not None:
            span.set_status(StatusCode.ERROR)
        span.end()

    def delivery_ended(self, outcome: str, event_type: str | None, code: str | None) -> None:
        attributes = {"hexclave.webhook.outcome": outcome}
        if event_type is not None:
            attributes["hexclave.webhook.event_type"] = event_type
        if code is not None:
            attributes[_CODE] = code
        self._deliveries.add(1, attributes)
