"""The WSGI middleware inside the application: prepares it once, gives each request its caller, guards caches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ._caller import Caller, Installation

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["CallerMiddleware"]


class CallerMiddleware:
    """Takes the place of `app.wsgi_app`, so that no answer goes out around it.

    Args:
        wsgi_app: what it wraps.
        find: gives Hexclave of the application as it is configured now.
        prepare: called before the first answer, until it passes; raises if the application is wrong.
    """

    def __init__(
        self, wsgi_app: WSGIApplication, find: Callable[[], Installation], prepare: Callable[[], None]
    ) -> None:
        self._wsgi_app = wsgi_app
        self._find = find
        self._prepare = prepare
        self._is_prepared = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._is_prepared:
            self._prepare()
            self._is_prepared = True
        installation = self._find()
        slot = installation.begin(environ)
        answered: int | None = None

        def guarded_start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
            nonlocal answered
            answered = int(status[:3])
            caller = slot.get("caller")
            if caller is not None and caller.attempt.asked:
                headers = installation.guard_caches(headers)
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        try:
            answer = self._wsgi_app(environ, guarded_start)
        except BaseException:
            _conclude(slot, environ, None)
            raise
        _conclude(slot, environ, answered)
        return answer


def _conclude(slot: Mapping[str, Caller], environ: WSGIEnvironment, status: int | None) -> None:
    caller = slot.get("caller")
    if caller is None or caller.attempt.spending is None:
        return
    if environ.get("HTTP_UPGRADE", "").lower() == "websocket" and not caller.attempt.was_refused:
        status = 101  # its view ends with the conversation, which was paid for when it began
    caller.conclude(status)
