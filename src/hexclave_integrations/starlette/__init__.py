"""Hexclave for Starlette: a pure ASGI middleware, and requirements as endpoint decorators.

::

    app = Starlette(routes=[Route("/me", me)], middleware=[Middleware(HexclaveMiddleware)])

    @require_user
    async def me(request):
        return JSONResponse({"id": request.user.id})

The middleware refuses nobody: only a requirement does.
"""

from .._base.extras import extra
from ..requirements import SELECTED_TEAM

with extra("starlette", "starlette"):
    from .._adapter.default import public
    from .._asgi.override import override_config
    from ._middleware import HexclaveMiddleware
    from ._requirements import (
        StarletteRequirement,
        optional_user,
        require_api_key,
        require_item,
        require_permission,
        require_product,
        require_project_permission,
        require_team,
        require_user,
    )
    from ._supabase import supabase_route
    from ._webhooks import webhook_route

__all__ = [
    "SELECTED_TEAM",
    "HexclaveMiddleware",
    "StarletteRequirement",
    "optional_user",
    "override_config",
    "public",
    "require_api_key",
    "require_item",
    "require_permission",
    "require_product",
    "require_project_permission",
    "require_team",
    "require_user",
    "supabase_route",
    "webhook_route",
]
