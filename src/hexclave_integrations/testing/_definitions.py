"""`/team-permission-definitions` and `/project-permission-definitions` of the sandbox (contract 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ._project import SYSTEM_PERMISSIONS, Project
from ._records import Permission, Scope
from ._routing import PERMISSION, STRING, AccessType, Call, Field, Route, list_of, required
from ._wire import Reply, json_reply, known_error

__all__ = ["ROUTES"]

_ADMIN: tuple[AccessType, ...] = ("admin",)


class _Endpoints:
    """The endpoints for the permissions of one scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def routes(self) -> tuple[Route, ...]:
        """The routes."""
        base = f"/{self.scope}-permission-definitions"
        one = base + "/{permission_id}"
        update = {
            "id": Field(_custom),
            "description": Field(STRING),
            "contained_permission_ids": Field(list_of(PERMISSION)),
        }
        create = update | {"id": required(_custom)}
        return (
            Route(method="GET", pattern=base, handler=self.list, access=_ADMIN),
            Route(method="POST", pattern=base, handler=self.create, access=_ADMIN, body=create),
            Route(method="PATCH", pattern=one, handler=self.update, access=_ADMIN, body=update),
            Route(method="DELETE", pattern=one, handler=self.delete, access=_ADMIN),
        )

    def list(self, call: Call) -> Reply:
        """All definitions of the scope, the system's among them."""
        own = [item for item in call.project.permissions.values() if item.scope == self.scope]
        items = [_shape(item) for item in sorted(own, key=lambda item: item.id.upper())]
        return json_reply({"items": items, "is_paginated": False})

    def create(self, call: Call) -> Reply:
        """Define a permission."""
        contains = call.body.get("contained_permission_ids", ())
        _check_free(call.project, call.body["id"])
        self._check_contained(call.project, contains)
        definition = Permission(call.body["id"], self.scope, tuple(contains), call.body.get("description"))
        call.project.permissions[definition.id] = definition
        return json_reply(_shape(definition), 201)

    def update(self, call: Call) -> Reply:
        """Change a permission; who holds it holds it under its new name."""
        old = self._find(call)
        body: Mapping[str, Any] = call.body
        new_id = body.get("id", old.id)
        if new_id != old.id:
            _check_free(call.project, new_id)
        contains = body.get("contained_permission_ids", old.contains)
        self._check_contained(call.project, contains)
        description = body.get("description", old.description)
        del call.project.permissions[old.id]
        definition = Permission(new_id, self.scope, tuple(contains), description)
        call.project.permissions[new_id] = definition
        _rename(call.project, old.id, new_id)
        return json_reply(_shape(definition))

    def delete(self, call: Call) -> Reply:
        """Forget a permission; what was granted of it counts no more."""
        del call.project.permissions[self._find(call).id]
        return json_reply({"success": True})

    def _find(self, call: Call) -> Permission:
        permission_id = call.params["permission_id"]
        found = call.project.permissions.get(permission_id)
        if found is None or found.scope != self.scope or permission_id in SYSTEM_PERMISSIONS:
            raise known_error("PERMISSION_NOT_FOUND", permission_id=permission_id)
        return found

    def _check_contained(self, project: Project, permission_ids: Iterable[str]) -> None:
        for permission_id in permission_ids:
            found = project.permissions.get(permission_id)
            if found is None or found.scope != self.scope:
                raise known_error("CONTAINED_PERMISSION_NOT_FOUND", permission_id=permission_id)


def _custom(value: object) -> str | None:
    if isinstance(value, str) and value.startswith("$"):
        return "must not start with $"
    return PERMISSION(value)


def _check_free(project: Project, permission_id: str) -> None:
    if permission_id in project.permissions:
        raise known_error("PERMISSION_ID_ALREADY_EXISTS", permission_id=permission_id)


def _rename(project: Project, old: str, new: str) -> None:
    project.team_grants = {(team, user, new if held == old else held) for team, user, held in project.team_grants}
    project.project_grants = {(user, new if held == old else held) for user, held in project.project_grants}
    for key, item in list(project.permissions.items()):
        if old in item.contains:
            contains = tuple(new if name == old else name for name in item.contains)
            project.permissions[key] = replace(item, contains=contains)


def _shape(definition: Permission) -> dict[str, Any]:
    description = {} if definition.description is None else {"description": definition.description}
    return {"id": definition.id, **description, "contained_permission_ids": sorted(definition.contains)}


ROUTES = _Endpoints("team").routes() + _Endpoints("project").routes()
