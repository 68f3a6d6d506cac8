"""What the sandbox hands out: values for rows of its database and for what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = [
    "AnyTeam",
    "AnyUser",
    "SandboxApiKey",
    "SandboxDelivery",
    "SandboxRefused",
    "SandboxRequest",
    "SandboxSession",
    "SandboxSignIn",
    "SandboxTeam",
    "SandboxUser",
]


@dataclass(frozen=True, slots=True)
class SandboxUser:
    """A user of a sandbox."""

    id: str


@dataclass(frozen=True, slots=True)
class SandboxTeam:
    """A team of a sandbox."""

    id: str


@dataclass(frozen=True, slots=True)
class SandboxSession:
    """A signed-in device of a user: `id` is the `refresh_token_id` claim of its access tokens."""

    id: str
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SandboxSignIn:
    """What signing up or in gave: who it was, and the tokens a frontend keeps.

    Attributes:
        is_new_user: whether the account was made by it.
    """

    user: SandboxUser
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    is_new_user: bool

    def headers(self) -> dict[str, str]:
        """The header in which a frontend sends the access token (contract 1.1)."""
        return {"x-stack-access-token": self.access_token}


class SandboxRefused(Exception):
    """The sandbox refused what a method asked, as its API does.

    Attributes:
        status: of the API's answer.
        code: the known error, `EMAIL_PASSWORD_MISMATCH` for instance; None for an answer in plain text.
    """

    def __init__(self, status: int, code: str | None) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code

    def __str__(self) -> str:
        return f"{self.code or 'Refused'} ({self.status})"


@dataclass(frozen=True, slots=True)
class SandboxApiKey:
    """An API key of a user or team; `value` is the string a caller sends."""

    id: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """A request that reached the sandbox.

    Attributes:
        path: without the query, as sent.
        access_type: `client`, `server`, `admin`, or None.
        status: of the answer, also where an SDK asked for 200 instead; None when an outage gave none.
        code: of the known error in the answer, if it is one.
        reason: why it was refused or not answered, in words for the developer; None if it was answered.
        at: when, epoch seconds.
        number: how many requests came before it.
    """

    method: str
    path: str
    query: Mapping[str, str]
    access_type: str | None
    status: int | None
    code: str | None = None
    reason: str | None = None
    at: float = 0
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxDelivery:
    """An attempt to deliver a webhook.

    Attributes:
        id: of the message; the same in all attempts and at all endpoints.
        endpoint: the URL it went to, or the name of the function.
        attempt: 1 for the first.
        status: of the answer; None when there was none.
    """

    id: str
    type: str
    data: Any = field(repr=False)
    endpoint: str
    attempt: int
    status: int | None

    @property
    def accepted(self) -> bool:
        """Whether the endpoint answered 2xx: then no other attempt follows."""
        return self.status is not None and 200 <= self.status < 300


AnyUser: TypeAlias = SandboxUser | str
AnyTeam: TypeAlias = SandboxTeam | str
