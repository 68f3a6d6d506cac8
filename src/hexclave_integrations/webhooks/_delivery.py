"""`Webhooks`: verify a delivery, claim it, run its handlers, mark it done.

The delivery contract, at least once and each delivery's handlers once while they succeed::

    claim ──► claimed ──► handlers ──► done ─────────► 200
      │                      └─ one fails ─► release ─► 500   the sender comes back
      ├─────► done before ────────────────────────────► 200   nothing runs
      ├─────► somebody is working on it ──────────────► 409   the sender comes back
      └─────► the store cannot be asked ──────────────► 503   the sender comes back

A process that dies leaves a claim that expires. A store that has `transaction()`, a context manager, gets the handlers
and `done` inside of it: they take effect together or not at all, so that even a claim that was lost does no harm.

As everywhere, the policy is a generator; the two drivers in `_running.py` only call what it yields.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import inspect
import json
import logging
import math
import secrets as random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

from .._base import strict
from ..config import HexclaveConfig
from ..errors import (
    ConfigurationError,
    RequestRefused,
    Unavailable,
    WebhookHandlerFailed,
    WebhookInProgress,
    WebhookVerificationFailed,
)
from ..stores import Claim, MemoryStore, StoreUnavailable
from ._events import WebhookData, WebhookEvent, read_event
from ._running import Flow, Handler, RunHandler, UseStore, arun, run
from ._signature import Signer, delivery_headers

if TYPE_CHECKING:
    from ..client import AsyncHexclaveClient, HexclaveClient

__all__ = ["Handler", "Outcome", "Webhooks"]

logger = logging.getLogger("hexclave_integrations")

H = TypeVar("H", bound=Handler)

Outcome: TypeAlias = Literal["handled", "duplicate"]
Answer: TypeAlias = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
Call: TypeAlias = Callable[[Handler, WebhookEvent], Any]

MAX_BODY: Final = 1024 * 1024
_OPERATIONS: Final = ("claim", "done", "release")


class Webhooks:
    """The webhook endpoint of an application: its secrets, its handlers, and the memory of what is done.

    Args:
        secrets: the endpoint's signing secrets, `whsec_...`, newest first; from the environment when None
            (`HEXCLAVE_WEBHOOK_SECRET`, `STACK_WEBHOOK_SECRET`, or `..._SECRETS` with commas).
        store: where claims live; one for this process when None. Several processes need a shared one.
        tolerance: how far a delivery's time may be from now, seconds.
        max_body: largest body, bytes.
        claim_ttl: the longest a delivery's handlers may take, seconds; a dead process's claim is free after it.
        done_ttl: how long a done delivery is remembered, seconds; longer than the sender goes on retrying.
        endpoint: a name for the claims of this endpoint, the same in all its processes. Without it they are told
            from other endpoints' by the oldest secret: repetitions of what was done before that one is dropped run
            once more.
        clock: gives epoch seconds.

    Raises:
        ConfigurationError: there is no secret, one is none, or another argument cannot be right.
    """

    def __init__(
        self,
        secrets: Iterable[str] | None = None,
        store: Any = None,
        *,
        tolerance: float = 300,
        max_body: int = MAX_BODY,
        claim_ttl: float = 300,
        done_ttl: float = 7 * 86400,
        endpoint: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if isinstance(secrets, str):
            secrets = [secrets]
        times = {"tolerance": tolerance, "max_body": max_body, "claim_ttl": claim_ttl, "done_ttl": done_ttl}
        for name, value in times.items():
            # NaN would let every time pass: no comparison with it is true.
            if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
                raise ConfigurationError(f"{name} must be a number above 0.")
        known = HexclaveConfig.webhook_secrets_from_env() if secrets is None else tuple(secrets)
        self._signer = Signer(known, tolerance)
        self.store = MemoryStore() if store is None else store
        if not any(all(callable(getattr(self.store, c + name, None)) for name in _OPERATIONS) for c in ("", "a")):
            raise ConfigurationError("store is no delivery store: use MemoryStore() or RedisStore(url).")
        transaction = getattr(self.store, "transaction", None)
        self._transaction: Callable[[], AbstractContextManager[Any]] | None = transaction
        self.max_body = max_body
        self._claim_ttl = claim_ttl
        self._done_ttl = done_ttl
        # A delivery has one id at all endpoints. The oldest secret stays while new ones are put before it.
        self._scope = hashlib.sha256((endpoint or known[-1]).encode()).hexdigest()[:16]
        self._clock = clock
        self._handlers: list[tuple[str, Handler]] = []

    def on(self, pattern: str) -> Callable[[H], H]:
        """Register a handler, sync or async, for a type; several run in the order they were registered.

        Args:
            pattern: `"user.created"`, `"user.*"`, or `"*"`.

        Raises:
            ConfigurationError: the pattern can match nothing, or the handler is none.
        """
        family, dot, name = pattern.partition(".") if isinstance(pattern, str) else ("", "", "")
        if pattern != "*" and not (family and dot and name and "*" not in family and name.count("*") == (name == "*")):
            raise ConfigurationError('on() takes a type such as "user.created", or "user.*", or "*".')

        def register(handler: H) -> H:
            if not callable(handler):
                raise ConfigurationError("A webhook handler must be a function or coroutine function.")
            if any(_yields(part) for part in (handler, getattr(handler, "__call__", None))):  # noqa: B004
                raise ConfigurationError("A webhook handler must not yield: calling it would run nothing of it.")
            self._handlers.append((pattern, handler))
            return handler

        return register

    def verify(self, body: bytes, headers: Headers) -> WebhookEvent:
        """The event of a genuine delivery; nothing is claimed and no handler runs.

        Args:
            body: the raw bytes of the request.
            headers: the request's headers.

        Raises:
            WebhookVerificationFailed: signature, time or body are bad.
        """
        body = bytes(body)
        if len(body) > self.max_body:
            raise WebhookVerificationFailed
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        delivery_id, timestamp = self._signer.verify(delivery_headers(pairs), body, self._clock())
        try:
            payload = strict.json_object(body, max_brackets=None)
            return read_event(payload, delivery_id=delivery_id, timestamp=timestamp, body=body)
        except ValueError:
            raise WebhookVerificationFailed from None

    def receive(
        self, body: bytes, headers: Headers, client: HexclaveClient | None = None, *, call: Call | None = None
    ) -> Answer:
        """The whole answer to a delivery, for an adapter without an event loop; raises no refusal.

        Args:
            body: the raw bytes of the request, read up to one byte more than `max_body`.
            headers: the request's headers.
            client: forgets at once what the event made untrue.
            call: calls a handler, in a framework that has its own way to run a coroutine.
        """
        try:
            event = self.verify(body, headers)
            if client is not None and isinstance(event.data, WebhookData):
                client.notice(event.type, event.data)
            return _answer(self.dispatch(event, call=call))
        except RequestRefused as error:
            return error.status, error.headers(), error.body()

    async def areceive(self, body: bytes, headers: Headers, client: AsyncHexclaveClient | None = None) -> Answer:
        """As `receive`, on an event loop."""
        try:
            event = self.verify(body, headers)
            if client is not None and isinstance(event.data, WebhookData):
                await client.notice(event.type, event.data)
            return _answer(await self.adispatch(event))
        except RequestRefused as error:
            return error.status, error.headers(), error.body()

    def handle(self, body: bytes, headers: Headers) -> Outcome:
        """Receive a delivery without an event loop: verify, claim, run handlers, mark done.

        Args:
            body: the raw bytes of the request.
            headers: the request's headers.

        Raises:
            RequestRefused: the answer to give; anything but 2xx makes the sender come back.
        """
        return self.dispatch(self.verify(body, headers))

    async def ahandle(self, body: bytes, headers: Headers) -> Outcome:
        """As `handle`, on an event loop; sync handlers run on a thread and do not block it."""
        return await self.adispatch(self.verify(body, headers))

    def dispatch(self, event: WebhookEvent, *, call: Call | None = None) -> Outcome:
        """As `handle`, for an event that `verify` returned; `call` as in `receive`."""
        return run(self._deliver(event, call), self.store)

    async def adispatch(self, event: WebhookEvent) -> Outcome:
        """As `ahandle`, for an event that `verify` returned."""
        if self._transaction is not None:  # which belongs to one thread
            return await asyncio.to_thread(self.dispatch, event)
        return await arun(self._deliver(event), self.store)

    def _deliver(self, event: WebhookEvent, call: Call | None = None) -> Flow[Outcome]:
        key, token = f"delivery:{self._scope}:{event.id}", random.token_hex(16)
        try:
            claim = yield UseStore("claim", (key, token, self._claim_ttl))
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
        try:
            with contextlib.nullcontext() if self._transaction is None else self._transaction():
                for pattern, handler in self._handlers:
                    if _matches(pattern, event.type):
                        yield RunHandler(handler if call is None else functools.partial(call, handler), event)
                if self._transaction is not None:
                    yield from self._end_transaction(event, key, token)
        except GeneratorExit:  # nobody is left who could do what we yield: the claim expires
            raise
        except BaseException as error:
            # Whatever happened, cancellation included: the next delivery must not wait for this claim to expire.
            yield from _release(key, token)
            if isinstance(error, _UndoneError):
                raise error.refusal from None
            if not isinstance(error, Exception):
                raise
            logger.exception("A webhook handler for %r failed; the sender will try again", event.type)
            raise WebhookHandlerFailed from None
        if self._transaction is not None:
            return "handled"
        try:
            if not (yield UseStore("done", (key, token, self._done_ttl))):
                logger.warning("Handlers for %r took longer than claim_ttl; they may have run twice", event.type)
        except Exception as error:  # noqa: BLE001  # a store of the application's own may raise anything
            raise _store_failed(error) from None
        return "handled"

    def _end_transaction(self, event: WebhookEvent, key: str, token: str) -> Flow[None]:
        """Mark it done in the transaction that its handlers have written in.

        Raises:
            _UndoneError: it must not be committed.
        """
        try:
            is_ours = yield UseStore("done", (key, token, self._done_ttl))
        except Exception as error:  # noqa: BLE001  # as in `_deliver`
            raise _UndoneError(_store_failed(error)) from None
        if not is_ours:
            logger.warning("Handlers for %r took longer than claim_ttl; what they wrote is rolled back", event.type)
            raise _UndoneError(WebhookInProgress())


class _UndoneError(Exception):
    """Roll back, release, and give this answer."""

    def __init__(self, refusal: RequestRefused) -> None:
        super().__init__()
        self.refusal = refusal


def _answer(outcome: Outcome) -> Answer:
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    return 200, headers, json.dumps({"status": outcome}).encode()


def _matches(pattern: str, kind: str) -> bool:
    return pattern in ("*", kind) or (pattern.endswith(".*") and kind.startswith(pattern[:-1]))


def _yields(function: object) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _release(key: str, token: str) -> Flow[None]:
    # A store that cannot be asked, or an application's own that raises anything: the claim expires.
    with contextlib.suppress(Exception):
        yield UseStore("release", (key, token))


def _store_failed(error: Exception) -> RequestRefused:
    logger.error("The webhook store cannot be asked: %s", _named(error))
    return Unavailable(retry_after=5)


def _named(error: Exception) -> str:
    # Only our own error is known to hold no address and no password.
    return str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
