"""`Webhooks`: the endpoint of an application, with its secrets, its handlers and its memory of what is done."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from .. import _reasons as reasons
from .._base.log import SparingLog
from ..config import HexclaveConfig
from ..errors import ConfigurationError, RequestRefused, WebhookVerificationFailed
from ..stores import MemoryStore
from ..telemetry._observer import Observer
from ._body import read_body, readable_part
from ._delivery import AFTER, Outcome, Transaction, deliver, forget
from ._events import WebhookData, WebhookEvent, read_event
from ._patterns import UnknownEventType, matches, warn_of_misspelling, yields
from ._running import Flow, Handler, arun, run
from ._signature import SignatureChecker, delivery_headers
from ._watch import Watch, Watches
from ._workers import sign_of_several

if TYPE_CHECKING:
    from ..client import AsyncHexclaveClient, HexclaveClient

__all__ = ["UnknownEventType", "Webhooks"]

logger = logging.getLogger("hexclave_integrations")

H = TypeVar("H", bound=Handler)

Answer: TypeAlias = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
Call: TypeAlias = Callable[[Handler, WebhookEvent], Any]
News: TypeAlias = tuple[str, Mapping[str, Any]]
"""Type and data of an event."""

MAX_BODY: Final = 1024 * 1024
_SPARING: Final = 60.0
"""How long a reason for refusing deliveries is not written again, seconds."""
_ALONE: Final = (
    "Webhook deliveries are remembered in the memory of this process alone, and %s: handlers run once in each process "
    "that a repetition reaches. Give all processes one store: Webhooks(store=RedisStore(url)), or in Django "
    "DatabaseStore()"
)
_OPERATIONS: Final = ("claim", "done", "release")


class Webhooks:
    """The webhook endpoint of an application: its secrets, its handlers, and the memory of what is done.

    A handler that has begun runs to its end, also when the sender hangs up in the meantime: the delivery is then
    marked as done, and repetitions are answered with 409 while it runs and with 200 afterwards. Only the end of the
    process or of its event loop ends a handler. Give a handler that may hang a time-out of its own.

    Args:
        secrets: the endpoint's signing secrets, `whsec_...`, newest first. When None they are `webhook_secrets` of
            the application that the endpoint belongs to, and else come from the environment
            (`HEXCLAVE_WEBHOOK_SECRET`, `STACK_WEBHOOK_SECRET`, or `..._SECRETS` with commas).
        store: where claims live; one for this process when None. Several processes need a shared one.
        tolerance: how far a delivery's time may be from now, seconds.
        max_body: largest body, bytes.
        claim_ttl: the longest that the handlers of a delivery may take, seconds. The claim of a process that died is
            free after this time; a handler that takes longer is not ended, but a repetition runs beside it.
        done_ttl: how long a done delivery is remembered, seconds; longer than the sender goes on retrying.
        endpoint: a name for this endpoint, the same in all its processes, which keeps its claims apart from those of
            other endpoints. Without a name the oldest secret does that: when that secret is dropped, what was done
            before runs again if it is repeated.
        observer: is told of deliveries, see `hexclave_integrations.telemetry`; that of the application that the
            endpoint belongs to when None.
        clock: gives epoch seconds.

    Raises:
        ConfigurationError: a secret is not a signing secret, or another argument cannot be right. That there is no
            secret at all shows when the endpoint is added to a Flask or Django application that has none, and
            elsewhere at the first delivery.
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
        observer: Observer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if isinstance(secrets, str):
            secrets = [secrets]
        times = {"tolerance": tolerance, "max_body": max_body, "claim_ttl": claim_ttl, "done_ttl": done_ttl}
        for name, value in times.items():
            # NaN would let every time pass: no comparison with it is true.
            if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
                raise ConfigurationError(f"{name} must be a number above 0.")
        self._tolerance = tolerance
        self._endpoint = endpoint
        self._takes_configured = secrets is None
        self._configured: dict[tuple[str, ...], _Identity] = {}
        known = HexclaveConfig.webhook_secrets_from_env() if secrets is None else tuple(secrets)
        self._own = None if secrets is None and not known else self._identity(known)
        self.store: Any = MemoryStore() if store is None else store
        if isinstance(self.store, type):
            raise ConfigurationError(f"store is a class: make an object of it, as in {self.store.__name__}(...).")
        if not any(all(callable(getattr(self.store, c + name, None)) for name in _OPERATIONS) for c in ("", "a")):
            raise ConfigurationError("store is no delivery store: use MemoryStore() or RedisStore(url).")
        self._transaction: Transaction | None = getattr(self.store, "transaction", None)
        self.max_body = max_body
        self._claim_ttl = claim_ttl
        self._done_ttl = done_ttl
        self._clock = clock
        self._watches = Watches(observer)
        self._handlers: list[tuple[str, Handler]] = []
        self._later: list[tuple[str, Handler]] = []
        self._log = SparingLog(logger, _SPARING)
        self._pid = os.getpid()
        self._looks_for_others = True
        self._looked_at: set[tuple[bool | None, bool]] = set()  # what showed no sign; the rest stays as it is

    def on(self, pattern: str, *, after_commit: bool = False) -> Callable[[H], H]:
        """Register a handler, sync or async, for a type; several run in the order they were registered.

        Handlers with `after_commit` run when all others have succeeded and that is remembered; with a store that has
        transactions, what the others wrote is committed then. If one of them fails, the answer makes the sender come
        back, and these handlers run again while the others do not. This is the place for what must not be lost and
        can bear to happen twice: a task for a queue, a message, a request to another service.

        Args:
            pattern: `"user.created"`, `"user.*"`, or `"*"`.
            after_commit: run it after the others, outside of their transaction, and repeat it by itself.

        Raises:
            ConfigurationError: the pattern can match nothing, or the handler cannot be one.
        """
        family, dot, name = pattern.partition(".") if isinstance(pattern, str) else ("", "", "")
        if pattern != "*" and not (family and dot and name and "*" not in family and name.count("*") == (name == "*")):
            raise ConfigurationError('on() takes a type such as "user.created", or "user.*", or "*".')
        warn_of_misspelling(pattern)

        def register(handler: H) -> H:
            if not callable(handler):
                raise ConfigurationError("A webhook handler must be a function or coroutine function.")
            if any(yields(part) for part in (handler, getattr(handler, "__call__", None))):  # noqa: B004
                raise ConfigurationError("A webhook handler must not yield: calling it would run nothing of it.")
            (self._later if after_commit else self._handlers).append((pattern, handler))
            return handler

        return register

    def check_secrets(self, config: HexclaveConfig | None) -> None:
        """Find out at the start what would make every delivery fail.

        Args:
            config: of the application that the endpoint is added to, if it has one.

        Raises:
            ConfigurationError: there is no secret, or one is not a signing secret.
        """
        self._identity_for(config)

    def verify(self, body: bytes, headers: Headers) -> WebhookEvent:
        """The event of a genuine delivery; nothing is claimed and no handler runs.

        Args:
            body: the raw bytes of the request.
            headers: the request's headers.

        Raises:
            WebhookVerificationFailed: signature, time or body are bad.
        """
        with self._watches.begin(None):
            event, _ = self._open(body, headers, self._identity_for(None))
            if event is None:
                raise WebhookVerificationFailed(reason=reasons.WEBHOOK_NO_EVENT)
            return event

    def receive(
        self,
        body: bytes,
        headers: Headers,
        client: HexclaveClient | None = None,
        *,
        call: Call | None = None,
        multiprocess: bool | None = None,
    ) -> Answer:
        """The whole answer to a delivery, for an adapter without an event loop; raises no refusal.

        A genuine delivery that is no event which can be read is refused like a forgery, with an error in the log;
        `client` forgets all the same what it made untrue, as far as that can be told.

        Args:
            body: the raw bytes of the request, read up to one byte more than `max_body`.
            headers: the request's headers.
            client: forgets at once what the event made untrue; its `webhook_secrets` count where `Webhooks` got none.
            call: calls a handler, in a framework that has its own way to run a coroutine.
            multiprocess: whether the server says that it runs several processes, `wsgi.multiprocess`.

        Raises:
            ConfigurationError: there is no secret anywhere.
        """
        config = None if client is None else client.config
        identity, watch = self._identity_for(config), self._watches.begin(config)
        try:
            event, news = self._open(body, headers, identity)
            watch.event_type = news and news[0]
            if client is not None and news is not None:
                client.notice(*news)
            if event is None:
                raise WebhookVerificationFailed(reason=reasons.WEBHOOK_NO_EVENT)
            self._look_for_others(multiprocess)
            return _answer(run(self._deliver(event, identity.scope, watch, call), self.store))
        except RequestRefused as error:
            watch.refused(error)
            return error.status, error.headers(), error.body()

    async def areceive(self, body: bytes, headers: Headers, client: AsyncHexclaveClient | None = None) -> Answer:
        """As `receive`, on an event loop. Cancellation ends the waiting, not a delivery whose handling has begun."""
        config = None if client is None else client.config
        identity, watch = self._identity_for(config), self._watches.begin(config)
        try:
            event, news = self._open(body, headers, identity)
            watch.event_type = news and news[0]
            if client is not None and news is not None:
                await client.notice(*news)
            if event is None:
                raise WebhookVerificationFailed(reason=reasons.WEBHOOK_NO_EVENT)
            self._look_for_others(None)
            return _answer(await self._adeliver(event, identity.scope, watch))
        except RequestRefused as error:
            watch.refused(error)
            return error.status, error.headers(), error.body()

    def _identity_for(self, config: HexclaveConfig | None) -> _Identity:
        secrets = config.webhook_secrets if config is not None and self._takes_configured else ()
        if not secrets:
            return self._own or self._identity(())
        identity = self._configured.get(secrets)
        if identity is None:
            identity = self._configured[secrets] = self._identity(secrets)
        return identity

    def _identity(self, secrets: tuple[str, ...]) -> _Identity:
        signatures = SignatureChecker(secrets, self._tolerance)
        # A delivery has one id at all endpoints. The oldest secret stays while new ones are put before it.
        return _Identity(signatures, hashlib.sha256((self._endpoint or secrets[-1]).encode()).hexdigest()[:16])

    def _open(self, body: bytes, headers: Headers, identity: _Identity) -> tuple[WebhookEvent | None, News | None]:
        """The event of a genuine delivery, if it is one, and what the caches are to be told of it.

        Raises:
            WebhookVerificationFailed: it is not genuine.
        """
        body = bytes(body)
        try:
            if len(body) > self.max_body:
                raise WebhookVerificationFailed(reason=reasons.WEBHOOK_TOO_LARGE)
            pairs = headers.items() if isinstance(headers, Mapping) else headers
            delivery_id, timestamp = identity.signatures.check(delivery_headers(pairs), body, self._clock())
        except WebhookVerificationFailed as error:
            self._log.warning("A webhook delivery was refused: %s", error.reason)
            raise
        try:
            event = read_event(read_body(body), delivery_id=delivery_id, timestamp=timestamp, body=body)
        except ValueError:
            logger.error("A genuine webhook delivery was refused: its body is no event that can be read")
            return None, readable_part(body)
        return event, (event.type, event.data) if isinstance(event.data, WebhookData) else None

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
        """As `handle`, on an event loop; sync handlers run on a thread and do not block it.

        Cancellation ends the waiting, not a delivery whose handling has begun.
        """
        return await self.adispatch(self.verify(body, headers))

    def dispatch(self, event: WebhookEvent, *, call: Call | None = None) -> Outcome:
        """As `handle`, for an event that `verify` returned; `call` as in `receive`."""
        self._look_for_others(None)
        watch = self._watches.begin(None)
        return run(self._deliver(event, self._identity_for(None).scope, watch, call), self.store)

    async def adispatch(self, event: WebhookEvent) -> Outcome:
        """As `ahandle`, for an event that `verify` returned."""
        self._look_for_others(None)
        return await self._adeliver(event, self._identity_for(None).scope, self._watches.begin(None))

    def forget(self, delivery_id: str, config: HexclaveConfig | None = None) -> bool:
        """Forget that a delivery is done, so that its handlers run again when the sender sends it again.

        For a handler that did the wrong thing and is mended: then `forget` here and "resend" at the sender, whose
        repetitions keep the id. Handlers with `after_commit` run again as well. The id is in the log, at INFO, when a
        delivery was handled, and in its `event.id`.

        Args:
            delivery_id: `msg_...`.
            config: of the application that the endpoint is in, where `webhook_secrets` are its alone and this process
                has not added the endpoint to it.

        Returns:
            Whether it was done. False: nothing is remembered of it, and it would be handled anyway.

        Raises:
            WebhookInProgress: it is being handled at this moment, and nothing was forgotten.
            WebhookStoreUnavailable: the store cannot be asked now.
            ConfigurationError: there is no secret anywhere, or a store of your own has no `forget`.
        """
        return run(self._forget(delivery_id, config), self.store)

    async def aforget(self, delivery_id: str, config: HexclaveConfig | None = None) -> bool:
        """As `forget`, on an event loop."""
        return await arun(self._forget(delivery_id, config), self.store)

    def _forget(self, delivery_id: str, config: HexclaveConfig | None) -> Flow[bool]:
        if not any(callable(getattr(self.store, name, None)) for name in ("forget", "aforget")):
            raise ConfigurationError("The store has no forget(key), which this needs.")
        known = [] if config is not None else [each for each in (self._own, *self._configured.values()) if each]
        found = False
        for scope in {each.scope for each in known or [self._identity_for(config)]}:
            found |= yield from forget(_key(scope, delivery_id))
        return found

    async def _adeliver(self, event: WebhookEvent, scope: str, watch: Watch) -> Outcome:
        if self._transaction is not None:  # which belongs to one thread
            return await asyncio.to_thread(run, self._deliver(event, scope, watch), self.store)
        return await arun(self._deliver(event, scope, watch), self.store)

    def _look_for_others(self, multiprocess: bool | None) -> None:
        """Warn once where other processes seem to receive deliveries as well, and cannot know what is done here."""
        if not self._looks_for_others or not getattr(self.store, "is_local", False):
            return
        was_forked = self._pid != os.getpid()
        known = (multiprocess, was_forked)
        if known in self._looked_at:
            return
        self._looked_at.add(known)
        sign = sign_of_several(os.environ, sys.argv, multiprocess=multiprocess, was_forked=was_forked)
        if sign is not None:
            self._looks_for_others = False
            logger.warning(_ALONE, sign)

    def _deliver(self, event: WebhookEvent, scope: str, watch: Watch, call: Call | None = None) -> Flow[Outcome]:
        key = _key(scope, event.id)
        watch.event_type = event.type
        once = functools.partial(deliver, event=event, claim_ttl=self._claim_ttl, done_ttl=self._done_ttl)
        handlers = _matching(self._handlers, event.type, call)
        with watch:  # here, since it goes on although the sender hangs up
            outcome: Outcome = yield from once(key, handlers=handlers, transaction=self._transaction)
            later = _matching(self._later, event.type, call)
            if later and (yield from once(key + AFTER, handlers=later)) == "handled":
                outcome = "handled"
            watch.ended(outcome)
        logger.info("Webhook delivery %s (%r): %s", event.id, event.type, outcome)
        return outcome


@dataclass(frozen=True, slots=True)
class _Identity:
    """What the secrets of an endpoint make of it: which deliveries are genuine, and which claims are its own."""

    signatures: SignatureChecker
    scope: str


def _key(scope: str, delivery_id: str) -> str:
    return f"delivery:{scope}:{delivery_id}"


def _matching(handlers: list[tuple[str, Handler]], kind: str, call: Call | None) -> list[Handler]:
    found = [handler for pattern, handler in handlers if matches(pattern, kind)]
    return found if call is None else [functools.partial(call, handler) for handler in found]


def _answer(outcome: Outcome) -> Answer:
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    return 200, headers, json.dumps({"status": outcome}).encode()
