"""What is in a sandbox, and how a test changes it: the half of `Sandbox` that needs no network."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ..user import UserKind
from ._handles import AnyTeam, AnyUser, SandboxApiKey, SandboxSession, SandboxTeam, SandboxUser
from ._passwords import hash_password
from ._project import SYSTEM_PERMISSIONS, Project
from ._records import Permission, RestrictedReason, Scope, Team, User
from ._routing import PERMISSION
from ._signing import SigningKeys

__all__ = ["SandboxContents"]


class SandboxContents:
    """Users, teams, permissions, tokens, sessions and API keys of one project, under one lock."""

    def __init__(self, project: Project) -> None:
        self._lock = threading.RLock()
        self._project = project

    # Users

    def create_user(
        self,
        kind: UserKind = "regular",
        *,
        display_name: str | None = None,
        primary_email: str | None = None,
        primary_email_verified: bool = False,
        password: str | None = None,
        profile_image_url: str | None = None,
        client_metadata: Any = None,
        client_read_only_metadata: Any = None,
        server_metadata: Any = None,
        requires_totp_mfa: bool = False,
        country_code: str | None = None,
        restricted_reason: RestrictedReason | None = None,
    ) -> SandboxUser:
        """Sign a user up. With an e-mail address the user has a password; which one, only `password` says.

        Args:
            password: with which the user can sign in. Keeping its hash takes a while.
            restricted_reason: for kind `restricted` only, where it defaults to `email_not_verified`.

        Raises:
            ValueError: the kind is unknown, or the other arguments contradict it.
        """
        if kind not in ("regular", "restricted", "anonymous"):
            raise ValueError(f"No kind of user: {kind!r}. Use 'regular', 'restricted' or 'anonymous'.")
        if restricted_reason and kind != "restricted":
            raise ValueError("restricted_reason is for kind='restricted'.")
        reason = restricted_reason or "email_not_verified"
        if kind == "restricted" and reason == "email_not_verified" and primary_email_verified:
            raise ValueError("A user restricted by email_not_verified has no verified address.")
        with self._lock:
            now = self._project.now_millis()
            user = User(
                id=str(uuid.uuid4()),
                signed_up_at_millis=now,
                last_active_at_millis=now,
                display_name=display_name,
                primary_email=primary_email,
                primary_email_verified=primary_email_verified,
                primary_email_auth_enabled=primary_email is not None,
                has_password=primary_email is not None or password is not None,
                password_hash=None if password is None else hash_password(password),
                profile_image_url=profile_image_url,
                client_metadata=client_metadata,
                client_read_only_metadata=client_read_only_metadata,
                server_metadata=server_metadata,
                requires_totp_mfa=requires_totp_mfa,
                country_code=country_code,
                is_anonymous=kind == "anonymous",
            )
            if kind == "restricted":
                _restrict(user, reason)
            self._project.add_user(user)
            return SandboxUser(user.id)

    def delete_user(self, user: AnyUser) -> None:
        """Delete a user. Their access tokens stay genuine until they expire, but belong to nobody."""
        with self._lock:
            self._project.delete_user(self._user(user).id)

    def restrict(self, user: AnyUser, reason: RestrictedReason = "restricted_by_administrator") -> None:
        """Restrict a user in the database. Tokens minted before keep saying otherwise, as real ones do."""
        with self._lock:
            record = self._user(user)
            _restrict(record, reason)
            self._project.user_changed(record)

    def unrestrict(self, user: AnyUser) -> None:
        """Lift every restriction but being anonymous; a missing e-mail verification counts as done."""
        with self._lock:
            record = self._user(user)
            if record.must_verify_email:
                record.must_verify_email = False
                record.primary_email_verified = record.primary_email is not None
            record.restricted_by_admin = False
            self._project.user_changed(record)

    # Teams and permissions

    def create_team(
        self,
        display_name: str = "Team",
        creator: AnyUser | None = None,
        *,
        profile_image_url: str | None = None,
        client_metadata: Any = None,
        client_read_only_metadata: Any = None,
        server_metadata: Any = None,
    ) -> SandboxTeam:
        """Make a team; its creator joins it as `team_admin`."""
        with self._lock:
            creator_id = None if creator is None else self._user(creator).id
            team = Team(
                id=str(uuid.uuid4()),
                display_name=display_name,
                created_at_millis=self._project.now_millis(),
                profile_image_url=profile_image_url,
                client_metadata=client_metadata,
                client_read_only_metadata=client_read_only_metadata,
                server_metadata=server_metadata,
            )
            self._project.add_team(team, creator_id)
            return SandboxTeam(team.id)

    def delete_team(self, team: AnyTeam) -> None:
        """Delete a team with its memberships, grants and API keys."""
        with self._lock:
            self._project.delete_team(self._team(team).id)

    def add_member(self, team: AnyTeam, user: AnyUser) -> None:
        """Let a user join a team as `team_member`; a member stays as they are."""
        with self._lock:
            membership = self._team(team).id, self._user(user).id
            if membership not in self._project.members:
                self._project.add_member(*membership)

    def remove_member(self, team: AnyTeam, user: AnyUser) -> None:
        """Take a user out of a team, with everything granted there."""
        with self._lock:
            self._project.remove_member(self._team(team).id, self._user(user).id)

    def select_team(self, user: AnyUser, team: AnyTeam | None) -> None:
        """Set the user's selected team; tokens minted from now on name it.

        Raises:
            ValueError: the user is no member.
        """
        with self._lock:
            record = self._user(user)
            team_id = None if team is None else self._team(team).id
            if team_id and (team_id, record.id) not in self._project.members:
                raise ValueError("A user can select only a team that they are a member of.")
            record.selected_team_id = team_id
            self._project.user_changed(record)

    def define_permission(self, permission: str, contains: Iterable[str] = (), *, scope: Scope = "team") -> None:
        """Define a permission, or define it anew; holding it is holding what it contains, at any depth.

        Raises:
            ValueError: the id is no custom permission's (contract 4.3).
        """
        _check_permission_id(permission)
        if permission in SYSTEM_PERMISSIONS:
            raise ValueError(f"{permission} is a permission of the system.")
        with self._lock:
            self._project.permissions[permission] = Permission(permission, scope, tuple(contains))

    def grant(self, user: AnyUser, permission: str, team: AnyTeam | None = None) -> None:
        """Grant a permission in a team, or in the project without one.

        What is missing is made first: the permission's definition, and the user's membership of the team.

        Raises:
            ValueError: the permission is of the other scope, or its id is malformed.
        """
        _check_permission_id(permission)
        with self._lock:
            user_id = self._user(user).id
            scope: Scope = "project" if team is None else "team"
            known = self._project.permissions.setdefault(permission, Permission(permission, scope))
            if known.scope != scope:
                raise ValueError(f"{permission} is a {known.scope} permission.")
            if team is None:
                self._project.grant_project(user_id, permission)
            else:
                self.add_member(team, user)
                self._project.grant_team(self._team(team).id, user_id, permission)

    def revoke(self, user: AnyUser, permission: str, team: AnyTeam | None = None) -> None:
        """Take back a permission that was granted directly; a contained one goes with its parent.

        Raises:
            LookupError: it was not granted directly.
        """
        with self._lock:
            user_id = self._user(user).id
            try:
                if team is None:
                    self._project.revoke_project(user_id, permission)
                else:
                    self._project.revoke_team(self._team(team).id, user_id, permission)
            except KeyError:
                raise LookupError(f"{permission} was not granted to this user directly.") from None

    # Tokens and sessions

    def token(
        self,
        user: AnyUser,
        expires_in: float = 600,
        *,
        session: SandboxSession | None = None,
        claims: Mapping[str, Any] | None = None,
        key: UserKind | None = None,
    ) -> str:
        """Mint an access token from the database as it is now. The first one signs the user in.

        Args:
            expires_in: seconds; negative for a token that is over.
            session: of the token, instead of the user's first.
            claims: replace or add claims; the signature is genuine whatever they say.
            key: sign with the key for that kind of user instead of the user's own.
        """
        with self._lock:
            record = self._user(user)
            if session is not None:
                session_id = session.id
            else:
                live = self._project.live_sessions(record.id)
                session_id = (live[0] if live else self._project.start_session(record.id)).id
            return self._project.mint(record, session_id, expires_in=expires_in, claims=claims, key=key)

    def headers(self, user: AnyUser) -> dict[str, str]:
        """The header in which a frontend sends a fresh token of the user (contract 1.1)."""
        return {"x-stack-access-token": self.token(user)}

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        key: UserKind = "regular",
        headers: Mapping[str, Any] | None = None,
    ) -> str:
        """Sign any claims with the current key for that kind of user: what `token` cannot bend enough.

        Args:
            headers: replace or add fields of the token's header.
        """
        with self._lock:
            return self._project.keys.sign(claims, key, headers)

    def new_session(self, user: AnyUser) -> SandboxSession:
        """Sign a user in on another device."""
        with self._lock:
            session = self._project.start_session(self._user(user).id)
            return SandboxSession(session.id, session.refresh_token)

    def sign_out(self, user: AnyUser) -> None:
        """End all of a user's sessions. Access tokens minted before stay genuine until they expire."""
        with self._lock:
            self._project.end_sessions(self._user(user).id)

    def rotate_keys(self) -> None:
        """Replace all signing keys. The old ones are published no more, and their tokens are void."""
        with self._lock:
            self._project.keys = SigningKeys()

    # API keys

    def create_api_key(
        self,
        user: AnyUser | None = None,
        team: AnyTeam | None = None,
        *,
        description: str = "Made by a test",
        expires_in: float | None = None,
        is_public: bool = False,
    ) -> SandboxApiKey:
        """Make an API key for a user or for a team.

        Args:
            expires_in: seconds; None for never, negative for a key that is over.

        Raises:
            TypeError: both owners were given, or none.
        """
        if (user is None) == (team is None):
            raise TypeError("Give either a user or a team.")
        with self._lock:
            expires_at = None if expires_in is None else self._project.now_millis() + int(expires_in * 1000)
            key = self._project.create_api_key(
                "team" if user is None else "user",
                self._user(user).id if user is not None else self._team(team).id,
                description=description,
                expires_at_millis=expires_at,
                is_public=is_public,
            )
            return SandboxApiKey(key.id, key.value)

    def revoke_api_key(self, key: SandboxApiKey) -> None:
        """Revoke an API key."""
        with self._lock:
            self._project.api_keys[key.id].revoked_at_millis = self._project.now_millis()

    def _user(self, user: AnyUser) -> User:
        found = self._project.users.get(user if isinstance(user, str) else user.id)
        if found is None:
            raise LookupError("This sandbox has no such user.")
        return found

    def _team(self, team: AnyTeam | None) -> Team:
        found = self._project.teams.get(team.id if isinstance(team, SandboxTeam) else team or "")
        if found is None:
            raise LookupError("This sandbox has no such team.")
        return found


def _check_permission_id(permission: str) -> None:
    problem = PERMISSION(permission)
    if problem:
        raise ValueError(f"A permission id {problem}.")


def _restrict(user: User, reason: RestrictedReason) -> None:
    if reason == "email_not_verified":
        user.must_verify_email = True
        user.primary_email_verified = False
    else:
        user.restricted_by_admin = True
