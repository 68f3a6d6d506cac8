"""`/data-vault/stores` of the sandbox: what it is given is encrypted already (contract 4.7)."""

from __future__ import annotations

from ._project import Project
from ._routing import STRING, Call, Route, required, text
from ._wire import Reply, json_reply, known_error

__all__ = ["ROUTES"]


def _get(call: Call) -> Reply:
    store_id, key = call.params["store_id"], call.body["hashed_key"]
    value = _store(call.project, store_id).get(key)
    if value is None:
        raise known_error("DATA_VAULT_STORE_HASHED_KEY_DOES_NOT_EXIST", store_id=store_id, hashed_key=key)
    return json_reply({"encrypted_value": value})


def _set(call: Call) -> Reply:
    _store(call.project, call.params["store_id"])[call.body["hashed_key"]] = call.body["encrypted_value"]
    return json_reply({"success": True})


def _store(project: Project, store_id: str) -> dict[str, str]:
    """A store; while a test has defined none, whichever is named is there."""
    if project.accepts_any_vault_store:
        return project.vault_stores.setdefault(store_id, {})
    if store_id not in project.vault_stores:
        raise known_error("DATA_VAULT_STORE_DOES_NOT_EXIST", store_id=store_id)
    return project.vault_stores[store_id]


_KEY = {"hashed_key": required(text(may_be_empty=False))}
_STORE = "/data-vault/stores/{store_id}"
ROUTES = (
    Route(method="POST", pattern=f"{_STORE}/get", handler=_get, body=_KEY),
    Route(method="POST", pattern=f"{_STORE}/set", handler=_set, body=_KEY | {"encrypted_value": required(STRING)}),
)
