"""Telemetry: tell an observer of the application what the kit decides, asks and remembers.

::

    from hexclave_integrations.telemetry import OpenTelemetryObserver

    config = HexclaveConfig.from_env(observer=OpenTelemetryObserver())

`HEXCLAVE_OBSERVER` in Flask's configuration and `"OBSERVER"` in Django's `settings.HEXCLAVE` take the same object. An
endpoint for webhooks tells the observer of the application that it belongs to, or one of its own:
`Webhooks(observer=...)`. `Observer` is the base of observers for other systems, and needs no other package.

`OpenTelemetryObserver` records these metrics:

==============================  ==========================  ===================================================
metric                          unit                        attributes
==============================  ==========================  ===================================================
`hexclave.admissions`           counter, `{admission}`      `hexclave.requirement.scope`,
                                                            `hexclave.principal.kind`
`hexclave.refusals`             counter, `{refusal}`        `hexclave.code`
`hexclave.question.duration`    histogram, `s`              `hexclave.question.kind`,
                                                            `http.response.status_code`, `error.type`
`hexclave.cache.lookups`        counter, `{lookup}`         `hexclave.cache.name`, `hexclave.cache.location`,
                                                            `hexclave.cache.outcome`
`hexclave.webhook.deliveries`   counter, `{delivery}`       `hexclave.webhook.outcome`,
                                                            `hexclave.webhook.event_type`, `hexclave.code`
==============================  ==========================  ===================================================

and a span of the kind CLIENT around each exchange with Hexclave, a child of the current span: `hexclave key set`,
`hexclave team permissions`, `hexclave team membership`, `hexclave project permissions`, `hexclave api key`,
`hexclave user`, `hexclave current user`, `hexclave sessions`, and for `client.server` what is done, as
`hexclave new user`. It has the attributes of `hexclave.question.duration`, and the status ERROR where there is an
`error.type`. Where many requests wait for one exchange there is one span, in the trace of the request that began it; a
refresh of the key set in the background may be a trace of its own.

The values are those that `Observer` gets: few, and never a token, a key, an id or a URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._observer import Observer

if TYPE_CHECKING:
    from ._opentelemetry import OpenTelemetryObserver

__all__ = ["Observer", "OpenTelemetryObserver"]


def __getattr__(name: str) -> Any:
    if name != "OpenTelemetryObserver":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._opentelemetry import OpenTelemetryObserver  # which needs the package; `Observer` does not

    return OpenTelemetryObserver
