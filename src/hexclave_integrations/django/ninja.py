"""Hexclave for Django Ninja: `auth=HexclaveAuth()` on an API, a router or an operation, sync and async.

::

    api = NinjaAPI(auth=HexclaveAuth())

    @api.post("/teams/{team_id}/reports", auth=HexclaveAuth(require_permission("{team_id}", "export_reports")))
    async def export(request, team_id: str): ...

`request.auth` is then the user or API key that was let through, and `request.hexclave_user` the user. In a list of
several it goes last, for it refuses rather than passes on. `optional_user` decorates the operation itself, with
`auth=None`. A refusal is one of Ninja's own exceptions as well; `HexclaveMiddleware` gives it the usual answer.
"""

from __future__ import annotations

import copy
import functools
from abc import ABCMeta
from collections.abc import Callable, Coroutine, Generator
from typing import Any, NoReturn

from django.http import HttpRequest

from .._base.event_loop import in_event_loop
from .._base.extras import extra
from ..errors import ConfigurationError, RequestRefused
from ._caller import Caller, guarded_caller
from ._private import refuse_unsafe
from ._requirements import DjangoRequirement, require_user
from ._truth import NoAnswer, NoAnswerClass

with extra("ninja", "ninja", "ninja.errors", "pydantic"):
    # A build tool is imported as ninja as well, and has no errors.
    from ninja.errors import HttpError
    from ninja.security.http import HttpAuthBase

__all__ = ["HexclaveAuth"]

refuse_unsafe("ninja")


class _Pending:
    """An answer that has to be awaited. It counts as false, so a framework that forgets to await it lets nobody in."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._start = start

    def __bool__(self) -> bool:
        return False

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._start().__await__()


class _AuthClass(NoAnswerClass, ABCMeta):
    """The class of `HexclaveAuth`."""


class HexclaveAuth(NoAnswer, HttpAuthBase, metaclass=_AuthClass):
    """Asks a requirement; its answer becomes `request.auth`.

    Args:
        requirement: from `hexclave_integrations.django`.

    Raises:
        ConfigurationError: it is no requirement, one that was not called, or an optional one, whose None this
            framework takes for a refusal.
    """

    openapi_scheme = "bearer"
    openapi_bearerFormat = "JWT"  # noqa: N815  # the name in OpenAPI

    def __init__(self, requirement: DjangoRequirement = require_user) -> None:
        if not isinstance(requirement, DjangoRequirement):
            raise ConfigurationError("HexclaveAuth takes a requirement: require_user, or one of the others called.")
        if requirement.optional:
            raise ConfigurationError("HexclaveAuth cannot be optional: use auth=None and decorate with @optional_user.")
        super().__init__()
        self.requirement = requirement
        self.is_async = True  # async operations then await the answer, and need no thread for it

    def __call__(self, request: HttpRequest) -> Any:
        """The user or API key that the requirement lets through: at once in a thread, to be awaited in an event loop.

        Raises:
            RequestRefused: the answer is no, or cannot be told now.
        """
        if in_event_loop():
            return _Pending(lambda: self._aadmit(request))
        caller = guarded_caller(request)
        try:
            return caller.admit(self.requirement, request, _params(request))
        except RequestRefused as error:
            refuse_in(error, caller)

    async def _aadmit(self, request: HttpRequest) -> Any:
        caller = guarded_caller(request)
        try:
            return await caller.aadmit(self.requirement, request, _params(request))
        except RequestRefused as error:
            refuse_in(error, caller)


def refuse_in(error: RequestRefused, caller: Caller) -> NoReturn:
    """Raise a refusal as one of the framework's own exceptions, of which it makes an answer and no traceback.

    The middleware replaces that answer by the one that every other view gives.

    Raises:
        RequestRefused: the same, of both kinds.
    """
    caller.refused = copy.copy(error)  # the traceback of what is raised holds the caller
    raise _of_both_kinds(error) from None


@functools.cache
def _both_kinds(kind: Any) -> Any:
    return type(kind.__name__, (kind, HttpError), {"__doc__": kind.__doc__})


def _of_both_kinds(error: RequestRefused) -> Exception:
    kind: Any = type(error)
    cls = _both_kinds(kind)
    made: Exception = cls.__new__(cls, *error.args)
    vars(made).update(vars(error), status_code=error.status, message=error.text)
    return made


def _params(request: HttpRequest) -> dict[str, Any]:
    match = request.resolver_match
    return dict(match.kwargs) if match is not None else {}
