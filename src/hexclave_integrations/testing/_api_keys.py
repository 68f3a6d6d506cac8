"""`/user-api-keys` and `/team-api-keys` of the sandbox (contract 4.4)."""

from __future__ import annotations

from ._records import ApiKey, KeyOwner
from ._routing import BOOLEAN, EVERYBODY, NUMBER, STRING, USER, UUID, Call, Field, Route, nullable, one_of, required
from ._wire import Refusal, Reply, json_reply, known_error, text_reply

__all__ = ["ROUTES"]


class _Endpoints:
    """The endpoints for one kind of owner.

    Team keys are addressed together with their team (`?team_id=`); user keys stand for themselves.
    """

    def __init__(self, owner: KeyOwner) -> None:
        self.owner = owner
        self.id_name = f"{owner}_id"

    def routes(self) -> tuple[Route, ...]:
        """The routes, `/check` before the key ids."""
        base = f"/{self.owner}-api-keys"
        owner_query = {"team_id": required(UUID)} if self.owner == "team" else {"user_id": Field(USER)}
        create = {
            self.id_name: required(UUID if self.owner == "team" else USER),
            "description": required(STRING),
            "expires_at_millis": required(nullable(NUMBER)),
            "is_public": Field(BOOLEAN),
        }
        change = {"description": Field(STRING), "revoked": Field(one_of(True))}
        one = base + "/{key_id}"
        return (
            Route(method="POST", pattern=f"{base}/check", handler=self.check, body={"api_key": required(STRING)}),
            Route(method="POST", pattern=base, handler=self.create, access=EVERYBODY, body=create),
            Route(method="GET", pattern=base, handler=self.list, access=EVERYBODY, query=owner_query),
            Route(method="GET", pattern=one, handler=self.read, access=EVERYBODY, query=owner_query),
            Route(
                method="PATCH",
                pattern=one,
                handler=self.update,
                access=EVERYBODY,
                query=owner_query,
                body=change,
            ),
        )

    def check(self, call: Call) -> Reply:
        """Judge a key string: unknown, of the other kind, revoked, expired, in this order."""
        key = next((item for item in call.project.api_keys.values() if item.value == call.body["api_key"]), None)
        if key is None:
            raise known_error("API_KEY_NOT_FOUND")
        if key.type != self.owner:
            raise known_error("WRONG_API_KEY_TYPE", expected_type=self.owner, actual_type=key.type)
        if key.revoked_at_millis is not None:
            raise known_error("API_KEY_REVOKED")
        if key.expires_at_millis is not None and key.expires_at_millis <= call.project.now_millis():
            raise known_error("API_KEY_EXPIRED")
        return json_reply(key.shape())

    def create(self, call: Call) -> Reply:
        """Make a key; the only answer that shows it, and with 200 (contract 9.4)."""
        owner_id = call.body[self.id_name]
        self._check_manager(call, owner_id)
        if owner_id not in (call.project.users if self.owner == "user" else call.project.teams):
            raise Refusal(text_reply("Internal Server Error.", 500))  # a foreign key fails in the real database
        expires_at = call.body["expires_at_millis"]
        key = call.project.create_api_key(
            self.owner,
            owner_id,
            description=call.body["description"],
            expires_at_millis=None if expires_at is None else int(expires_at),
            is_public=call.body.get("is_public", False),
        )
        return json_reply(key.shape(reveal=True))

    def list(self, call: Call) -> Reply:
        """The owner's keys, newest first."""
        owner_id = call.query.get(self.id_name)
        if owner_id is None:
            raise known_error("SCHEMA_ERROR", message=f"{self.id_name} is required for {self.owner} API keys")
        self._check_manager(call, owner_id)
        keys = [key for key in call.project.api_keys.values() if (key.type, key.owner_id) == (self.owner, owner_id)]
        return json_reply({"items": [key.shape() for key in reversed(keys)], "is_paginated": False})

    def read(self, call: Call) -> Reply:
        """One key."""
        return json_reply(self._find(call).shape())

    def update(self, call: Call) -> Reply:
        """Rename or revoke a key; a revocation keeps its first time."""
        key = self._find(call)
        key.description = call.body.get("description", key.description)
        if "revoked" in call.body and key.revoked_at_millis is None:
            key.revoked_at_millis = call.project.now_millis()
        return json_reply(key.shape())

    def _find(self, call: Call) -> ApiKey:
        key = call.project.api_keys.get(call.params["key_id"])
        if key is None or key.type != self.owner or call.query.get(self.id_name, key.owner_id) != key.owner_id:
            raise known_error("API_KEY_NOT_FOUND")
        self._check_manager(call, key.owner_id)
        return key

    def _check_manager(self, call: Call, owner_id: str) -> None:
        if not call.caller.is_client:
            return
        user = call.caller.require_user()
        if self.owner == "user" and owner_id != user.id:
            raise Refusal(text_reply("Client can only manage their own api keys", 403))
        grant = (owner_id, user.id, "$manage_api_keys")
        if self.owner == "team" and grant not in call.project.team_permissions(recursive=True):
            raise known_error("API_KEY_NOT_FOUND")


ROUTES = _Endpoints("user").routes() + _Endpoints("team").routes()
