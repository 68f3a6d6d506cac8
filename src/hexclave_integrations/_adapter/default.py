"""Secure by default: what is known to stand in front of an endpoint, and whether the default is asked as well.

An adapter says what it can prove about an endpoint (`Standing`); `asked_by_default` decides, for all of them. Proven is
what really runs before the endpoint: the very function that the framework calls is one that a requirement of ours made
or that `public` marked. Attributes do not count, for `functools.wraps` copies them to functions that may do something
else first, or never call what they wrap. Whatever is not proven is asked by default: asked twice is no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from .._base.guards import Unapplied
from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ..requirements import UNAPPLIED, Requirement
from .endpoints import webhooks_of
from .guarded import guards_of, own_of
from .startup import unmet

__all__ = [
    "ADMIN",
    "AUTOMATIC",
    "DOCS",
    "MARKED",
    "STATIC",
    "WEBHOOK",
    "Standing",
    "asked_by_default",
    "check_default_settings",
    "checked_default",
    "is_public",
    "public",
    "standing_of_function",
]

T = TypeVar("T", bound=Callable[..., Any])
R = TypeVar("R", bound=Requirement)

MARKED: Final = "marked public"
WEBHOOK: Final = "a webhook endpoint, which admits by signature"
STATIC: Final = "the framework's own static files"
DOCS: Final = "the framework's own description of the API"
ADMIN: Final = "Django's admin, which asks for its own users"
AUTOMATIC: Final = "answered by the framework, which runs no code of the application"

_PUBLIC: Final = "__hexclave_public__"


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What is known to stand in front of one endpoint, for one method.

    Attributes:
        own: the requirements that certainly run before the endpoint does.
        open: why nobody need be asked, or None.
        hidden: requirements whose marks are there, behind something that may or may not run them.
        is_unreadable: whether the endpoint could not be looked at.
    """

    own: tuple[Requirement, ...] = ()
    open: str | None = None
    hidden: tuple[Requirement, ...] = ()
    is_unreadable: bool = False


def asked_by_default(standing: Standing, default: Requirement | None) -> Requirement | None:
    """The requirement that is asked besides what an endpoint has of its own: the default, or None.

    Args:
        standing: what is known of the endpoint.
        default: of the application, if it has one.
    """
    return None if standing.own or standing.open is not None else default


def public(endpoint: T) -> T:
    """Mark an endpoint for everybody: the application's default is not asked there.

    It marks exactly what it decorates: write it above other decorators, right below the one that registers the route.
    A requirement below it goes on counting.

    Args:
        endpoint: a function, a class of a class-based view (its subclasses are not marked), or an application to mount.

    Raises:
        ConfigurationError: it cannot be marked, or is a requirement.
    """
    if isinstance(endpoint, UNAPPLIED) or not callable(endpoint):
        raise ConfigurationError("public decorates an endpoint: a function, a class of views, or an application.")
    target = getattr(endpoint, "__func__", endpoint)  # of a bound method
    try:
        setattr(target, _PUBLIC, (target,))
    except (AttributeError, TypeError):
        raise ConfigurationError(
            f"public cannot mark a {type(endpoint).__name__}: decorate a function that calls it."
        ) from None
    return endpoint


def is_public(endpoint: Any) -> bool:
    """Whether this very endpoint is marked, and not one that it wraps or inherits from."""
    target = getattr(endpoint, "__func__", endpoint)
    mark: Any = getattr(target, _PUBLIC, None)
    return isinstance(mark, tuple) and mark[0] is target


def standing_of_function(view: Any) -> Standing:
    """What is known of a function that a framework calls as an endpoint."""
    own = own_of(view)
    if own:
        return Standing(own=own)
    if webhooks_of(view) is not None:
        return Standing(open=WEBHOOK)
    if is_public(view):
        return Standing(open=MARKED, hidden=guards_of(view))
    return Standing(hidden=guards_of(view))


def checked_default(given: Any, kind: type[R], spelling: str) -> R | None:
    """The default of an application, as it was given.

    Args:
        given: None for none.
        kind: the adapter's class of requirements.
        spelling: how the adapter's users write it, for error texts.

    Raises:
        ConfigurationError: it is no requirement of the adapter, was not called, lets nobody in as None, or takes a
            team from the path, which not every route has.
    """
    if given is None:
        return None
    if isinstance(given, Unapplied) or (isinstance(given, type) and issubclass(given, Requirement)):
        raise ConfigurationError(f"The default is a requirement that was not called. Write {spelling}.")
    if not isinstance(given, kind):
        raise ConfigurationError(f"The default is no requirement of {kind.__module__.rpartition('.')[0]}: {spelling}.")
    if given.optional:
        raise ConfigurationError(f"The default is optional, and would keep nobody out: {spelling}.")
    if given.team_parameter is not None:
        raise ConfigurationError(
            "The default takes its team from the path, and not every route has one: name a team, SELECTED_TEAM or a "
            f"callable, or write {spelling} and give the routes of a team their own requirement."
        )
    return given


def check_default_settings(default: Requirement | None, config: HexclaveConfig) -> None:
    """Hold the default against the settings.

    Raises:
        ConfigurationError: it needs a server key that is not set.
    """
    for found in unmet(() if default is None else (default,), "every route (the default)", (), config):
        raise ConfigurationError(found.text)
