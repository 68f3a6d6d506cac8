"""The default of a Django project: what is known to stand in front of a view, with the frameworks on top of Django.

Between the view that Django calls and the one that an application wrote stand decorators. Those of Django itself that
always call what they wrap are looked through, by what they hold and not by the attributes they copy; others are not.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final

from django.middleware.csrf import CsrfViewMiddleware
from django.utils.module_loading import import_string
from django.views import View

from .._adapter.default import (
    ADMIN,
    AUTOMATIC,
    DOCS,
    MARKED,
    STATIC,
    Standing,
    asked_by_default,
    checked_default,
    is_public,
    public,
    standing_of_function,
)
from .._adapter.guarded import guards_of
from ..errors import ConfigurationError
from ..requirements import Requirement
from . import _requirements
from ._private import middleware_around, operands, operations
from ._requirements import DjangoRequirement

__all__ = ["asked_of", "default_of", "layers_of", "standing_of"]

_SPELLING: Final = 'HEXCLAVE = {"DEFAULT": "require_user"}'
_DECORATORS: Final = {
    f"django.views.decorators.{name}" for name in ("cache", "clickjacking", "csrf", "debug", "http", "vary")
}
_HELD_AS: Final = ("view_func", "viewfunc", "func", "view")
_ADMIN: Final = ("django.contrib.admin.sites", "django.contrib.admin.options")


def default_of(given: Any) -> DjangoRequirement | None:
    """The default that the settings name.

    Args:
        given: `HEXCLAVE["DEFAULT"]`: a name of `hexclave_integrations.django`, the dotted path to a requirement, or
            a requirement itself.

    Raises:
        ConfigurationError: it is none that can be a default.
    """
    found = given
    if isinstance(given, str):
        try:
            found = getattr(_requirements, given) if "." not in given else import_string(given)
        except (AttributeError, ImportError):
            raise ConfigurationError(
                f'HEXCLAVE["DEFAULT"] leads to nothing: write {_SPELLING}, or a dotted path.'
            ) from None
    return checked_default(found, DjangoRequirement, _SPELLING)


def asked_of(view: Any, method: str, default: DjangoRequirement | None) -> DjangoRequirement | None:
    """The default where it is asked in front of a view, else None."""
    if default is None or asked_by_default(standing_of(view, method), default) is None:
        return None
    return default


def standing_of(view: Any, method: str) -> Standing:
    """What is known to stand in front of a view, for a method."""
    hidden: tuple[Requirement, ...] = ()
    for layer in layers_of(view):
        found = _standing_of_layer(layer, method)
        if found.own or found.open is not None or found.is_unreadable:
            return found
        hidden = hidden or found.hidden
    return Standing(hidden=hidden)


def _standing_of_layer(view: Any, method: str) -> Standing:
    found = standing_of_function(view)
    if found.own or found.open is not None:
        return found
    module = _defined_in(view)
    if module in _ADMIN or _is_admin_login(view):
        return Standing(open=ADMIN)
    if module == "django.contrib.staticfiles.views":
        return Standing(open=STATIC)
    if isinstance(view, functools.partial) and _defined_in(view.func) == "ninja.openapi.views":
        return Standing(open=DOCS)
    if module == "ninja.operation":
        return _standing_of_operation(view, method)
    if module in ("django.views.generic.base", "rest_framework.viewsets"):
        return _standing_of_class(view, method)
    return found


@functools.lru_cache(maxsize=4096)
def layers_of(view: Any) -> tuple[Any, ...]:
    """A view and what Django's own decorators around it call, the outermost first."""
    found = [view]
    while (inner := _called_by(found[-1])) is not None:
        found.append(inner)
    return tuple(found)


def _called_by(view: Any) -> Any:
    """What a decorator of Django's calls in the end, whatever it does besides; None for any other function."""
    module = _defined_in(view)
    if module in _DECORATORS:
        held = inspect.getclosurevars(view).nonlocals
        return next((held[name] for name in _HELD_AS if callable(held.get(name))), None)
    if module == "django.utils.decorators":
        kind, inner = middleware_around(view)
        if issubclass(kind, CsrfViewMiddleware) and kind.__module__.startswith("django."):  # @csrf_protect
            return inner
    return None


def _defined_in(view: Any) -> str:
    """The module that a function was really defined in: `functools.wraps` copies `__module__`, and not this."""
    return str(view.__globals__.get("__name__", "")) if isinstance(view, FunctionType) else ""


def _is_admin_login(view: Any) -> bool:
    site = getattr(view, "__self__", None)
    kinds = type(site).__mro__ if site is not None else ()
    is_site = any((kind.__module__, kind.__qualname__) == ("django.contrib.admin.sites", "AdminSite") for kind in kinds)
    return is_site and view == getattr(site, "login", None)


def _standing_of_class(view: Any, method: str) -> Standing:
    """Of a view that Django, or Django REST framework, made of a class."""
    cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
    options = getattr(view, "initkwargs", None) or getattr(view, "view_initkwargs", None) or {}
    if not isinstance(cls, type):
        return Standing(is_unreadable=True)
    if is_public(cls):
        return Standing(open=MARKED)
    seen = tuple(_seen(view, cls, options))
    dispatch = _standing_of_method(cls, "dispatch", options)
    if dispatch.own or dispatch.open is not None:
        return dispatch
    rest = _rest_framework()
    if rest is not None and issubclass(cls, rest.APIView):
        own = tuple(_of_permissions(cls, options, rest))
        if own:
            return Standing(own=own)
        if getattr(cls, "dispatch", None) is not rest.APIView.dispatch:
            return Standing(hidden=seen)
        actions = getattr(view, "actions", None)  # of a viewset
        name = actions.get(_verb(method, actions)) if actions else _verb(method, cls)
    elif getattr(cls, "dispatch", None) is View.dispatch:
        name = _verb(method, cls)
        if _is_automatic(cls, name):
            return Standing(open=AUTOMATIC)
    else:
        return Standing(hidden=seen)
    found = _standing_of_method(cls, name, options) if name else Standing()
    return found if found.own or found.open is not None else Standing(hidden=seen)


def _verb(method: str, handlers: Any) -> str:
    """The name of what answers a method: GET's answers HEAD where there is no other."""
    has = handlers.__contains__ if isinstance(handlers, dict) else functools.partial(hasattr, handlers)
    name = method.lower()
    return "get" if name == "head" and not has("head") and has("get") else name


def _is_automatic(cls: Any, name: str) -> bool:
    """Whether Django itself answers a method of a class: to OPTIONS, and with 405."""
    if name == "options":
        return bool(cls.options is View.options)
    is_handled = name in cls.http_method_names and hasattr(cls, name)
    return not is_handled and cls.http_method_not_allowed is View.http_method_not_allowed


def _standing_of_method(cls: Any, name: str, options: Any) -> Standing:
    """Of a method of a class of views, decorated directly, by `method_decorator`, or by our mixin."""
    from ._mixins import HexclaveRequiredMixin

    function: Any = getattr(cls, name, None)
    if name == "dispatch" and function is HexclaveRequiredMixin.dispatch:
        return Standing(own=(options.get("requirement", cls.requirement),))
    if _defined_in(function) == "django.utils.decorators":
        outermost = (inspect.getclosurevars(function).nonlocals.get("decorators") or [None])[-1]
        if isinstance(outermost, DjangoRequirement):
            return Standing(own=(outermost,))
        if outermost is public:
            return Standing(open=MARKED)
    return standing_of_function(function) if function is not None else Standing()


def _rest_framework() -> Any:
    return sys.modules.get("rest_framework.views")


def _of_permissions(cls: Any, options: Any, rest: Any) -> Iterator[Requirement]:
    """The requirements among the permissions of a class, if Django REST framework itself asks them."""
    from .drf import HexclavePermission

    names = ("dispatch", "initial", "check_permissions", "get_permissions")
    if any(getattr(cls, name, None) is not getattr(rest.APIView, name) for name in names):
        return
    for item in _permissions(cls, options):
        yield from _certain(item, HexclavePermission)


def _permissions(cls: Any, options: Any) -> Any:
    found = options.get("permission_classes", getattr(cls, "permission_classes", ()))
    return found if isinstance(found, list | tuple) else ()


def _certain(item: Any, kind: Any) -> Iterator[Requirement]:
    """The requirements that a permission class certainly asks: both sides of `&`, and nothing of `|` and `~`."""
    if isinstance(item, type):
        ours: Any = item
        if issubclass(item, kind) and ours.has_permission is kind.has_permission:
            yield ours.requirement
    elif getattr(getattr(item, "operator_class", None), "__name__", "") == "AND":
        for operand in operands(item):
            yield from _certain(operand, kind)


def _seen(view: Any, cls: Any, options: Any) -> Iterator[Requirement]:
    yield from guards_of(view)
    for item in _permissions(cls, options):
        requirement = getattr(item, "requirement", None)
        if isinstance(requirement, Requirement):
            yield requirement


def _standing_of_operation(view: Any, method: str) -> Standing:
    """Of the operation of Django Ninja that answers a method; 405 is Ninja's own answer where there is none."""
    from .ninja import HexclaveAuth

    found = operations(view)
    if not found:
        return Standing(is_unreadable=True)
    operation = next((each for each in found if method in each.methods), None)
    if operation is None:
        return Standing(open=AUTOMATIC)
    # Ninja asks one after the other until one lets the caller in. Ours refuses instead of passing on, so that the first
    # decides; where another stands before it, that may let anybody in.
    callbacks = list(operation.auth_callbacks)
    if callbacks and type(callbacks[0]) is HexclaveAuth:
        return Standing(own=(callbacks[0].requirement,))
    inside = standing_of_function(operation.view_func)
    if inside.own or inside.open is not None:
        return inside
    hidden = (getattr(each, "requirement", None) for each in callbacks)
    return Standing(hidden=(*(each for each in hidden if isinstance(each, Requirement)), *inside.hidden))
