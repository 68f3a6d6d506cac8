"""Which views are webhook endpoints of this package: known by themselves, and by nothing that can be copied.

A sender of webhooks has no access token. What guards a whole application therefore lets a request pass that is about
to reach such an endpoint, which admits by the signature of the delivery. A view that wraps one is not known here: it
may do something before.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..webhooks import Webhooks

__all__ = ["register_endpoint", "webhooks_of"]

_endpoints: weakref.WeakKeyDictionary[Any, Webhooks] = weakref.WeakKeyDictionary()


def register_endpoint(view: Any, webhooks: Webhooks) -> None:
    """Note that a function, made by this package, does nothing but receive deliveries."""
    _endpoints[view] = webhooks


def webhooks_of(view: Any) -> Webhooks | None:
    """What receives the deliveries of a view, if it is such an endpoint itself."""
    try:
        return _endpoints.get(view)
    except TypeError:  # views need not be hashable
        return None
