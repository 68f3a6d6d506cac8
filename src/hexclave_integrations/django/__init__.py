"""Hexclave for Django: a middleware, and requirements as decorators of views, sync and async.

::

    INSTALLED_APPS = [..., "hexclave_integrations.django"]
    MIDDLEWARE = [..., "hexclave_integrations.django.middleware.HexclaveMiddleware"]
    HEXCLAVE = {"PROJECT_ID": "...", "SECRET_SERVER_KEY": "..."}        # or the environment

    @require_user
    def me(request):
        return JsonResponse({"id": request.hexclave_user.id})

The middleware refuses nobody: only a requirement does, or the default, with `HEXCLAVE = {"DEFAULT": "require_user"}`.
Without one, `request.hexclave_user` (in async code `await request.ahexclave_user()`) is the verified regular user,
else None, bad credentials included. Type checkers know these attributes of `HexclaveHttpRequest` behind a
requirement, and of `OptionalHexclaveHttpRequest` elsewhere. `drf` and `ninja` hold what Django REST framework and
Django Ninja need; `webhook_view`, `signals` and `stores` what webhooks do.
"""

from .._base.extras import extra
from ..requirements import SELECTED_TEAM

with extra("django", "django"):
    from .._adapter.default import public
    from ._conf import get_async_client, get_client
    from ._mixins import HexclaveRequiredMixin
    from ._requirements import (
        DjangoRequirement,
        optional_user,
        require_api_key,
        require_item,
        require_permission,
        require_product,
        require_project_permission,
        require_team,
        require_user,
    )
    from ._supabase import supabase_view
    from ._typed import HexclaveHttpRequest, OptionalHexclaveHttpRequest
    from ._webhooks import webhook_view

__all__ = [
    "SELECTED_TEAM",
    "DjangoRequirement",
    "HexclaveHttpRequest",
    "HexclaveRequiredMixin",
    "OptionalHexclaveHttpRequest",
    "get_async_client",
    "get_client",
    "optional_user",
    "public",
    "require_api_key",
    "require_item",
    "require_permission",
    "require_product",
    "require_project_permission",
    "require_team",
    "require_user",
    "supabase_view",
    "webhook_view",
]
