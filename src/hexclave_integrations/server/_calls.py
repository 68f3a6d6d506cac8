"""How a call is made: as a flow, repeated where that does no harm, and with what it made untrue forgotten."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias, TypeVar

from .. import _reasons as reasons
from .._policy import events
from .._policy.effects import Fetch, Flow, Once, Pause
from .._policy.state import Core
from .._wire import api
from .._wire.messages import Reply, Request, TransportError
from ..errors import HexclaveError, NotFound, ServerKeyRefused, Unavailable
from ._arguments import json_body
from ._refusals import is_refusal, refusal

__all__ = ["Method", "ask"]

T = TypeVar("T")
Method: TypeAlias = Literal["GET", "POST", "PATCH", "DELETE"]

# The least time before a second and a third attempt, seconds.
_PAUSES: Final = (0.1, 0.5)
# No attempt begins later than this many times `http_timeout` after the first one; the last may take one more.
_LAST_START: Final = 2
_QUIET: Final = "server's own calls"
_DONE: Final = Reply(200, {}, b'{"success": true}')


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt without an outcome.

    Attributes:
        reason: why there is none, for the developer.
        retry_after: what Hexclave asked for, seconds, or None.
        is_unclear: whether Hexclave may have done what it was asked to.
    """

    reason: str
    retry_after: float | None = None
    is_unclear: bool = True


def ask(
    core: Core,
    what: str,
    method: Method,
    path: str,
    read: Callable[[Reply], T],
    *,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    is_repeatable: bool | None = None,
    forgets: Sequence[str] = (),
) -> Flow[T]:
    """The flow of one call; what is wrong with it is raised before there is a flow.

    Args:
        what: names the call in logs and messages.
        path: below `/api/v1`, percent-encoded.
        read: makes the result, or raises ValueError.
        body: the fields of the body; a POST and a PATCH always have one (contract 3.2).
        is_repeatable: whether it may be sent again after a failure; None decides by the method: whatever is no POST.
        forgets: the tags of remembered answers that are untrue afterwards.

    Raises:
        ConfigurationError: there is no secret server key.
        InvalidArgument: the body cannot be sent.
    """
    content = None if body is None and method in ("GET", "DELETE") else json_body(body or {})
    request = api.server_call(core.config, what, method, path, query or {}, content)
    may_repeat = method != "POST" if is_repeatable is None else is_repeatable
    send = partial(_send, core, request, read, may_repeat=may_repeat)
    return _change(core, send, forgets) if forgets else send()


def _change(core: Core, send: Callable[[], Flow[T]], tags: Sequence[str]) -> Flow[T]:
    """Make a call that makes remembered answers untrue, to its end, although whoever asked for it may be cancelled.

    The answers are forgotten whatever comes: after a time-out nobody knows whether it was done.

    Raises:
        Unavailable: as for any call; or it was done, and the fleet cannot be told now.
    """

    def work() -> Flow[T]:
        try:
            try:
                answer = yield from send()
            except HexclaveError:
                with contextlib.suppress(Unavailable):  # which the log tells of
                    yield from events.forget_tags(core, tags)
                raise
            yield from events.forget_tags(core, tags)
            return answer
        finally:
            events.forget_here(core, tags)  # also where the flow is closed on its way

    _, answer = yield Once(object(), work)
    found: T = answer
    return found


def _send(core: Core, request: Request, read: Callable[[Reply], T], *, may_repeat: bool) -> Flow[T]:
    """Send a request until there is an outcome, at most three times, and for no longer than three time-outs.

    Raises:
        HexclaveApiError: Hexclave refused it.
        Unavailable: there is no outcome; what is no GET may have been done.
    """
    last_start = core.clock() + _LAST_START * core.config.http_timeout
    is_unclear = False
    for pause in (*_PAUSES, None) if may_repeat else (None,):
        try:
            outcome = yield from _attempt(core, request, read)
        except NotFound:
            if is_unclear and request.method == "DELETE":  # an attempt before has deleted it
                return read(_DONE)
            raise
        if not isinstance(outcome, _Failure):
            return outcome
        is_unclear |= outcome.is_unclear
        wait, reason = outcome.retry_after or 1.0, outcome.reason
        if pause is None or core.clock() + max(pause, outcome.retry_after or 0) > last_start:
            break
        yield Pause(max(pause, outcome.retry_after or 0))
    raise Unavailable(retry_after=wait, reason=reason)


def _attempt(core: Core, request: Request, read: Callable[[Reply], T]) -> Flow[T | _Failure]:
    silence = core.paused_until.get(_QUIET, 0.0) - core.clock()
    if 0 < silence <= api.MAX_RETRY_AFTER + 1:  # a longer one: the clock was set back
        return _Failure(reasons.RATE_LIMITED, silence, is_unclear=False)
    try:
        reply = yield Fetch(request)
    except TransportError as error:
        core.log.warning("Hexclave could not be asked for %s: %s", request.what, error)
        return _Failure(error.reason)
    asked_for = api.retry_after(reply, core.clock()) if "retry-after" in reply.headers else None
    if reply.real_status == 429:
        pause = 1.0 if asked_for is None else asked_for
        core.paused_until[_QUIET] = core.clock() + pause
        return _Failure(reasons.RATE_LIMITED, pause, is_unclear=False)
    if is_refusal(reply):
        refused = refusal(reply)
        if isinstance(refused, ServerKeyRefused):
            core.log.error("Hexclave refused secret_server_key, asked for %s", request.what)
        raise refused
    problem, reason = f"status {reply.real_status}", reasons.API_STATUS
    if reply.real_status in (200, 201):
        try:
            return read(reply)
        except ValueError as error:
            problem, reason = str(error), reasons.API_UNUSABLE
    core.log.warning("Hexclave gave no usable answer, asked for %s: %s", request.what, problem)
    return _Failure(reason, asked_for)
