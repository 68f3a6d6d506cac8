"""Hexclave for Litestar: a plugin for the application, and requirements as guards.

::

    app = Litestar([me], plugins=[HexclavePlugin()])

    @get("/me", guards=[require_user])
    async def me(request: Request) -> dict[str, str]:
        return {"id": request.user.id}
"""

from .._base.extras import extra
from ..requirements import SELECTED_TEAM

with extra("litestar", "litestar"):
    from .._adapter.default import public
    from ._guards import (
        LitestarRequirement,
        optional_user,
        require_api_key,
        require_item,
        require_permission,
        require_product,
        require_project_permission,
        require_team,
        require_user,
    )
    from ._plugin import HexclavePlugin, override_config
    from ._routes import supabase_handler, webhook_handler

__all__ = [
    "SELECTED_TEAM",
    "HexclavePlugin",
    "LitestarRequirement",
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
    "supabase_handler",
    "webhook_handler",
]
