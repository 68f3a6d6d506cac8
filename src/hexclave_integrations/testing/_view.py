"""What the sandbox's page shows, as one JSON value without a secret, and the settings that lead to a sandbox."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from ._mailbox import SandboxEmail
from ._records import User

if TYPE_CHECKING:
    from .sandbox import Sandbox

__all__ = ["emails", "state", "variables"]

_SHOWN: Final = 200
"""Of what there may be very many, the newest so many are shown, with the number of all."""


def variables(sandbox: Sandbox) -> dict[str, str]:
    """The environment variables that connect an application to a sandbox, secrets included."""
    config = sandbox.config
    return {
        "HEXCLAVE_PROJECT_ID": config.project_id,
        "HEXCLAVE_API_URL": config.api_url,
        "HEXCLAVE_PUBLISHABLE_CLIENT_KEY": config.publishable_client_key or "",
        "HEXCLAVE_SECRET_SERVER_KEY": config.secret_server_key or "",
        "HEXCLAVE_WEBHOOK_SECRET": config.webhook_secrets[0],
    }


def emails(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The e-mails that were not sent, newest last."""
    with sandbox._lock:
        return [_email(one) for one in sandbox._project.emails]


def state(sandbox: Sandbox) -> dict[str, Any]:
    """Everything the page shows."""
    with sandbox._lock:
        project = sandbox._project
        requests, deliveries = sandbox.requests[-_SHOWN:], sandbox.deliveries[-_SHOWN:]
        return {
            "project": {
                "id": project.id,
                "api_url": project.base_url,
                "publishable_client_key": project.publishable_client_key,
            },
            "outages": [{"kind": outage.kind, "paths": list(outage.paths)} for outage in sandbox._outages],
            "users": _newest(_users(sandbox)),
            "teams": _newest(_teams(sandbox)),
            "permissions": [
                {"id": one.id, "scope": one.scope, "contains": list(one.contains)}
                for one in project.permissions.values()
            ],
            "signing_keys": [
                {"kind": kind, "id": key_id, "signs": signs} for kind, key_id, signs in project.keys.published()
            ],
            "api_keys": _newest([key.shape() | {"owner_id": key.owner_id} for key in project.api_keys.values()]),
            "sessions": _newest(
                [
                    session.shape() | {"is_over": session.expires_at <= project.now_millis()}
                    for session in project.sessions.values()
                ]
            ),
            "emails": _newest([_email(one) for one in project.emails]),
            "requests": {
                "total": len(sandbox.requests),
                "items": [
                    {
                        "number": one.number,
                        "at": one.at,
                        "method": one.method,
                        "path": one.path,
                        "query": dict(one.query),
                        "access_type": one.access_type,
                        "status": one.status,
                        "code": one.code,
                        "reason": one.reason,
                    }
                    for one in requests
                ],
            },
            "webhooks": {
                "total": len(sandbox.deliveries),
                "items": [
                    {
                        "id": one.id,
                        "type": one.type,
                        "endpoint": one.endpoint,
                        "attempt": one.attempt,
                        "status": one.status,
                        "accepted": one.accepted,
                    }
                    for one in deliveries
                ],
            },
            "endpoints": [endpoint.name for endpoint in sandbox._endpoints],
        }


def _newest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"total": len(rows), "items": rows[-_SHOWN:]}


def _users(sandbox: Sandbox) -> list[dict[str, Any]]:
    project = sandbox._project
    grants: dict[str, list[dict[str, str | None]]] = defaultdict(list)
    for user_id, permission_id in sorted(project.project_grants):
        grants[user_id].append({"permission": permission_id, "team": None})
    for team_id, user_id, permission_id in sorted(project.team_grants):
        grants[user_id].append({"permission": permission_id, "team": team_id})
    live: dict[str, int] = defaultdict(int)
    now = project.now_millis()
    for session in project.sessions.values():
        live[session.user_id] += session.expires_at > now
    return [_user(user) | {"grants": grants[user.id], "sessions": live[user.id]} for user in project.users.values()]


def _user(user: User) -> dict[str, Any]:
    reason = user.restricted_reason
    return {
        "id": user.id,
        "display_name": user.display_name,
        "primary_email": user.primary_email,
        "kind": user.kind,
        "restricted_reason": reason and reason["type"],
        "selected_team_id": user.selected_team_id,
    }


def _teams(sandbox: Sandbox) -> list[dict[str, Any]]:
    project = sandbox._project
    members: dict[str, list[str]] = defaultdict(list)
    for team_id, user_id in project.members:
        members[team_id].append(user_id)
    return [
        {"id": team.id, "display_name": team.display_name, "members": members[team.id]}
        for team in project.teams.values()
    ]


def _email(one: SandboxEmail) -> dict[str, Any]:
    return {"to": one.to, "kind": one.kind, "subject": one.subject, "code": one.code, "link": one.link}
