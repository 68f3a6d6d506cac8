"""An operation as a method of a client, in either colour, with its own parameters and result for type checkers.

An operation is a function from the client's state and its parameters to a flow. `Blocking` and `Awaiting` make a
method of it, so that both colours have the same methods, signatures and documentation::

    class Users(Group):
        get = Blocking(get_user)         # (user_id: str | UUID) -> UserData

    class AsyncUsers(AsyncGroup):
        get = Awaiting(get_user)         # (user_id: str | UUID) -> Awaitable[UserData]
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from .. import _reasons as reasons
from .._drivers import AsyncDriver, SyncDriver
from .._policy.effects import Flow
from .._policy.state import Core
from ..errors import Unavailable
from ..records import Record
from ._replies import Page
from ._users import Listing

__all__ = ["AsyncGroup", "AsyncPages", "Awaiting", "AwaitingPages", "Blocking", "BlockingPages", "Group", "Pages"]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound=Record)


class Group:
    """Calls that block, of one client."""

    def __init__(self, core: Core, driver: SyncDriver) -> None:
        self._core = core
        self._driver = driver


class AsyncGroup:
    """Calls that are awaited, of one client."""

    def __init__(self, core: Core, driver: AsyncDriver) -> None:
        self._core = core
        self._driver = driver


def _like(method: Callable[..., Any], operation: Callable[..., Any]) -> Callable[..., Any]:
    """The method with the operation's name, documentation and signature, with `self` for the client's state."""
    functools.update_wrapper(method, operation)
    del vars(method)["__wrapped__"]  # whose signature has another first parameter
    given = inspect.signature(operation)
    _, *parameters = given.parameters.values()
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    vars(method)["__signature__"] = given.replace(parameters=[itself, *parameters])
    return method


class Blocking(Generic[P, T]):
    """The method of an operation that blocks.

    Args:
        operation: makes the flow.
    """

    def __init__(self, operation: Callable[Concatenate[Core, P], Flow[T]]) -> None:
        def call(self: Group, *args: P.args, **kwargs: P.kwargs) -> T:
            flow = operation(self._core, *args, **kwargs)
            del args, kwargs  # as local variables, error reports would show them, passwords among them
            return self._driver.run(flow)

        self.call: Callable[..., Any] = _like(call, operation)
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Group, owner: type) -> Callable[P, T]: ...
    def __get__(self, instance: Group | None, owner: type) -> Any:
        return self.call if instance is None else MethodType(self.call, instance)


class Awaiting(Generic[P, T]):
    """The method of an operation that is awaited; arguments as for `Blocking`."""

    def __init__(self, operation: Callable[Concatenate[Core, P], Flow[T]]) -> None:
        async def call(self: AsyncGroup, *args: P.args, **kwargs: P.kwargs) -> T:
            flow = operation(self._core, *args, **kwargs)
            del args, kwargs  # as in `Blocking`
            return await self._driver.run(flow)

        self.call: Callable[..., Any] = _like(call, operation)
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: AsyncGroup, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: AsyncGroup | None, owner: type) -> Any:
        return self.call if instance is None else MethodType(self.call, instance)


class _Place(Generic[R]):
    """How far a list has been read."""

    def __init__(self, listing: Listing[R]) -> None:
        self._listing = listing
        self._read: Iterator[R] = iter(())
        self._cursor: str | None = None
        self._seen: set[str | None] = set()
        self.has_more = True

    def following(self) -> Flow[Page[R]]:
        """The flow of the next page.

        Raises:
            Unavailable: it was read already: such a list has no end.
        """
        if self._cursor in self._seen:
            raise Unavailable(reason=reasons.API_UNUSABLE)
        return self._listing(self._cursor)

    def turn(self, page: Page[R]) -> None:
        """Go on with a page that has come; where one does not come, the same is asked for again."""
        self._seen.add(self._cursor)
        self._read, self._cursor = iter(page.items), page.next_cursor
        self.has_more = page.next_cursor is not None

    def take(self) -> R | None:
        """The next object of the page, or None."""
        return next(self._read, None)


class Pages(Iterator[R]):
    """The objects of a list; each page is fetched when it is read. After an `Unavailable` it can be read on."""

    def __init__(self, listing: Listing[R], driver: SyncDriver) -> None:
        self._place = _Place(listing)
        self._driver = driver

    def __next__(self) -> R:
        while (found := self._place.take()) is None:
            if not self._place.has_more:
                raise StopIteration
            self._place.turn(self._driver.run(self._place.following()))
        return found


class AsyncPages(AsyncIterator[R]):
    """As `Pages`, for `async for`."""

    def __init__(self, listing: Listing[R], driver: AsyncDriver) -> None:
        self._place = _Place(listing)
        self._driver = driver

    async def __anext__(self) -> R:
        while (found := self._place.take()) is None:
            if not self._place.has_more:
                raise StopAsyncIteration
            self._place.turn(await self._driver.run(self._place.following()))
        return found


class BlockingPages(Generic[P, R]):
    """The method of an operation that lists page by page.

    Args:
        operation: makes the flow of each page.
    """

    def __init__(self, operation: Callable[Concatenate[Core, P], Listing[R]]) -> None:
        def call(self: Group, *args: P.args, **kwargs: P.kwargs) -> Pages[R]:
            return Pages(operation(self._core, *args, **kwargs), self._driver)

        self.call: Callable[..., Any] = _like(call, operation)
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Group, owner: type) -> Callable[P, Pages[R]]: ...
    def __get__(self, instance: Group | None, owner: type) -> Any:
        return self.call if instance is None else MethodType(self.call, instance)


class AwaitingPages(Generic[P, R]):
    """As `BlockingPages`; the call is not awaited, its result is for `async for`."""

    def __init__(self, operation: Callable[Concatenate[Core, P], Listing[R]]) -> None:
        def call(self: AsyncGroup, *args: P.args, **kwargs: P.kwargs) -> AsyncPages[R]:
            return AsyncPages(operation(self._core, *args, **kwargs), self._driver)

        self.call: Callable[..., Any] = _like(call, operation)
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: AsyncGroup, owner: type) -> Callable[P, AsyncPages[R]]: ...
    def __get__(self, instance: AsyncGroup | None, owner: type) -> Any:
        return self.call if instance is None else MethodType(self.call, instance)
