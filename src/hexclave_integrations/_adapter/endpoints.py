"""Which views are webhook endpoints of this package.

A sender of webhooks has no access token. What guards a whole application therefore lets a request pass that is about
to reach such an endpoint, which admits by the signature of the delivery. A view that wraps one is not known here,
although `functools.wraps` copies the mark: it may do something before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..webhooks import Webhooks

__all__ = ["register_endpoint", "webhooks_of"]

_MARK: Final = "__hexclave_endpoint__"


def register_endpoint(view: Any, webhooks: Webhooks) -> None:
    """Note that a function, made by this package, does nothing but receive deliveries."""
    setattr(view, _MARK, (view, webhooks))


def webhooks_of(view: Any) -> Webhooks | None:
    """What receives the deliveries of a view, if it is such an endpoint itself."""
    mark: tuple[Any, Webhooks] | None = getattr(view, _MARK, None)
    return mark[1] if mark is not None and mark[0] is view else None
