"""Requirements as decorators of Flask views, sync and async, functions and classes, and as blueprint checks."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, ParamSpec

from flask import current_app

from .._adapter.endpoints import webhooks_of
from .._adapter.guarded import mark_guarded, mark_own, mark_within
from ..errors import ConfigurationError
from ..requirements import (
    UNAPPLIED,
    RequireItem,
    Requirement,
    RequirePermission,
    RequireProduct,
    RequireProjectPermission,
    RequireTeam,
)
from ._caller import caller_of, current_request
from ._views import layers

__all__ = [
    "FlaskRequirement",
    "optional_user",
    "require_api_key",
    "require_item",
    "require_permission",
    "require_product",
    "require_project_permission",
    "require_team",
    "require_user",
]

P = ParamSpec("P")


class FlaskRequirement(Requirement):
    """A requirement that decorates a view, below `@app.route`; `current_user` is then the user that it let through.

    In a class, decorate the methods or list it in `decorators`. For every route of a blueprint or application,
    register its check: `blueprint.before_request(require_user.check)`.
    """

    def __call__(self, view: Callable[P, Any], /) -> Callable[P, Any]:
        """Guard a view; an async one runs as Flask runs it, after the check.

        Args:
            view: a function, coroutine function or method.

        Raises:
            ConfigurationError: what is decorated is no view.
        """
        if not callable(view) or isinstance(view, (type, *UNAPPLIED)):
            raise ConfigurationError(
                "A requirement decorates a function or method: write @require_user without (), and for a view class "
                "decorators = [require_user]."
            )

        is_plain = inspect.isfunction(view) and not inspect.iscoroutinefunction(view)  # which Flask calls as it is

        @functools.wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            request = current_request()
            caller_of(request).admit(self, _params(view, args, kwargs) if self.team_parameter else {}, request)
            return view(*args, **kwargs) if is_plain else current_app.ensure_sync(view)(*args, **kwargs)

        mark_guarded(guarded, self)
        mark_own(guarded, self, around=view)
        for layer in layers(view):
            # So that the check finds a view that was registered first and guarded afterwards.
            mark_within(layer, guarded)
        return guarded

    def check(self) -> None:
        """Hold the caller of the current request against this: for `before_request`, or inside a view.

        Flask's automatic answers to OPTIONS pass, for they run no view and a CORS preflight has no credentials. So do
        deliveries to a `webhook_blueprint`, which admits by signature: their sender has no access token.

        Raises:
            RequestRefused: the caller does not meet it, or it cannot be told now.
            ConfigurationError: Hexclave is not installed, or the requirement needs a setting that is missing.
        """
        request = current_request()
        if request.method == "OPTIONS" and getattr(request.url_rule, "provide_automatic_options", False):
            return
        if request.endpoint is not None and webhooks_of(current_app.view_functions.get(request.endpoint)) is not None:
            return
        caller_of(request).admit(self, request.view_args or {}, request)

    @property
    def __name__(self) -> NoReturn:
        """Flask names an endpoint after its view: `@require_team` without the call would register the requirement."""
        raise _NoViewError


# Calling it without an argument is a mistake to type checkers; to everybody else it says what to write.
FlaskRequirement.__call__.__defaults__ = (None,)


class _NoViewError(ConfigurationError, AttributeError):
    """A requirement stands where a view or an answer belongs; an `AttributeError`, so that `hasattr` works."""

    def __init__(self) -> None:
        super().__init__(
            "A requirement is neither a view nor an answer. Decorate a view with it, with all its arguments, as in "
            '@require_team("{team_id}"), or call its .check().'
        )


def _params(view: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The route's parameters as the view gets them: one view may call another with a team of its own choice."""
    given = inspect.signature(view, follow_wrapped=False).bind_partial(*args).arguments if args else {}
    return {**given, **kwargs}


require_user: Final = FlaskRequirement()
"""A regular user."""

require_api_key: Final = FlaskRequirement(scope="api key")
"""A valid API key of a regular user, or of a team; it is then `current_api_key`."""

optional_user: Final = FlaskRequirement(optional=True, restricted=True, anonymous=True)
"""Everyone, anonymous and restricted users too. Without credentials `current_user` is false; bad ones are refused."""

require_item: Final = RequireItem(FlaskRequirement, "@{}")
"""Callers who have enough of an item, which it takes if asked to: `require_item("credits", 1, spend=True)`."""

require_permission: Final = RequirePermission(FlaskRequirement, "@{}")
"""Holders of a team permission: `require_permission("{team_id}", "export_reports")`."""

require_product: Final = RequireProduct(FlaskRequirement, "@{}")
"""Callers who have a product, or members of a team that has it: `require_product("pro", "{team_id}")`."""

require_project_permission: Final = RequireProjectPermission(FlaskRequirement, "@{}")
"""Holders of a project permission: `require_project_permission("access_admin_dashboard")`."""

require_team: Final = RequireTeam(FlaskRequirement, "@{}")
"""Members of a team: `require_team("{team_id}")`."""
