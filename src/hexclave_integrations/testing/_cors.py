"""What lets a page of another origin call the sandbox: the real server's CORS headers, on every answer (contract 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ._wire import Reply

__all__ = ["HEALTH_HEADERS", "is_preflight", "preflight", "with_cors"]


def _both_names(names: Iterable[str]) -> list[str]:
    return [f"x-{brand}-{name}" for name in names for brand in ("stack", "hexclave")]


_REQUEST_HEADERS = (
    "content-type",
    "authorization",
    *_both_names(
        (
            *("project-id", "branch-id", "override-error-status", "random-nonce", "client-version"),
            "disable-artificial-development-delay",
            *("access-type", "publishable-client-key", "secret-server-key", "super-secret-admin-key"),
            *("admin-access-token", "refresh-token", "access-token", "allow-anonymous-user", "allow-restricted-user"),
        )
    ),
    "baggage",
    "sentry-trace",
    "x-vercel-protection-bypass",
    "ngrok-skip-browser-warning",
)
_RESPONSE_HEADERS = (
    "content-type",
    "location",
    "retry-after",
    *_both_names(("actual-status", "known-error", "request-id")),
)
_HEADERS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
    "access-control-max-age": "86400",
    "access-control-allow-headers": ", ".join(_REQUEST_HEADERS),
    "access-control-expose-headers": ", ".join(_RESPONSE_HEADERS),
    "vary": ", ".join(("origin", *_REQUEST_HEADERS)),
}
HEALTH_HEADERS: Mapping[str, str] = {
    f"access-control-{name}": "*" for name in ("allow-origin", "allow-methods", "allow-headers", "expose-headers")
}


def is_preflight(method: str, path: str) -> bool:
    """Whether a request is answered before anything else is looked at: OPTIONS, below `/api/`."""
    return method == "OPTIONS" and path.startswith("/api/")


def preflight() -> Reply:
    """The answer to a browser that asks whether it may send a request: yes, whatever it is."""
    return Reply(status=200, headers=_HEADERS)


def with_cors(path: str, reply: Reply) -> Reply:
    """The reply as a page of another origin may read it, if it comes from below `/api/`."""
    return replace(reply, headers=dict(reply.headers) | _HEADERS) if path.startswith("/api/") else reply
