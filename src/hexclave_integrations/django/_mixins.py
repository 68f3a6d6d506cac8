"""A requirement for class-based views, in the manner of Django's LoginRequiredMixin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views import View

from .._adapter.guarded import mark_guarded
from ..errors import ConfigurationError
from ._requirements import DjangoRequirement, require_user

__all__ = ["HexclaveRequiredMixin"]


class HexclaveRequiredMixin:
    """Guards every method of a class-based view, sync or async; to be named before `View` among its bases.

    Attributes:
        requirement: decides who is let through.

    Raises:
        ConfigurationError: the bases stand in an order that would skip the guard, or `requirement` is none.
    """

    requirement: DjangoRequirement = require_user

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(cls.requirement, DjangoRequirement):
            raise ConfigurationError(f"requirement of {cls.__name__} is none: use require_user or call the others.")
        for base in cls.__mro__[: cls.__mro__.index(HexclaveRequiredMixin)]:
            if issubclass(base, View) and not issubclass(base, HexclaveRequiredMixin):
                raise ConfigurationError(
                    f"{base.__name__} would skip the guard: name the mixin first in {cls.__name__}."
                )

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Answer as the view does, or refuse."""
        dispatch = super().dispatch  # type: ignore[misc]  # of the view this is mixed into
        return self.requirement.answer(dispatch, (request, *args), kwargs)

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """The view function, known to the system checks; exempt from Django's own as decorated views are."""
        view: Any = super().as_view(**initkwargs)  # type: ignore[misc]  # of the view this is mixed into
        requirement = initkwargs.get("requirement", cls.requirement)
        if not isinstance(requirement, DjangoRequirement):
            raise ConfigurationError("The requirement given to as_view is none.")
        if not requirement.optional:
            view.csrf_exempt = True
            view.login_required = False
        mark_guarded(view, requirement)
        guarded: Callable[..., HttpResponseBase] = view
        return guarded
