"""Users and API keys in JSON answers of Django, Django REST framework and Django Ninja: the public fields.

The encoders of the frameworks have no register for other values, so their `default` is extended; it is the method that
`json` documents for this. Encoders of an application that subclass them and call `super().default(...)` follow.
"""

from __future__ import annotations

import functools
from typing import Any

from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder

from .._base.guards import NeverFromRequest

__all__ = ["extend_encoders"]

_IS_EXTENDED = "_hexclave_is_extended"


def extend_encoders() -> None:
    """Teach the encoders of the installed frameworks our values, once."""
    encoders: list[Any] = [DjangoJSONEncoder]  # Django Ninja's subclasses it
    if apps.is_installed("rest_framework"):
        from rest_framework.utils.encoders import JSONEncoder

        encoders.append(JSONEncoder)
    for encoder in encoders:
        if not hasattr(encoder, _IS_EXTENDED):
            encoder.default = _extended(encoder.default)
            setattr(encoder, _IS_EXTENDED, True)


def _extended(otherwise: Any) -> Any:
    @functools.wraps(otherwise)
    def default(self: Any, o: Any) -> Any:
        return o._public() if isinstance(o, NeverFromRequest) else otherwise(self, o)

    return default
