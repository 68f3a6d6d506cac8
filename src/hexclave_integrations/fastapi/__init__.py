"""Hexclave for FastAPI: an extension for the application, and requirements as dependencies.

::

    app = FastAPI()
    Hexclave(app)

    @app.get("/me")
    async def me(user: CurrentUser): ...
"""

from .._base.extras import extra
from ..requirements import SELECTED_TEAM

with extra("fastapi", "fastapi", "starlette", "pydantic"):
    from fastapi import APIRouter

    from .._adapter.default import public
    from .._asgi.override import override_config
    from .._asgi.startup import FRAMEWORKS, Framework
    from ._default import standing_of
    from ._dependencies import (
        CurrentUser,
        FastAPIRequirement,
        OptionalUser,
        optional_user,
        require_api_key,
        require_item,
        require_permission,
        require_product,
        require_project_permission,
        require_team,
        require_user,
    )
    from ._extension import Hexclave
    from ._internals import candidates_of, routes_of
    from ._misuse import requirements_on
    from ._supabase import supabase_router
    from ._webhooks import webhook_router

__all__ = [
    "SELECTED_TEAM",
    "CurrentUser",
    "FastAPIRequirement",
    "Hexclave",
    "OptionalUser",
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
    "supabase_router",
    "webhook_router",
]

FRAMEWORKS.append(Framework(routes_of, requirements_on, standing_of, candidates_of, APIRouter))
