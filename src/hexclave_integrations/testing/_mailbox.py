"""The e-mails that a sandbox would have sent: nothing leaves the process, they lie here to be read."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["SandboxEmail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxEmail:
    """One e-mail.

    Attributes:
        to: the address.
        kind: what it is for, such as `sign_in_code`, `email_verification`, `password_reset`, `team_invitation`,
            or `message` for what a server sends.
        code: the one-time code in it, or None. Of a `sign_in_code` these are the six characters that a user types.
        link: the address that its button leads to, or None.
        html: what a server wrote into a `message`, or None.
    """

    to: str
    kind: str
    subject: str
    code: str | None = field(default=None, repr=False)
    link: str | None = field(default=None, repr=False)
    html: str | None = field(default=None, repr=False)
