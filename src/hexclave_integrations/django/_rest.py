"""Refusals inside Django REST framework: of its own kind for its own code, and ours for the caller.

The framework asks the permissions of other methods too: for the forms of the browsable API, the answer to OPTIONS, and
schemas that show what a user may do. Such code expects the framework's own exceptions. Where a refusal ends a request,
it passes the framework by, and `HexclaveMiddleware` answers it with the bytes that every other view gives.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, NoReturn

from rest_framework.exceptions import APIException, ErrorDetail, NotAuthenticated, PermissionDenied

from .._policy.attempt import Attempt
from ..errors import ConfigurationError, RequestRefused
from ._caller import answer_to
from ._private import django_request

__all__ = ["Misconfigured", "is_for_itself", "note_when_served", "refuse"]

_BASES: dict[int, type[APIException]] = {401: NotAuthenticated, 403: PermissionDenied}


class Misconfigured(ConfigurationError, APIException):
    """A mistake of the server, which counts as "not allowed" where the framework asks in another method's name."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.detail = ErrorDetail(text, code="error")


def refuse(error: RequestRefused | Misconfigured, view: Any, *, has_middleware: bool = True) -> NoReturn:
    """Raise a refusal as one of the framework's own exceptions.

    Args:
        error: the refusal.
        view: whose exception handler shall leave it to the middleware; None where it is not known.
        has_middleware: whether the middleware will answer; without it, in a test of the view alone, the view does.

    Raises:
        RequestRefused: the same, of both kinds.
    """
    if hasattr(view, "get_exception_handler"):
        _take_over(view, has_middleware)
    raise (error if isinstance(error, APIException) else _of_both_kinds(error)) from None


@functools.cache
def _both_kinds(kind: Any) -> Any:
    return type(kind.__name__, (kind, _BASES.get(kind.status, APIException)), {"__doc__": kind.__doc__})


def _of_both_kinds(error: RequestRefused) -> Exception:
    kind: Any = type(error)
    cls = _both_kinds(kind)
    made: Exception = cls.__new__(cls, *error.args)
    facts = {"detail": ErrorDetail(error.text, code=error.code), "status_code": error.status}
    vars(made).update(vars(error), **facts)
    return made


def is_for_itself(request: Any, view: Any) -> bool:
    """Whether a permission is asked so that the view's own code can run for the request as it came."""
    name = str(request.method).lower()
    return (
        request.method == django_request(request).method and name != "options" and callable(getattr(view, name, None))
    )


def note_when_served(view: Any, method: Any, attempt: Attempt) -> None:
    """Count the request as refused until its handler runs: other permissions and throttles are asked first.

    The framework looks the handler up on the view, an object of this request, when it has asked them all.
    """
    name, reference = str(method).lower(), weakref.ref(view)  # a method that is kept on its own object is a cycle
    own = vars(view).get(name)
    attempt.was_refused = True

    def served(*args: Any, **kwargs: Any) -> Any:
        attempt.was_refused = False
        view = reference()
        if own is None:
            delattr(view, name)
        else:
            setattr(view, name, own)
        return getattr(view, name)(*args, **kwargs)

    setattr(view, name, served)


class _Handler:
    """The exception handler of one view, which is told of everything but our refusals."""

    def __init__(self, inner: Any, has_middleware: bool) -> None:
        self._inner = inner
        self._has_middleware = has_middleware

    def __call__(self, error: Exception, context: Any) -> Any:
        if not isinstance(error, RequestRefused | Misconfigured):
            return self._inner(error, context)
        if isinstance(error, RequestRefused) and not self._has_middleware:
            return answer_to(error)
        return None  # the framework raises the exception again


def _take_over(view: Any, has_middleware: bool) -> None:
    handler = view.get_exception_handler()
    if not isinstance(handler, _Handler):
        ours = _Handler(handler, has_middleware)
        view.get_exception_handler = lambda: ours  # of this object, which lives as long as its request
