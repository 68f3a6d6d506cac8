"""What Hexclave's API and its webhooks tell of users, teams and what is theirs: one class each (contract 4 and 6).

An object keeps the fields that it was made from, as a mapping: `user["anything"]` works as well as `user.id`, and a
field that is new at Hexclave is no error.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

__all__ = [
    "ApiKeyData",
    "ConnectedAccount",
    "InvitationData",
    "ItemData",
    "ProductData",
    "ProjectData",
    "Record",
    "SessionData",
    "SessionTokens",
    "TeamData",
    "TeamMemberData",
    "TeamMembershipData",
    "UserData",
]

# What a field without a default has to be, by its annotation.
_REQUIRED: Final[Mapping[str, tuple[type, ...]]] = {
    "str": (str,),
    "float": (int, float),
    "Mapping[str, Any]": (dict,),
}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Record(Mapping[str, Any]):
    """An object of Hexclave's; its attributes are the known fields, its items all fields as they came.

    It may hold what only a server should see: do not hand it on to a browser (contract 9.21).

    Attributes:
        raw: all fields as they came.
    """

    raw: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.raw[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        """Nothing of a person: error reports and logs show the values of local variables."""
        return f"<{type(self).__name__}>"

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """Take the known fields out of a JSON object; a missing one has its default.

        Raises:
            ValueError: a field without a default is missing or of the wrong type.
        """
        known: dict[str, Any] = {}
        for name, required in _fields(cls).items():
            if name in raw:
                known[name] = raw[name]
            if required and type(known.get(name)) not in required:
                raise ValueError(f"{name} is missing")
        return cls(raw=raw, **known)


@functools.cache
def _fields(cls: type[Record]) -> dict[str, tuple[type, ...]]:
    """What each known field has to be; empty where it may be missing."""
    return {
        item.name: _REQUIRED[str(item.type)]
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        else ()
        for item in dataclasses.fields(cls)
        if item.name != "raw"
    }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class UserData(Record):
    """A user, as the server sees them (contract 4.1)."""

    id: str
    display_name: str | None = None
    primary_email: str | None = None
    primary_email_verified: bool = False
    primary_email_auth_enabled: bool = False
    profile_image_url: str | None = None
    selected_team_id: str | None = None
    selected_team: Mapping[str, Any] | None = None
    signed_up_at_millis: int | None = None
    last_active_at_millis: int | None = None
    has_password: bool = False
    otp_auth_enabled: bool = False
    passkey_auth_enabled: bool = False
    client_metadata: Any = None
    client_read_only_metadata: Any = None
    server_metadata: Any = None
    is_anonymous: bool = False
    is_restricted: bool = False
    restricted_reason: Mapping[str, Any] | None = None
    restricted_by_admin: bool = False
    restricted_by_admin_reason: str | None = None
    restricted_by_admin_private_details: str | None = None
    country_code: str | None = None
    oauth_providers: list[Mapping[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TeamData(Record):
    """A team (contract 4.2); of a deleted one only the id is known."""

    id: str
    display_name: str | None = None
    profile_image_url: str | None = None
    created_at_millis: int | None = None
    client_metadata: Any = None
    client_read_only_metadata: Any = None
    server_metadata: Any = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TeamMembershipData(Record):
    """Who is in which team."""

    team_id: str
    user_id: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TeamMemberData(TeamMembershipData):
    """A member of a team, as they are called and look there (contract 4.2).

    Attributes:
        display_name, profile_image_url: those of the team where the user has some, else their own.
        user: the user themselves, of any kind.
    """

    display_name: str | None = None
    profile_image_url: str | None = None
    user: UserData | None = None

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """As `Record.read`; a `user` that is none, or another one, is an error too."""
        member, about = super().read(raw), raw.get("user")
        user = UserData.read(about) if isinstance(about, dict) else None
        if user is not None and user.id != member.user_id:
            raise ValueError("another user")
        return dataclasses.replace(member, user=user)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class InvitationData(Record):
    """An invitation to a team that nobody has accepted yet (contract 4.2)."""

    id: str
    team_id: str
    team_display_name: str | None = None
    recipient_email: str | None = None
    expires_at_millis: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ApiKeyData(Record):
    """A user's or team's API key (contract 4.4).

    Attributes:
        type: `user` or `team`.
        user_id, team_id: the owner; one of them is None.
        value: the whole key, only where it was made just now; a secret.
        last_four: how it ends, everywhere else.
        expires_at_millis, manually_revoked_at_millis: epoch milliseconds; None for a key that has no end, or goes on.
    """

    id: str
    type: str
    user_id: str | None = None
    team_id: str | None = None
    description: str = ""
    is_public: bool = False
    created_at_millis: int | None = None
    expires_at_millis: int | None = None
    manually_revoked_at_millis: int | None = None
    value: str | None = None
    last_four: str | None = None

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """As `Record.read`; `value` is the key, or an object with its end."""
        key = super().read(raw)
        shown: object = key.value
        if isinstance(shown, dict):
            return dataclasses.replace(key, value=None, last_four=shown.get("last_four"))
        return key


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SessionData(Record):
    """A session of a user; `id` is the `session_id` of the users that its tokens speak for (contract 4.8).

    Attributes:
        created_at, last_used_at: epoch milliseconds.
    """

    id: str
    user_id: str
    created_at: int | None = None
    last_used_at: int | None = None
    is_impersonation: bool = False


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SessionTokens(Record):
    """The tokens of a session that was made just now: secrets, which let anybody act as the user."""

    access_token: str
    refresh_token: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ItemData(Record):
    """How much a customer has of an item; less than nothing is possible (contract 4.5)."""

    id: str
    quantity: float
    display_name: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ProductData(Record):
    """A product that a customer owns (contract 4.5).

    Attributes:
        id: None for a product that was described when it was granted.
        type: `one_time` or `subscription`.
    """

    quantity: float
    product: Mapping[str, Any]
    id: str | None = None
    type: str | None = None
    subscription: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ConnectedAccount(Record):
    """An account of a user at an OAuth provider (contract 4.8)."""

    user_id: str
    provider: str
    provider_account_id: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ProjectData(Record):
    """The project and its settings, as far as clients may know them (contract 4.8)."""

    id: str
    display_name: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
