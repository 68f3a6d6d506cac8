"""Where webhook deliveries are remembered in a Django project: in its cache, or in its database.

`DatabaseStore` gives the strongest promise: what handlers write to that database happens exactly once. With
`DjangoCacheStore`, as with `hexclave_integrations.stores.RedisStore`, a process that dies at the wrong moment leaves
work half done, and the repetition does all of it again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.db import Error, InternalError, connections, transaction
from django.db.models import Q, QuerySet

from ..errors import ConfigurationError
from ..stores import Claim, StoreUnavailable, TransactionBroken

if TYPE_CHECKING:
    from .models import Delivery

__all__ = ["DatabaseStore", "DjangoCacheStore"]

_DONE: Final = "done:"
_SWEEP_EVERY: Final = 600.0


class DjangoCacheStore:
    """Claims in one of Django's caches; whether they hold depends on the cache.

    ======================= =======================================================================================
    Redis                   safe for all processes that share it: the server carries out `add` in one step
    Memcached               safe as long as it runs and has room; what it drops or loses is handled once more when
                            it is delivered once more
    local memory            safe for one process only, and for its 300 newest entries (MAX_ENTRIES)
    database, files, dummy  unsafe: their `add` is not atomic, or remembers nothing. Use `DatabaseStore`
    ======================= =======================================================================================

    Releasing a claim takes two steps. If it expires between them, the claim of the next holder is released.

    Args:
        alias: the name of the cache in settings.CACHES.
        prefix: what the keys begin with, after the cache's own prefix.

    Raises:
        ConfigurationError: there is no such cache.
    """

    def __init__(self, alias: str = "default", *, prefix: str = "hexclave:") -> None:
        if alias not in caches.settings:
            raise ConfigurationError(f'settings.CACHES has no "{alias}", which DjangoCacheStore names.')
        self._alias = alias
        self._prefix = prefix

    @property
    def is_local(self) -> bool:
        """Whether the cache is in the memory of this process."""
        return isinstance(caches[self._alias], LocMemCache)

    def claim(self, key: str, token: str, ttl: float) -> Claim:
        """Claim a delivery for `ttl` seconds, unless it is done or somebody else's.

        Raises:
            StoreUnavailable: the cache cannot be asked now.
        """
        with _cache_errors():
            cache, name = caches[self._alias], self._name(key)
            if cache.add(name, token, _whole(ttl)):
                return Claim.CLAIMED
            holder = str(cache.get(name, ""))
        if holder.startswith(_DONE):
            return Claim.DONE
        # Without a holder it was given up at this moment: the sender comes back.
        return Claim.CLAIMED if holder == token else Claim.BUSY

    def done(self, key: str, token: str, ttl: float) -> bool:
        """Mark it done for `ttl` seconds, unless it is somebody else's by now: then False.

        Raises:
            StoreUnavailable: the cache cannot be asked now.
        """
        with _cache_errors():
            cache, name = caches[self._alias], self._name(key)
            # Who claims it between these two steps is told that it is done, which is true.
            if cache.get(name, token) not in (token, _DONE + token):
                return False
            cache.set(name, _DONE + token, _whole(ttl))
            return True

    def release(self, key: str, token: str) -> None:
        """Give the claim up, if it is still ours.

        Raises:
            StoreUnavailable: the cache cannot be asked now.
        """
        with _cache_errors():
            cache, name = caches[self._alias], self._name(key)
            if cache.get(name) == token:
                cache.delete(name)

    def forget(self, key: str) -> Claim | None:
        """Forget that a delivery is done, unless somebody is working on it; return what it was, None for nothing.

        Raises:
            StoreUnavailable: the cache cannot be asked now.
        """
        with _cache_errors():
            cache, name = caches[self._alias], self._name(key)
            holder = cache.get(name)
            if holder is None:
                return None
            if not str(holder).startswith(_DONE):
                return Claim.BUSY
            cache.delete(name)  # nobody can claim it before: what is done stays done
            return Claim.DONE

    def _name(self, key: str) -> str:
        return self._prefix + _hash(key)  # Memcached takes 250 characters and no spaces


class DatabaseStore:
    """Claims in the project's database, and `done` in the transaction of the handlers' own writes.

    What handlers and receivers write to this database is committed together with the mark, or not at all: it
    happens exactly once, whichever process dies when. A statement that may fail, as in "create it, else ignore the
    IntegrityError", needs a `transaction.atomic()` of its own, as in any transaction.

    What they do elsewhere (a message, another database) may happen again, and may have happened for work that is
    rolled back. A task for a queue belongs into a handler with `on(..., after_commit=True)`, which is repeated until
    it succeeds. `transaction.on_commit()` is no substitute: its function runs when the delivery is done already, so
    whatever it raises is lost. The answer is then 500, and the repetition is a duplicate; with `robust=True` Django
    logs the error and the answer is 200.

    Needs `manage.py migrate hexclave`. Rows that have expired are deleted on the way, every ten minutes.

    Args:
        using: the name of the database in settings.DATABASES, the one that handlers write to.
        clock: gives epoch seconds. Where the clocks of two machines differ a claim may be taken over too early; then
            the work of the former holder is rolled back.

    Raises:
        ConfigurationError: there is no such database, or the table is not among the project's.
    """

    def __init__(self, using: str = "default", *, clock: Callable[[], float] = time.time) -> None:
        if using not in connections:
            raise ConfigurationError(f'settings.DATABASES has no "{using}", which DatabaseStore names.')
        if not apps.is_installed("hexclave_integrations.django"):
            raise ConfigurationError('DatabaseStore needs "hexclave_integrations.django" in INSTALLED_APPS.')
        self._using = using
        self._clock = clock
        self._next_sweep = 0.0

    def transaction(self) -> AbstractContextManager[None]:
        """The transaction around the handlers and `done`; within another one, which may be rolled back, it refuses."""
        return transaction.atomic(using=self._using, durable=True)

    def claim(self, key: str, token: str, ttl: float) -> Claim:
        """Claim a delivery for `ttl` seconds, unless it is done or somebody else's.

        Raises:
            StoreUnavailable: the database cannot be asked now.
        """
        with _database_errors():
            connection = connections[self._using]
            if connection.errors_occurred:  # outside of a request nobody else replaces a broken connection
                connection.close_if_unusable_or_obsolete()
            now = self._clock()
            self._sweep(now)
            ours = {"token": token, "expires_at": now + ttl, "is_done": False}
            row, is_new = self._deliveries.get_or_create(key=_hash(key), defaults=ours)
            # One statement decides who takes over: the others find that its condition is no longer met.
            is_free = Q(expires_at__lte=now) | Q(token=token, is_done=False)
            if is_new or self._row(key).filter(is_free).update(**ours):
                return Claim.CLAIMED
            return Claim.DONE if row.is_done and row.expires_at > now else Claim.BUSY

    def done(self, key: str, token: str, ttl: float) -> bool:
        """Mark it done for `ttl` seconds, unless it is somebody else's by now: then False.

        Within `transaction()`, nobody else can claim or end it from here on until the commit.

        Raises:
            TransactionBroken: a handler has hidden an error of the database, and nothing can be committed.
            StoreUnavailable: the database cannot be asked now.
        """
        with _database_errors(), self._broken_transaction():
            now = self._clock()
            mark = {"token": token, "expires_at": now + ttl, "is_done": True}
            if self._row(key).filter(Q(token=token) | Q(expires_at__lte=now)).update(**mark):
                return True
            return self._deliveries.get_or_create(key=_hash(key), defaults=mark)[1]  # ours may have been swept away

    def release(self, key: str, token: str) -> None:
        """Give the claim up, if it is still ours.

        Raises:
            StoreUnavailable: the database cannot be asked now.
        """
        with _database_errors():
            self._row(key).filter(token=token, is_done=False).update(expires_at=0)

    def forget(self, key: str) -> Claim | None:
        """Forget that a delivery is done, unless somebody is working on it; return what it was, None for nothing.

        Raises:
            StoreUnavailable: the database cannot be asked now.
        """
        with _database_errors():
            now = self._clock()
            if self._row(key).filter(is_done=True, expires_at__gt=now).update(expires_at=0):
                return Claim.DONE
            return Claim.BUSY if self._row(key).filter(is_done=False, expires_at__gt=now).exists() else None

    @contextlib.contextmanager
    def _broken_transaction(self) -> Iterator[None]:
        try:
            yield
        # Django refuses what follows an error of a model's own operation, PostgreSQL what follows any error.
        except (transaction.TransactionManagementError, InternalError):
            if not connections[self._using].in_atomic_block:
                raise
            raise TransactionBroken from None

    def _sweep(self, now: float) -> None:
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP_EVERY
            # One statement, whatever Django's deletion would select first for receivers of signals: between the two
            # an expired row may become somebody's claim.
            quote = connections[self._using].ops.quote_name
            table, column = quote(self._model._meta.db_table), quote("expires_at")
            with connections[self._using].cursor() as cursor:
                cursor.execute(f"DELETE FROM {table} WHERE {column} <= %s", [now])  # noqa: S608  # names of our own

    @functools.cached_property
    def _model(self) -> type[Delivery]:
        model: type[Delivery] = apps.get_model("hexclave", "Delivery")
        return model

    @property
    def _deliveries(self) -> QuerySet[Delivery]:
        return self._model.objects.using(self._using)

    def _row(self, key: str) -> QuerySet[Delivery]:
        return self._deliveries.filter(key=_hash(key))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _whole(seconds: float) -> Any:
    """Caches cut fractions off, and a claim of no seconds is none."""
    return max(1, math.ceil(seconds))


@contextlib.contextmanager
def _cache_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  # every client library has errors of its own
        raise StoreUnavailable(type(error).__name__) from None


@contextlib.contextmanager
def _database_errors() -> Iterator[None]:
    try:
        yield
    except Error as error:
        raise StoreUnavailable(type(error).__name__) from None
