"""How people sign up and in: the methods of `Sandbox` that do what a frontend does, through the same functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import _sign_in
from ._contents import SandboxContents
from ._handles import AnyUser, SandboxRefused, SandboxSignIn, SandboxUser
from ._mailbox import SandboxEmail
from ._wire import Refusal

__all__ = ["SandboxPeople"]

_PAGES = "http://localhost:3000/handler"


class SandboxPeople(SandboxContents):
    """Sign-up, sign-in and e-mails of one project."""

    @property
    def emails(self) -> list[SandboxEmail]:
        """The e-mails that would have been sent, newest last: nothing leaves the process."""
        with self._lock:
            return list(self._project.emails)

    def sign_up(
        self,
        email: str,
        password: str,
        *,
        verification_callback_url: str | None = f"{_PAGES}/email-verification",
        anonymous: AnyUser | SandboxSignIn | None = None,
    ) -> SandboxSignIn:
        """Make an account with a password, as a sign-up form does, and sign in.

        Args:
            email: an address that nobody signs in with yet.
            password: of 8 to 70 characters; a salted hash of it is kept.
            verification_callback_url: the page that the e-mail for verification leads to; None sends no e-mail.
            anonymous: the anonymous user whose account this becomes: they keep their id, and their sessions end.

        Raises:
            SandboxRefused: as the API does; `USER_EMAIL_ALREADY_EXISTS` or `PASSWORD_TOO_SHORT`, for instance.
        """
        with self._refusing():
            user = anonymous.user if isinstance(anonymous, SandboxSignIn) else anonymous
            caller = None if user is None else self._user(user)
            return self._signed_in(
                _sign_in.sign_up(self._project, email, password, callback_url=verification_callback_url, caller=caller)
            )

    def sign_in(self, email: str, password: str) -> SandboxSignIn:
        """Sign in with a password.

        Raises:
            SandboxRefused: `EMAIL_PASSWORD_MISMATCH` for a wrong password and for an unknown address alike.
        """
        with self._refusing():
            return self._signed_in(_sign_in.sign_in(self._project, email, password))

    def send_sign_in_code(self, email: str, *, callback_url: str = f"{_PAGES}/magic-link-callback") -> str:
        """Send an e-mail with a one-time code; `emails[-1]` has its code and link.

        Args:
            callback_url: the page that the link leads to.

        Returns:
            The nonce, which the page keeps and sends along with the code.

        Raises:
            SandboxRefused: `USER_EMAIL_ALREADY_EXISTS` where an account has the address and never verified it.
        """
        with self._refusing():
            return _sign_in.send_sign_in_code(self._project, email, callback_url)

    def sign_in_with_code(self, code: str, nonce: str = "") -> SandboxSignIn:
        """Sign in with a one-time code; whoever has no account with the address gets one.

        Args:
            code: the six characters of the e-mail, in any case; or code and nonce as one text, as in the link.
            nonce: what `send_sign_in_code` returned, with the six characters.

        Raises:
            SandboxRefused: `VERIFICATION_CODE_NOT_FOUND`, `VERIFICATION_CODE_EXPIRED` after 15 minutes, or
                `VERIFICATION_CODE_ALREADY_USED`.
        """
        with self._refusing():
            return self._signed_in(_sign_in.sign_in_with_code(self._project, code + nonce))

    def sign_up_anonymously(self) -> SandboxSignIn:
        """Make an account of a visitor, as the SDK does for `or: "anonymous"`."""
        with self._refusing():
            return self._signed_in(_sign_in.sign_up_anonymously(self._project))

    def verify_email(self, code: str) -> None:
        """Verify the address that an e-mail of kind `email_verification` was sent to, with the code in it.

        Raises:
            SandboxRefused: of `VERIFICATION_CODE_NOT_FOUND` and its like.
        """
        with self._refusing():
            _sign_in.verify_address(self._project, code)

    def _signed_in(self, signed_in: _sign_in.SignedIn) -> SandboxSignIn:
        user, session, is_new_user = signed_in
        token = self._project.mint(user, session.id)
        return SandboxSignIn(SandboxUser(user.id), token, session.refresh_token, is_new_user)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Hold the lock; a refusal becomes the exception that users of the sandbox may catch."""
        with self._lock:
            try:
                yield
            except Refusal as refusal:
                raise SandboxRefused(refusal.reply.status, refusal.code) from None
