"""The flows that fetch Hexclave's public keys: when they are missing or old, and which users each is for."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Final

from .. import _reasons as reasons
from .._memory.redis_fitness import Fitness
from .._token.keys import Decision, KeySet
from .._wire import api
from .._wire.messages import TransportError, UnusableReply
from ..errors import ConfigurationError, InvalidToken, Unavailable
from . import kept
from .effects import Background, Fetch, Flow, Once, UseFleet
from .state import Core

__all__ = ["ask_for_kinds", "key_set_with", "warm"]

JWKS: Final = "jwks"
KINDS: Final = "kinds of keys"
_MAX_WAITS: Final = 2


def warm(core: Core) -> Flow[bool]:
    """Fetch the keys if they are missing or old; say whether they are fresh now.

    Raises:
        ConfigurationError: `redis_url` leads to a cluster.
    """
    fitness = yield from _inspect_fleet(core)
    if fitness is not None and fitness.is_cluster:
        raise ConfigurationError(fitness.complaint)
    return (yield from _warm(core))


def _warm(core: Core) -> Flow[bool]:
    if core.ring.wants_refresh(core.clock()):
        with contextlib.suppress(Unavailable):  # another request's fetch did not come to its end in time
            yield Once(JWKS, partial(_fetch_keys, core, None))
    return core.ring.is_fresh(core.clock())


def _refresh(core: Core) -> Flow[None]:
    yield from _warm(core)


def _inspect_fleet(core: Core) -> Flow[Fitness | None]:
    """Say once what is wrong with the fleet's Redis, as far as it tells."""
    if core.fleet is None or core.fleet_was_inspected:
        return None
    fitness: Fitness | None = yield UseFleet(core.fleet, "inspect", ())
    if fitness is not None:
        core.fleet_was_inspected = True
        if fitness.complaint is not None:
            core.log.warning("%s", fitness.complaint)
    return fitness


def _fetch_keys(core: Core, wanted: str | None) -> Flow[None]:
    """Fetch the key set into the ring, or note the failure there; `wanted` is the key id it is fetched for."""
    if not _is_due(core, wanted):
        return  # another fetch ended between the decision and this one's turn
    yield from _inspect_fleet(core)  # where nobody called `warm`
    before = core.ring.current.generation
    try:
        yield from kept.recall(core, fresh=True)
        if _is_due(core, wanted):
            holder = yield from kept.take_turn(core, partial(_is_due, core, wanted))
            if _is_due(core, wanted):
                yield from _fetch_from_hexclave(core, wanted, holder)
    finally:
        if core.ring.current.generation != before:
            core.tokens.forget_all()


def _fetch_from_hexclave(core: Core, wanted: str | None, holder: str | None) -> Flow[None]:
    try:
        reply = yield Fetch(api.jwks_request(core.config))
        core.ring.accept(api.key_set_document(reply), core.clock(), wanted=wanted)
    except (TransportError, UnusableReply, ValueError) as error:
        reason = reasons.KEYS_UNUSABLE if isinstance(error, ValueError) else error.reason
        core.ring.failed(core.clock(), reason)
        core.log.warning("Hexclave gave no usable key set: %s", error)
        yield from kept.leave(core, holder)
        yield from kept.recall(core, fresh=False)
    else:
        yield from kept.keep(core, holder)


def _is_due(core: Core, wanted: str | None) -> bool:
    now = core.clock()
    return core.ring.wants_refresh(now) if wanted is None else core.ring.decide(wanted, now) is Decision.FETCH


def key_set_with(core: Core, kid: str) -> Flow[KeySet]:
    """The key set, once it has the key that `kid` names.

    Raises:
        InvalidToken: the key set is known and has no such key.
        Unavailable: there is no usable key set, or it may be out of date.
    """
    may_fetch, waits = True, 0
    while True:
        now = core.clock()
        current = core.ring.current
        decision = core.ring.decide(kid, now, may_fetch=may_fetch)
        if decision is Decision.FETCH:
            fetched, _ = yield Once(JWKS, partial(_fetch_keys, core, kid))
            waits += 1
            # A request that waited for a fetch which was given up may make one of its own, once.
            may_fetch = not fetched and waits < _MAX_WAITS
        elif decision is Decision.REFUSE:
            raise InvalidToken(reason=reasons.UNKNOWN_KEY)
        elif decision is Decision.CANNOT_TELL:
            raise Unavailable(retry_after=core.ring.retry_after(now), reason=core.ring.problem)
        else:
            if decision is Decision.USE_AND_REFRESH:
                yield Background(partial(_refresh, core))
            if kid in current.keys:  # unless another thread replaced the set between the two looks
                return current


def ask_for_kinds(core: Core) -> Flow[None]:
    """Learn for which kind of user each key was published, from the sets that Hexclave publishes for each (contract 2).

    Asked only when a genuine token contradicts the order of the keys in the set, so that a key that got into the wrong
    hands vouches for its own kind of user alone, and an order that Hexclave has changed refuses nobody.
    """

    def fetch() -> Flow[None]:
        core.ring.asked_for_kinds(core.clock())
        try:
            regular = yield Fetch(api.jwks_request(core.config, "regular"))
            restricted = yield Fetch(api.jwks_request(core.config, "restricted"))
            if (regular.status, restricted.status) != (200, 200):
                raise ValueError(f"status {regular.status} and {restricted.status}")
            core.ring.accept_kinds(regular.body, restricted.body)
            yield from kept.keep(core, None)
        except (TransportError, ValueError) as error:
            core.log.warning("Hexclave did not say which users its keys are for: %s", error)

    if core.ring.may_ask_for_kinds(core.clock()):
        yield Once(KINDS, fetch)
