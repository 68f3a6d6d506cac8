"""What becomes of a delivery: claim it, run its handlers, mark it done.

The contract is at least once, and each delivery's handlers once while they succeed::

    claim ──► claimed ──► handlers ──► done ─────────► 200
      │                      └─ one fails ─► release ─► 500   the sender comes back
      ├─────► done before ────────────────────────────► 200   nothing runs
      ├─────► somebody is working on it ──────────────► 409   the sender comes back
      └─────► the store cannot be asked ──────────────► 503   the sender comes back

A process that dies leaves a claim that expires. A store that has `transaction()`, a context manager, gets the handlers
and `done` inside of it: they take effect together or not at all, so that even a claim that was lost does no harm.

Handlers that were registered with `after_commit=True` are a second piece of work with a claim and a mark of its own,
outside of any transaction. It begins when the first one is done, and a repetition after a failure runs it alone.

As everywhere, the policy is a generator; `_running.py` carries out what it yields.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Final, Literal, TypeAlias

from ..errors import RequestRefused, WebhookHandlerFailed, WebhookInProgress, WebhookStoreUnavailable
from ..stores import Claim, StoreUnavailable, TransactionBroken
from ._events import WebhookEvent
from ._running import Flow, Handler, RunHandler, UseStore

__all__ = ["AFTER", "Outcome", "Transaction", "deliver", "forget"]

logger = logging.getLogger("hexclave_integrations")

AFTER: Final = ":after"
"""What the key of the second piece of work has behind that of the first."""

Outcome: TypeAlias = Literal["handled", "duplicate"]
Transaction: TypeAlias = Callable[[], AbstractContextManager[Any]]

_FAILED = "A webhook handler for %r failed; the sender will try again"
_AT_THE_END = (
    "The transaction of the webhook handlers for %r ended with an error. If it was rolled back the "
    "sender will try again; if the error is from transaction.on_commit() it will not be repeated: register such work "
    "with on(..., after_commit=True)"
)
_TOO_LONG = "Handlers for %r took longer than claim_ttl; %s"
_BROKEN = (
    "A webhook handler for %r caught an error of the database that had ended its transaction, so nothing was saved; "
    "wrap the statement that may fail in transaction.atomic(). The sender will try again"
)


def deliver(
    key: str,
    event: WebhookEvent,
    handlers: Iterable[Handler],
    *,
    claim_ttl: float,
    done_ttl: float,
    transaction: Transaction | None = None,
) -> Flow[Outcome]:
    """Run the handlers of an event, unless that is done already.

    Args:
        key: what the store knows this piece of work by.
        event: what the handlers get.
        handlers: run in this order, until one fails.
        claim_ttl: how long the handlers may take, seconds.
        done_ttl: how long it is remembered that they are done, seconds.
        transaction: makes a context manager around the handlers and the mark.

    Raises:
        RequestRefused: the answer that makes the sender come back.
    """
    token = secrets.token_hex(16)
    try:
        claim = yield UseStore("claim", (key, token, claim_ttl))
    except GeneratorExit:
        raise
    except BaseException as error:
        # The store may have heard us although we did not hear it.
        yield from _release(key, token)
        if not isinstance(error, Exception):
            raise
        raise _store_failed(error) from None
    if claim is Claim.DONE:
        return "duplicate"
    if claim is Claim.BUSY:
        raise WebhookInProgress
    is_marked = False
    try:
        with contextlib.nullcontext() if transaction is None else transaction():
            for handler in handlers:
                yield RunHandler(handler, event)
            if transaction is not None:
                yield from _mark_in_transaction(event, key, token, done_ttl)
                is_marked = True
    except GeneratorExit:  # nobody is left who could carry out what we yield: the claim expires
        raise
    except BaseException as error:
        # Whatever happened, the end of the loop included: the next delivery must not wait for this claim to expire.
        yield from _release(key, token)
        if isinstance(error, _UndoneError):
            raise error.refusal from None
        if not isinstance(error, Exception):
            raise
        logger.exception(_AT_THE_END if is_marked else _FAILED, event.type)
        raise WebhookHandlerFailed from None
    if transaction is None:
        yield from _mark(event, key, token, done_ttl)
    return "handled"


def forget(key: str) -> Flow[bool]:
    """Forget that a delivery is done; return whether it was.

    The second piece of work is forgotten first: whoever delivers in between then finds the first one done, and the
    second is repeated without it, which it can bear. The other way around, it would be left out.

    Args:
        key: what the store knows the first piece of work by.

    Raises:
        WebhookInProgress: one of them is being done, and nothing was forgotten.
        WebhookStoreUnavailable: the store cannot be asked now.
    """
    found = False
    for each in (key + AFTER, key):
        try:
            claim = yield UseStore("forget", (each,))
        except Exception as error:  # noqa: BLE001  # as in `_mark`
            raise _store_failed(error) from None
        if claim is Claim.BUSY:
            raise WebhookInProgress
        found |= claim is Claim.DONE
    return found


def _mark(event: WebhookEvent, key: str, token: str, ttl: float) -> Flow[None]:
    try:
        is_ours = yield UseStore("done", (key, token, ttl))
    except Exception as error:  # noqa: BLE001  # a store of the application's own may raise anything
        raise _store_failed(error) from None
    if not is_ours:
        logger.warning(_TOO_LONG, event.type, "they may have run twice")


def _mark_in_transaction(event: WebhookEvent, key: str, token: str, ttl: float) -> Flow[None]:
    """Mark it done in the transaction that its handlers have written in.

    Raises:
        _UndoneError: it must not be committed.
    """
    try:
        is_ours = yield UseStore("done", (key, token, ttl))
    except TransactionBroken:
        logger.error(_BROKEN, event.type)
        raise _UndoneError(WebhookHandlerFailed()) from None
    except Exception as error:  # noqa: BLE001  # as in `_mark`
        raise _UndoneError(_store_failed(error)) from None
    if not is_ours:
        logger.warning(_TOO_LONG, event.type, "what they wrote is rolled back")
        raise _UndoneError(WebhookInProgress())


class _UndoneError(Exception):
    """Roll back, release, and give this answer."""

    def __init__(self, refusal: RequestRefused) -> None:
        super().__init__()
        self.refusal = refusal


def _release(key: str, token: str) -> Flow[None]:
    # A store that cannot be asked, or an application's own that raises anything: the claim expires.
    with contextlib.suppress(Exception):
        yield UseStore("release", (key, token))


def _store_failed(error: Exception) -> RequestRefused:
    logger.error("The webhook store cannot be asked: %s", _named(error))
    return WebhookStoreUnavailable()


def _named(error: Exception) -> str:
    # Only our own error is known to hold no address and no password.
    return str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
