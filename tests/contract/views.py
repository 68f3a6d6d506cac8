"""What the views of every column return for who was let through."""

from __future__ import annotations

from typing import Any

from hexclave_integrations import HexclaveUser

PERMISSION = "export_reports"
PROJECT_PERMISSION = "access_admin_dashboard"


def show(principal: Any) -> dict[str, Any]:
    """A user with their kind, an API key without."""
    if isinstance(principal, HexclaveUser):
        return {"id": principal.id, "kind": principal.kind}
    return show_id(principal)


def show_id(principal: Any) -> dict[str, Any]:
    """The id of whoever it is, or null."""
    return {"id": principal.id if principal is not None else None}
