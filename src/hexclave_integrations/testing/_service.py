"""What the sandbox says about its project, and the events that it takes and forgets (contract 3.1, 4.8).

`/internal/backend-urls` has no route on purpose: after a 404 the SDK goes on with the URL that it knows, while an empty
list would leave it with none.
"""

from __future__ import annotations

from ._routing import EVERYBODY, Call, Route
from ._wire import Reply, json_reply

__all__ = ["ROUTES"]


def _read_project(call: Call) -> Reply:
    config = {
        "sign_up_enabled": True,
        "credential_enabled": True,
        "magic_link_enabled": True,
        "passkey_enabled": False,
        "client_team_creation_enabled": True,
        "client_user_deletion_enabled": True,
        "allow_user_api_keys": True,
        "allow_team_api_keys": True,
        "allow_localhost": True,
        "enabled_oauth_providers": [],
        "domains": [{"domain": domain, "handler_path": "/handler"} for domain in call.project.domains],
    }
    return json_reply({"id": call.project.id, "display_name": "Sandbox", "config": config})


def _swallow_events(call: Call) -> Reply:
    """Analytics of the SDK, whatever their form: nothing keeps them."""
    return json_reply({"inserted": 0})


ROUTES = (
    Route(method="GET", pattern="/projects/current", handler=_read_project, access=EVERYBODY),
    Route(method="POST", pattern="/analytics/events/batch", handler=_swallow_events, access=EVERYBODY),
)
