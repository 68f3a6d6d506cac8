"""Hexclave for Flask: an extension for the application, requirements as decorators, and `current_user`.

::

    hexclave = Hexclave()                       # hexclave.init_app(app) in the factory

    @app.get("/me")
    @require_user                               # below the route: Flask registers what stands below it
    def me():
        return {"id": current_user.id}

    blueprint.before_request(require_user.check)    # every route of a blueprint
"""

from .._base.extras import extra
from ..requirements import SELECTED_TEAM

with extra("flask", "flask"):
    from .._adapter.default import public
    from ._caller import current_api_key, current_user
    from ._extension import Hexclave
    from ._requirements import (
        FlaskRequirement,
        optional_user,
        require_api_key,
        require_item,
        require_permission,
        require_product,
        require_project_permission,
        require_team,
        require_user,
    )
    from ._supabase import supabase_blueprint
    from ._webhooks import webhook_blueprint

__all__ = [
    "SELECTED_TEAM",
    "FlaskRequirement",
    "Hexclave",
    "current_api_key",
    "current_user",
    "optional_user",
    "public",
    "require_api_key",
    "require_item",
    "require_permission",
    "require_product",
    "require_project_permission",
    "require_team",
    "require_user",
    "supabase_blueprint",
    "webhook_blueprint",
]
