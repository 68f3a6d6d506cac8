"""The state of a sandbox: one project with its users, teams, permissions, sessions and API keys.

Nothing here locks; the sandbox holds one lock around every use.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from ..user import UserKind
from ._ledger import CustomerType, Holding, Item, Purchase
from ._mailbox import SandboxEmail
from ._records import (
    ApiKey,
    CliLogin,
    ContactChannel,
    Invitation,
    KeyOwner,
    OAuthAccount,
    Permission,
    Session,
    Team,
    User,
    VerificationCode,
)
from ._signing import SigningKeys, audience, issuer
from ._wire import random_text

__all__ = ["SYSTEM_PERMISSIONS", "Project"]

SYSTEM_PERMISSIONS = (
    "$delete_team",
    "$invite_members",
    "$manage_api_keys",
    "$read_members",
    "$remove_members",
    "$update_team",
)
_YEAR_MILLIS = 365 * 86_400_000


class Project:
    """A Hexclave project in memory.

    Args:
        project_id: its UUID.
        base_url: where the API is, which the tokens' issuer names.
        clock: the time, epoch seconds.

    Attributes:
        emit: told of each webhook, its type and data, within the change that sends it.
        require_email_verification: whether who signs up is restricted until they verified their address.
        domains: origins besides localhost that a link in an e-mail may lead to.
    """

    def __init__(self, project_id: str, base_url: str, clock: Callable[[], float]) -> None:
        self.id = project_id
        self.clock = clock
        self.emit: Callable[[str, Any], None] = _tell_nobody
        self.base_url = base_url
        self.issuer_bases: tuple[str, ...] = (base_url,)
        self.publishable_client_key: str = f"pck_{random_text(45)}"
        self.secret_server_key: str = f"ssk_{random_text(45)}"
        self.super_secret_admin_key: str = f"sak_{random_text(45)}"
        self.require_email_verification = False
        self.domains: list[str] = []
        self.keys: SigningKeys = SigningKeys()
        self.users: dict[str, User] = {}
        self.teams: dict[str, Team] = {}
        self.members: dict[tuple[str, str], None] = {}  # (team id, user id), in the order they joined
        self.sessions: dict[str, Session] = {}
        self.api_keys: dict[str, ApiKey] = {}
        self.contact_channels: dict[str, ContactChannel] = {}  # without the primary ones, which are the users' own
        self.codes: list[VerificationCode] = []
        self.cli_logins: list[CliLogin] = []
        self.emails: list[SandboxEmail] = []  # oldest first
        self.client_user_deletion_enabled = True
        self.member_profiles: dict[str, dict[str, dict[str, Any]]] = {}  # team id -> user id -> what differs there
        self.invitations: dict[str, Invitation] = {}
        self.oauth_accounts: dict[str, OAuthAccount] = {}
        self.notifications: dict[str, dict[str, bool]] = {}  # user id -> category id -> enabled, where the user chose
        self.items: dict[str, Item] = {}
        self.products: dict[str, dict[str, Any]] = {}  # in the shape that the API calls an inline product
        self.purchases: dict[str, Purchase] = {}  # oldest first
        self.holdings: dict[str, Holding] = {}  # by `Holding.key_of`
        self.vault_stores: dict[str, dict[str, str]] = {}  # store id -> hashed key -> encrypted value
        self.accepts_any_vault_store = True
        self.accepts_any_item = False
        self.team_grants: set[tuple[str, str, str]] = set()  # (team id, user id, permission id)
        self.project_grants: set[tuple[str, str]] = set()  # (user id, permission id)
        definitions = [Permission(name, "team") for name in SYSTEM_PERMISSIONS]
        definitions.append(Permission("team_admin", "team", SYSTEM_PERMISSIONS))
        definitions.append(Permission("team_member", "team", ("$read_members", "$invite_members")))
        self.permissions: dict[str, Permission] = {definition.id: definition for definition in definitions}

    def now_millis(self) -> int:
        """The time, epoch milliseconds."""
        return int(self.clock() * 1000)

    # Teams: which webhooks a change sends is in contract section 6

    def add_team(self, team: Team, creator_id: str | None) -> None:
        """Let a team begin; of its creator, who is its `team_admin`, no webhook tells."""
        self.teams[team.id] = team
        if creator_id is not None:
            self.members[team.id, creator_id] = None
            self.team_grants.add((team.id, creator_id, "team_admin"))
        self.emit("team.created", team.server_shape())

    def team_changed(self, team: Team) -> None:
        """Tell of a team that was saved, changed or not."""
        self.emit("team.updated", team.server_shape())

    def add_member(self, team_id: str, user_id: str) -> None:
        """Let a user join a team with the permission that members start with."""
        self.members[team_id, user_id] = None
        self.emit("team_membership.created", {"team_id": team_id, "user_id": user_id})
        self.grant_team(team_id, user_id, "team_member")

    def remove_member(self, team_id: str, user_id: str) -> None:
        """Take a user out of a team; no webhook tells of the permissions that go with the membership."""
        if (team_id, user_id) in self.members:
            self._drop_member(team_id, user_id)
            self.emit("team_membership.deleted", {"team_id": team_id, "user_id": user_id})

    def _drop_member(self, team_id: str, user_id: str) -> None:
        """Forget a membership, with the grants and the selection that hung on it."""
        self.members.pop((team_id, user_id), None)
        self.member_profiles.get(team_id, {}).pop(user_id, None)
        self.team_grants = {grant for grant in self.team_grants if grant[:2] != (team_id, user_id)}
        if self.users[user_id].selected_team_id == team_id:
            self.users[user_id].selected_team_id = None

    def delete_team(self, team_id: str) -> None:
        """Remove a team and everything that belongs to it."""
        for member_team, user_id in list(self.members):
            if member_team == team_id:
                self._drop_member(team_id, user_id)
        self._drop_api_keys(team_id)
        self._drop_holdings("team", team_id)
        self.invitations = {key: item for key, item in self.invitations.items() if item.team_id != team_id}
        self.member_profiles.pop(team_id, None)
        del self.teams[team_id]
        self.emit("team.deleted", {"id": team_id})

    def selected_team(self, user: User) -> Team | None:
        """The team the user selected."""
        return self.teams[user.selected_team_id] if user.selected_team_id else None

    # Users and sessions

    def server_view(self, user: User) -> dict[str, Any]:
        """The user as server and admin access read it."""
        return user.server_shape(self.selected_team(user), self.accounts_of(user.id))

    def client_view(self, user: User) -> dict[str, Any]:
        """The user as client access reads itself."""
        return user.client_shape(self.selected_team(user), self.accounts_of(user.id))

    def accounts_of(self, user_id: str) -> list[OAuthAccount]:
        """The user's accounts at OAuth providers, oldest first."""
        return [account for account in self.oauth_accounts.values() if account.user_id == user_id]

    def add_user(self, user: User) -> None:
        """Let a user begin."""
        self.users[user.id] = user
        self.emit("user.created", self.server_view(user))

    def user_changed(self, user: User) -> None:
        """Tell of a user who was saved, changed or not. A channel that became primary is no other channel any more."""
        if user.primary_email is not None:
            self._drop_channels(user.id, user.primary_email)
        self.emit("user.updated", self.server_view(user))

    def delete_user(self, user_id: str) -> None:
        """Remove a user and everything that belongs to them. Their tokens live on until they expire."""
        team_ids = [team_id for team_id, member in self.members if member == user_id]
        for team_id in team_ids:
            self.remove_member(team_id, user_id)
        self.project_grants = {grant for grant in self.project_grants if grant[0] != user_id}
        self.end_sessions(user_id)
        self._drop_api_keys(user_id)
        self._drop_channels(user_id)
        self._drop_holdings("user", user_id)
        self.oauth_accounts = {key: item for key, item in self.oauth_accounts.items() if item.user_id != user_id}
        self.notifications.pop(user_id, None)
        del self.users[user_id]
        self.emit("user.deleted", {"id": user_id, "teams": [{"id": team_id} for team_id in team_ids]})

    def start_session(
        self, user_id: str, *, lifetime_millis: int = _YEAR_MILLIS, is_impersonation: bool = False
    ) -> Session:
        """Sign a user in."""
        now = self.now_millis()
        session = Session(
            id=str(uuid.uuid4()),
            user_id=user_id,
            refresh_token=random_text(45),
            created_at=now,
            expires_at=now + lifetime_millis,
            is_impersonation=is_impersonation,
            last_used_at=now,
        )
        self.sessions[session.id] = session
        return session

    def end_sessions(self, user_id: str, *, but: str | None = None) -> None:
        """Sign a user out everywhere, except where the refresh token is `but`."""
        self.sessions = {
            key: session
            for key, session in self.sessions.items()
            if session.user_id != user_id or session.refresh_token == but
        }

    def find_session(self, refresh_token: str) -> Session | None:
        """The session of a refresh token, unless it has ended or expired."""
        now = self.now_millis()
        found = (item for item in self.sessions.values() if item.refresh_token == refresh_token)
        return next((item for item in found if item.expires_at > now), None)

    def live_sessions(self, user_id: str) -> list[Session]:
        """The user's sessions that have neither ended nor expired, oldest first."""
        now = self.now_millis()
        return [item for item in self.sessions.values() if item.user_id == user_id and item.expires_at > now]

    def mint(
        self,
        user: User,
        session_id: str,
        *,
        expires_in: float = 600,
        claims: Mapping[str, Any] | None = None,
        key: UserKind | None = None,
    ) -> str:
        """An access token with the claims of contract section 2, in the order real tokens have them.

        Args:
            expires_in: seconds; negative for a token that is over.
            claims: replace or add claims; the signature stays genuine.
            key: sign with the key for that kind of user instead of the user's own.
        """
        now = int(self.clock())
        expires = int(now + expires_in)
        token = {
            "sub": user.id,
            "project_id": self.id,
            "branch_id": "main",
            "refresh_token_id": session_id,
            "role": "authenticated",
            "name": user.display_name,
            "email": user.primary_email,
            "email_verified": user.primary_email_verified,
            "selected_team_id": user.selected_team_id,
            "signed_up_at": user.signed_up_at_millis // 1000,
            "is_anonymous": user.is_anonymous,
            "is_restricted": user.restricted_reason is not None,
            "restricted_reason": user.restricted_reason,
            "requires_totp_mfa": user.requires_totp_mfa,
            "iss": issuer(self.base_url, self.id, user.kind),
            "iat": now if expires > now else expires - 600,  # a token that is over was issued before its end
            "aud": audience(self.id, user.kind),
            "exp": expires,
        }
        return self.keys.sign(token | dict(claims or {}), key or user.kind)

    # Permissions

    def grant_team(self, team_id: str, user_id: str, permission_id: str) -> None:
        """Grant a permission in a team; once more changes nothing and is told all the same."""
        self.team_grants.add((team_id, user_id, permission_id))
        self.emit("team_permission.created", {"id": permission_id, "team_id": team_id, "user_id": user_id})

    def revoke_team(self, team_id: str, user_id: str, permission_id: str) -> None:
        """Take back a permission in a team; KeyError if it was not granted."""
        self.team_grants.remove((team_id, user_id, permission_id))
        self.emit("team_permission.deleted", {"id": permission_id, "team_id": team_id, "user_id": user_id})

    def grant_project(self, user_id: str, permission_id: str) -> None:
        """Grant a permission in the project; once more changes nothing and is told all the same."""
        self.project_grants.add((user_id, permission_id))
        self.emit("project_permission.created", {"id": permission_id, "user_id": user_id})

    def revoke_project(self, user_id: str, permission_id: str) -> None:
        """Take back a permission in the project; KeyError if it was not granted."""
        self.project_grants.remove((user_id, permission_id))
        self.emit("project_permission.deleted", {"id": permission_id, "user_id": user_id})

    def with_contained(self, permission_id: str) -> set[str]:
        """A permission and everything it contains, at any depth."""
        found: set[str] = set()
        waiting = [permission_id]
        while waiting:
            current = waiting.pop()
            if current not in found and current in self.permissions:
                found.add(current)
                waiting.extend(self.permissions[current].contains)
        return found

    def team_permissions(self, *, recursive: bool) -> set[tuple[str, str, str]]:
        """Everything held in teams as (team id, user id, permission id)."""
        if not recursive:
            return {grant for grant in self.team_grants if grant[2] in self.permissions}
        return {
            (team_id, user_id, held)
            for team_id, user_id, granted in self.team_grants
            for held in self.with_contained(granted)
        }

    def project_permissions(self, *, recursive: bool) -> set[tuple[str, str]]:
        """Everything held in the project as (user id, permission id)."""
        if not recursive:
            return {grant for grant in self.project_grants if grant[1] in self.permissions}
        return {(user_id, held) for user_id, granted in self.project_grants for held in self.with_contained(granted)}

    # API keys

    def create_api_key(
        self,
        owner: KeyOwner,
        owner_id: str,
        *,
        description: str,
        expires_at_millis: int | None,
        is_public: bool,
    ) -> ApiKey:
        """An API key whose string is well-formed, checksum included (contract 4.4)."""
        key_id = uuid.uuid4()
        # Bit 0: not the cloud's key; bit 1: public.
        unsigned = "".join(
            [
                "pk_" if is_public else "sk_",
                random_text(45),
                key_id.hex,
                owner,
                "3" if is_public else "1",
                "574ck4u7h",
            ]
        )
        key = ApiKey(
            id=str(key_id),
            type=owner,
            owner_id=owner_id,
            value=f"{unsigned}{zlib.crc32(unsigned.encode()):08x}",
            description=description,
            created_at_millis=self.now_millis(),
            is_public=is_public,
            expires_at_millis=expires_at_millis,
        )
        self.api_keys[key.id] = key
        return key

    def _drop_channels(self, user_id: str, value: str | None = None) -> None:
        """Forget a user's channels besides the primary one: all of them, or the one with that address."""
        self.contact_channels = {
            key: item
            for key, item in self.contact_channels.items()
            if item.user_id != user_id or (value is not None and item.value != value)
        }

    def _drop_holdings(self, customer_type: CustomerType, customer_id: str) -> None:
        owner = customer_type, customer_id
        self.purchases = {key: item for key, item in self.purchases.items() if item.customer != owner}
        self.holdings = {key: item for key, item in self.holdings.items() if item.customer != owner}

    def _drop_api_keys(self, owner_id: str) -> None:
        self.api_keys = {key: item for key, item in self.api_keys.items() if item.owner_id != owner_id}


def _tell_nobody(type: str, data: Any) -> None:
    """No webhook endpoint is registered."""
