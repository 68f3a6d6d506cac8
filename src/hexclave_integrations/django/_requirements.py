"""Requirements as decorators of views: functions, coroutine functions, and through `method_decorator` classes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, TypeVar

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest

from .._adapter.guarded import mark_guarded, mark_own
from .._base.event_loop import in_event_loop
from ..errors import ConfigurationError, RequestRefused
from ..requirements import (
    UNAPPLIED,
    RequireItem,
    Requirement,
    RequirePermission,
    RequireProduct,
    RequireProjectPermission,
    RequireTeam,
)
from ._caller import guarded_caller
from ._private import dispatched_view, django_request, ninja_has

__all__ = [
    "DjangoRequirement",
    "optional_user",
    "require_api_key",
    "require_item",
    "require_permission",
    "require_product",
    "require_project_permission",
    "require_team",
    "require_user",
]

V = TypeVar("V", bound=Callable[..., Any])


class DjangoRequirement(Requirement):
    """A requirement that decorates a view. `request.hexclave_user` is then the user it let through, or None.

    Unless the requirement is optional, such a view is exempt from Django's CSRF middleware: no other site can make
    a browser send a header, and a user whose token came in a cookie is held against the CSRF check all the same. It
    is exempt from LoginRequiredMiddleware, too, which knows no tokens and would send everybody to a log-in page.
    """

    def __call__(self, view: V, /, *args: Any, **kwargs: Any) -> V:
        """Guard a view.

        Args:
            view: takes the request, or as a method itself and the request.

        Raises:
            ConfigurationError: this is no view, as when a requirement stands in the URLconf itself.
        """
        if args or kwargs or not callable(view) or isinstance(view, (type, *UNAPPLIED)):
            raise ConfigurationError(
                "A requirement decorates a view: write @require_user without (), and for a class "
                '@method_decorator(require_user, name="dispatch") or HexclaveRequiredMixin.'
            )
        if ninja_has(view):
            raise ConfigurationError(
                "Django Ninja has the view already, without this requirement: write it below @api.get(...)."
            )
        guarded: Any
        if iscoroutinefunction(view):

            @functools.wraps(view)
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                return await self._answer_async(view, args, kwargs)

        else:

            @functools.wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                return self.answer(view, args, kwargs)

        if not self.optional:
            guarded.csrf_exempt = True
            guarded.login_required = False
        mark_guarded(guarded, self)
        mark_own(guarded, self, around=view)
        return guarded  # type: ignore[no-any-return]

    def answer(self, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a view answers to who is let through, else the refusal.

        For a class of async views, and in an event loop, it returns a coroutine: `dispatch` of such a class is no
        coroutine function itself.
        """
        if in_event_loop() or getattr(dispatched_view(view), "view_is_async", False):
            return self._answer_async(view, args, kwargs)
        request = _request_in(args)
        caller = guarded_caller(request)
        try:
            caller.admit(self, request, kwargs)
        except RequestRefused as error:
            return caller.guard_caches(caller.refuse(django_request(request), error))
        status: int | None = None
        try:
            response = caller.guard_caches(view(*args, **kwargs))
            status = getattr(response, "status_code", None)
            return response
        finally:
            if caller.attempt.spending is not None and not caller.has_middleware:
                caller.conclude(status)

    async def _answer_async(self, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = _request_in(args)
        caller = guarded_caller(request)
        try:
            await caller.aadmit(self, request, kwargs)
        except RequestRefused as error:
            return caller.guard_caches(caller.refuse(django_request(request), error))
        status: int | None = None
        try:
            response = view(*args, **kwargs)
            if inspect.isawaitable(response):
                response = await response
            status = getattr(response, "status_code", None)
            return caller.guard_caches(response)
        finally:
            if caller.attempt.spending is not None and not caller.has_middleware:
                await caller.aconclude(status)


# Calling it without an argument is a mistake to type checkers; to everybody else it says what to write.
DjangoRequirement.__call__.__defaults__ = (None,)


def _request_in(args: tuple[Any, ...]) -> Any:
    """The request of a view's arguments: the first, or in an undecorated method the one after `self`."""
    for arg in args[:2]:
        if isinstance(django_request(arg), HttpRequest):
            return arg
    if any(hasattr(arg, "channel_layer_alias") for arg in args[:1]):
        raise ConfigurationError(
            "A requirement guards no consumer of Django Channels. Put HexclaveMiddleware of "
            "hexclave_integrations.starlette around the URLRouter; connect() then accepts those for whom "
            'self.scope["user"].is_authenticated is true.'
        )
    raise ConfigurationError("A requirement decorates a view, and this function was called without a request.")


require_user: Final = DjangoRequirement()
"""A regular user."""

require_api_key: Final = DjangoRequirement(scope="api key")
"""A valid API key of a regular user, or of a team; the key is then `request.hexclave_api_key`."""

optional_user: Final = DjangoRequirement(optional=True, restricted=True, anonymous=True)
"""Everyone; `request.hexclave_user` is of any kind, or None when no credentials came. Bad credentials are refused."""

require_item: Final = RequireItem(DjangoRequirement, "@{}")
"""Callers who have enough of an item, which it takes if asked to: `require_item("credits", 1, spend=True)`."""

require_permission: Final = RequirePermission(DjangoRequirement, "@{}")
"""Holders of a team permission: `require_permission("{team_id}", "export_reports")`."""

require_product: Final = RequireProduct(DjangoRequirement, "@{}")
"""Callers who have a product, or members of a team that has it: `require_product("pro", "{team_id}")`."""

require_project_permission: Final = RequireProjectPermission(DjangoRequirement, "@{}")
"""Holders of a project permission: `require_project_permission("access_admin_dashboard")`."""

require_team: Final = RequireTeam(DjangoRequirement, "@{}")
"""Members of a team: `require_team("{team_id}")`."""
