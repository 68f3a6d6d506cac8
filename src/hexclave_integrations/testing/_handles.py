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
    "SandboxRequest",
    "SandboxSession",
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
        status: of the answer, also where the client asked to see every refusal as a 200; None when an outage gave none.
    """

    method: str
    path: str
    query: Mapping[str, str]
    access_type: str | None
    status: int | None


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
