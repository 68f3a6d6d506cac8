"""Every private part of Django, Django REST framework and Django Ninja that this adapter leans on, and what if it goes.

A part that guards something is tried at start: without it, `HexclaveMiddleware` refuses to be built, or the module for
the framework to be imported. The system checks look at all of them (hexclave.E009), since without the others the checks
would be blind, or a right application would answer with 500. What the checks read of URL patterns (`url_patterns`,
`pattern`, `callback`, `default_args`) fails by itself if it goes.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.middleware.cache import CacheMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.views import View

from ..errors import ConfigurationError

__all__ = [
    "CACHE_NOTE",
    "CSRF_NOTE",
    "PARTS",
    "Part",
    "dispatched_view",
    "django_request",
    "is_unreadable_operation",
    "keep_body",
    "kept_body",
    "middleware_around",
    "missing",
    "ninja_has",
    "operands",
    "operations",
    "read_elsewhere",
    "refuse_unsafe",
]

CACHE_NOTE: Final = "_cache_update_cache"
"""Where Django's page cache notes on a request whether to store the answer."""

CSRF_NOTE: Final = "csrf_processing_done"
"""Where Django's CSRF middleware notes on a request that it has checked it."""


# The module that an application of each loads: a build tool has a package called ninja as well.
_USED_AS: Final = {"django": "django", "rest_framework": "rest_framework.views", "ninja": "ninja.operation"}


def django_request(request: Any) -> Any:
    """Django's own request, from it or from the one that Django REST framework puts around it."""
    inner = getattr(request, "_request", None)
    return inner if isinstance(inner, HttpRequest) else request


def kept_body(request: HttpRequest) -> bytes:
    """The body that Django has read already; empty where it has not."""
    body: bytes = getattr(request, "_body", b"")
    return body


def keep_body(request: HttpRequest, body: bytes) -> None:
    """Keep a body where `request.body` finds it: middleware may read it after the view."""
    setattr(request, "_body", body)  # noqa: B010  # no attribute that the stubs know


def dispatched_view(method: Any) -> Any:
    """The class of a bound method, with Django's partial of `method_decorator` around it or not; else NoneType."""
    bound = method.func if isinstance(method, functools.partial) else method
    return type(getattr(bound, "__self__", None))


def middleware_around(view: Any) -> tuple[type, Any]:
    """The middleware that a decorator of Django's puts around a view, and the view; NoneType where there is none."""
    held = inspect.getclosurevars(view).nonlocals
    first = held.get("_pre_process_request")
    around = inspect.getclosurevars(first).nonlocals if inspect.isfunction(first) else {}
    return type(around.get("middleware")), held.get("view_func")


def ninja_has(function: Any) -> bool:
    """Whether Django Ninja has registered a function as an operation already."""
    return hasattr(function, "_ninja_operation")


def operations(view: Any) -> Any:
    """The operations of Django Ninja behind a view of a URL pattern; none for other views."""
    path_view = inspect.getclosurevars(view).nonlocals.get("self") if inspect.isfunction(view) else None
    return getattr(path_view, "operations", ())


def read_elsewhere(operation: Any) -> frozenset[str]:
    """The arguments of an operation of Django Ninja that it does not read from the path."""
    import ninja

    path_of: Any = ninja.Path  # generic to type checkers alone
    of_path = type(path_of(...))
    return frozenset(param.name for param in operation.signature.params if not isinstance(param.source, of_path))


def is_unreadable_operation(view: Any) -> bool:
    """Whether it is a view of Django Ninja's operations, and they cannot be found in it."""
    module = str(getattr(view, "__module__", ""))
    return module.startswith("ninja.") and not module.startswith("ninja.openapi.") and not operations(view)


def operands(permission: Any) -> list[Any]:
    """What `&`, `|` or `~` of Django REST framework combined to this permission; nothing for a permission class."""
    return [getattr(permission, name) for name in ("op1_class", "op2_class") if hasattr(permission, name)]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A private part of a framework.

    Attributes:
        framework: the package, as Python imports it.
        name: what it is called there.
        without: what happens where it is gone.
        guards: whether somebody could be let in, or be shown another's page, without it.
        is_there: tries it on the installed version.
    """

    framework: str
    name: str
    without: str
    guards: bool = False
    is_there: Callable[[], bool]


def missing(framework: str | None = None, *, guards_only: bool = False) -> Iterator[Part]:
    """The parts that the installed versions lack.

    Args:
        framework: look at this one; None for all that this process has imported.
        guards_only: look at those that guard something.
    """
    for part in PARTS:
        is_wanted = framework in (None, part.framework) and (part.guards or not guards_only)
        if is_wanted and _USED_AS[part.framework] in sys.modules and not part.is_there():
            yield part


@functools.cache
def refuse_unsafe(framework: str) -> None:
    """Try the parts of a framework that guard something, once in a process.

    Raises:
        ConfigurationError: one of them is gone.
    """
    part = next(missing(framework, guards_only=True), None)
    if part is not None:
        raise ConfigurationError(f"{part.framework} has no {part.name} any more: {part.without}.")


class _Recorder:
    """A cache that only remembers whether something was stored."""

    def __init__(self) -> None:
        self.has_stored = False

    def get(self, key: object, default: Any = None) -> Any:
        return default

    def set(self, *args: object, **kwargs: object) -> None:
        self.has_stored = True


class _ProbeRequest(HttpRequest):
    def build_absolute_uri(self, location: str | None = None) -> str:
        return "https://probe.invalid/"


def _stores(*, note: bool | None) -> bool:
    """Whether Django's page cache stores a public page, with a note on its request that always reads like this."""

    class Noted(_ProbeRequest):
        pass

    if note is not None:
        setattr(Noted, CACHE_NOTE, property(lambda self: note, lambda self, value: None))
    recorder = _Recorder()
    kind: Any = type("Probe", (CacheMiddleware,), {"cache": recorder})
    middleware, request = kind(lambda request: HttpResponse(), page_timeout=60), Noted()
    request.method = "GET"
    middleware.process_request(request)
    middleware.process_response(request, HttpResponse("a page"))
    return recorder.has_stored


def _cache_reads_its_note() -> bool:
    return _stores(note=None) and _stores(note=True) and not _stores(note=False)


def _csrf_reads_its_note() -> bool:
    refused = []
    for note in (True, False):
        request = _ProbeRequest()
        request.method = "POST"
        setattr(request, CSRF_NOTE, note)
        middleware: Any = CsrfViewMiddleware(lambda request: HttpResponse())
        middleware._reject = lambda request, reason: reason
        try:
            refused.append(middleware.process_view(request, None, (), {}) is not None)
        except Exception:  # noqa: BLE001  # whatever it does instead, it does not read the note
            return False
    return refused == [False, True]


def _django_keeps_bodies() -> bool:
    request = HttpRequest()
    keep_body(request, b"x")
    try:
        return bytes(request.body) == b"x"
    except Exception:  # noqa: BLE001  # whatever it does instead, it is not there
        return False


def _rest_framework_wraps() -> bool:
    from rest_framework.request import Request

    inner = HttpRequest()
    return django_request(Request(inner)) is inner


def _rest_framework_names_operands() -> bool:
    from rest_framework.permissions import AllowAny

    return operands(AllowAny & AllowAny) == [AllowAny, AllowAny] and operands(~AllowAny) == [AllowAny]


def _rest_framework_shows_its_views() -> bool:
    from rest_framework.views import APIView

    view: Any = APIView.as_view()
    return getattr(view, "cls", None) is APIView and hasattr(view, "initkwargs")


def _rest_framework_asks_its_views_for_a_handler() -> bool:
    from rest_framework.views import APIView

    return hasattr(APIView, "get_exception_handler")


def _ninja_marks_its_operations() -> bool:
    from ninja import Router

    def probe(request: HttpRequest) -> None: ...

    Router().get("/probe")(probe)
    return ninja_has(probe)


def _ninja_holds_its_operations() -> bool:
    from ninja.operation import PathView

    path_view = PathView()
    path_view.add_operation("/probe", ["GET"], lambda request: None)
    (operation,) = operations(path_view.get_view()) or (None,)
    return hasattr(operation, "auth_callbacks") and hasattr(operation, "view_func")


def _ninja_says_where_it_reads() -> bool:
    import ninja
    from ninja.operation import Operation

    path_of: Any = ninja.Path

    def probe(request: HttpRequest, own: str, prefix: str = path_of(...), other: int = 0) -> None: ...

    try:
        return read_elsewhere(Operation("/{own}", ["GET"], probe)) == {"other"}
    except (AttributeError, TypeError):
        return False


PARTS: Final = (
    Part(
        framework="django",
        name="HttpRequest._body",
        without="middleware that reads request.body after a webhook endpoint fails with RawPostDataException",
        is_there=_django_keeps_bodies,
    ),
    Part(
        framework="django",
        name=CACHE_NOTE,
        without="cache_page below a guard would show one caller's page to another",
        guards=True,
        is_there=_cache_reads_its_note,
    ),
    Part(
        framework="django",
        name=CSRF_NOTE,
        without="views that the default guards ask for a CSRF token besides",
        is_there=_csrf_reads_its_note,
    ),
    Part(
        framework="django",
        name="View.view_is_async",
        without="a refusal by a decorated dispatch of an async class is a 500 under WSGI",
        is_there=lambda: hasattr(View, "view_is_async"),
    ),
    Part(
        framework="rest_framework",
        name="Request._request",
        without="every guarded view of Django REST framework is a 500",
        is_there=_rest_framework_wraps,
    ),
    Part(
        framework="rest_framework",
        name="OperandHolder.op1_class",
        without="the system checks do not see requirements in combined permissions",
        is_there=_rest_framework_names_operands,
    ),
    Part(
        framework="rest_framework",
        name="view.cls",
        without="the system checks do not see the permission classes of views",
        is_there=_rest_framework_shows_its_views,
    ),
    Part(
        framework="rest_framework",
        name="APIView.get_exception_handler",
        without="refusals have the framework's body in place of ours",
        is_there=_rest_framework_asks_its_views_for_a_handler,
    ),
    Part(
        framework="ninja",
        name="_ninja_operation",
        without="a requirement above @api.get(...), where it guards nothing, goes unnoticed",
        guards=True,
        is_there=_ninja_marks_its_operations,
    ),
    Part(
        framework="ninja",
        name="PathView.operations",
        without="the system checks do not see the requirements of operations",
        is_there=_ninja_holds_its_operations,
    ),
    Part(
        framework="ninja",
        name="Operation.signature",
        without="the system checks do not see an operation that reads its team from the query and not from the path",
        is_there=_ninja_says_where_it_reads,
    ),
)
