"""The exception tree. An error that refuses a request carries its own HTTP face.

::

    HexclaveError
    ├── ConfigurationError            a setting, key or secret of yours is wrong: fix it, nothing to retry
    │   └── ServerKeyRefused          ... and Hexclave said so while a request waited (also an Unavailable)
    ├── InvalidArgument               an argument of a server's own call cannot be right: nothing was sent
    ├── HexclaveApiError              Hexclave refused a server's own call: `.code`, `.status`, `.details`
    │   ├── NotFound                  the user, team, item or whatever it is about is not there
    │   ├── AlreadyExists             ... or is there already
    │   ├── InsufficientBalance       a customer has less of an item than was to be taken
    │   └── ReconnectRequired         the user has to connect their account at a provider anew
    ├── CliLoginFailed                nobody signed in at a terminal
    │   ├── CliLoginExpired           they took longer than there was time
    │   └── CliLoginUsed              the answer was told already, or lost on its way
    ├── VaultValueDamaged             what the data vault holds under a key is not what was put there
    └── RequestRefused                answer the caller with `.status`, `.headers()`, `.body()`
        ├── AuthenticationError       401: who is this?
        │   ├── NotAuthenticated      no credentials came
        │   ├── InvalidToken          malformed, forged, unknown key, wrong issuer, inconsistent claims
        │   ├── TokenExpired
        │   ├── WrongProject          a token of another project
        │   ├── SessionEnded          signed out or deleted since the token was issued (live checks only)
        │   ├── AnonymousNotAllowed   a genuine anonymous user where none may enter
        │   ├── ApiKeyNotFound        an API key that does not exist, or is none
        │   ├── ApiKeyRevoked
        │   ├── ApiKeyExpired
        │   └── WrongApiKeyType       a team's key where a user is asked for
        ├── PaymentRequired           402: known, and not paid for
        │   ├── ItemQuantityInsufficient
        │   └── ProductRequired
        ├── PermissionDenied          403: known, and refused
        │   ├── CrossOriginRefused    the token came in a cookie, and a page of another origin may have sent it along
        │   ├── RestrictedNotAllowed
        │   ├── TeamPermissionRequired
        │   ├── ProjectPermissionRequired
        │   └── TeamMembershipRequired
        ├── Unavailable               503: cannot tell now; never a sign-out, never an "allow"
        │   └── WebhookStoreUnavailable   the store of deliveries cannot be asked; the sender comes back
        ├── WebhookVerificationFailed 400: signature, time or body of a delivery are bad
        ├── WebhookInProgress         409: the delivery is being handled already; the sender comes back
        └── WebhookHandlerFailed      500: a handler failed; the sender comes back

Messages are fixed texts: no message, detail or header holds a token, key, claim or user id. Each refusal also has a
`.reason`, a fixed sentence that tells the developer which check failed; no answer holds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from . import _reasons as reasons

__all__ = [
    "AlreadyExists",
    "AnonymousNotAllowed",
    "ApiKeyExpired",
    "ApiKeyNotFound",
    "ApiKeyRevoked",
    "AuthenticationError",
    "CliLoginExpired",
    "CliLoginFailed",
    "CliLoginUsed",
    "ConfigurationError",
    "CrossOriginRefused",
    "HexclaveApiError",
    "HexclaveError",
    "InsufficientBalance",
    "InvalidArgument",
    "InvalidToken",
    "ItemQuantityInsufficient",
    "NotAuthenticated",
    "NotFound",
    "PaymentRequired",
    "PermissionDenied",
    "ProductRequired",
    "ProjectPermissionRequired",
    "ReconnectRequired",
    "RequestRefused",
    "RestrictedNotAllowed",
    "ServerKeyRefused",
    "SessionEnded",
    "TeamMembershipRequired",
    "TeamPermissionRequired",
    "TokenExpired",
    "Unavailable",
    "VaultValueDamaged",
    "WebhookHandlerFailed",
    "WebhookInProgress",
    "WebhookStoreUnavailable",
    "WebhookVerificationFailed",
    "WrongApiKeyType",
    "WrongProject",
]


PRIVATE: Final = "private, no-store"
"""The `Cache-Control` of an answer that is meant for one caller."""


class HexclaveError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigurationError(HexclaveError):
    """A setting is missing or wrong; the message names the setting and the fix, never a secret's value."""


class InvalidArgument(HexclaveError, ValueError):
    """An argument cannot be right, so nothing was sent; the message names the argument, never its value."""


class HexclaveApiError(HexclaveError):
    """Hexclave understood a server's own call and refused it; the message holds no value of the call.

    Attributes:
        code: the known error (contract section 5), or None where Hexclave said it in words alone (contract 3.3).
        status: the HTTP status of Hexclave's answer.
        details: what Hexclave adds, which may name users, addresses and the like; the words, as `text`, without a code.
    """

    def __init__(self, code: str | None, status: int, details: Mapping[str, object] | None = None) -> None:
        super().__init__(f"Hexclave refused the call: {code or 'no code'} (status {status}).")
        self.code = code
        self.status = status
        self.details: dict[str, object] | None = dict(details) if details else None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle with the arguments of `__init__`, which are not `args`."""
        return self.__class__, (self.code, self.status, self.details)


class NotFound(HexclaveApiError):
    """The user, team, membership, permission, key, item, product, store or session is not there."""


class AlreadyExists(HexclaveApiError):
    """What was to be made is there already."""


class InsufficientBalance(HexclaveApiError):
    """The customer has less of the item than was to be taken; nothing was taken."""


class ReconnectRequired(HexclaveApiError):
    """The provider gives no such access token any more: the user has to connect their account anew."""


class CliLoginFailed(HexclaveError):
    """Nobody signed in at a terminal; the message says why, and holds no code."""


class CliLoginExpired(CliLoginFailed):
    """Nobody confirmed the sign-in in time."""

    def __init__(self) -> None:
        super().__init__("Nobody confirmed the sign-in in time. Begin anew.")


class CliLoginUsed(CliLoginFailed):
    """Hexclave has told the refresh token already, which it does once (contract 4.8)."""

    def __init__(self) -> None:
        super().__init__("The sign-in was confirmed, but its answer was lost or told elsewhere. Begin anew.")


class VaultValueDamaged(HexclaveError):
    """The data vault holds something under the key that was not encrypted by the vault for it."""


class RequestRefused(HexclaveError):
    """A request is refused; the error knows its status, code, details and headers.

    Attributes:
        status: the HTTP status.
        code: the machine-readable code, as Hexclave's own API spells it (contract section 5).
        details: extra facts for the caller, or None.
        challenge: the value of `WWW-Authenticate` after the realm, or None where no challenge is due.
        reason: for the developer: which check failed, and which setting may be wrong. One of a closed set of fixed
            sentences, and in no answer.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    text: ClassVar[str]
    challenge: ClassVar[str | None] = None
    # Of the class by itself; where it can be several things, whoever raises it says which.
    reason: str = reasons.REFUSED

    def __init__(self, *, details: Mapping[str, object] | None = None, reason: str | None = None) -> None:
        super().__init__(self.text)
        self.details: dict[str, object] | None = dict(details) if details else None
        if reason is not None:
            self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle without `__init__`, whose arguments are keywords: worker pools send errors home."""
        return self.__class__.__new__, (self.__class__, *self.args), self.__dict__

    def headers(self) -> list[tuple[str, str]]:
        """The answer's headers, without `Vary`, whose value depends on the configuration."""
        fields = [("Content-Type", "application/json"), ("Cache-Control", PRIVATE)]
        if self.challenge is not None:
            fields.append(("WWW-Authenticate", 'Bearer realm="hexclave"' + self.challenge))
        return fields

    def body(self) -> bytes:
        """The answer's body: `{"code", "error", "details"?}`, the shape of Hexclave's API (contract 3.3)."""
        content: dict[str, object] = {"code": self.code, "error": self.text}
        if self.details is not None:
            content["details"] = self.details
        return json.dumps(content, separators=(",", ":")).encode()


class AuthenticationError(RequestRefused):
    """401: the caller is not, or not acceptably, authenticated (RFC 9110 section 15.5.2)."""

    status = 401
    challenge: ClassVar[str | None] = ', error="invalid_token"'


class NotAuthenticated(AuthenticationError):
    """No credentials came; the challenge has no error code (RFC 6750 section 3.1)."""

    code = "USER_AUTHENTICATION_REQUIRED"
    text = "User authentication is required for this endpoint."
    challenge: ClassVar[str | None] = ""
    reason = reasons.NO_CREDENTIALS


class InvalidToken(AuthenticationError):
    """The access token is malformed, forged, of an unknown key or issuer, or contradicts itself."""

    code = "UNPARSABLE_ACCESS_TOKEN"
    text = "The access token is not valid."
    reason = reasons.UNACCEPTABLE


class TokenExpired(AuthenticationError):
    """The access token was genuine and has expired: the client refreshes it and tries again."""

    code = "ACCESS_TOKEN_EXPIRED"
    text = "The access token has expired. Refresh it and try again."
    reason = reasons.EXPIRED


class WrongProject(AuthenticationError):
    """The access token names another project."""

    code = "INVALID_PROJECT_FOR_ACCESS_TOKEN"
    text = "The access token was issued for another project."
    reason = reasons.OTHER_PROJECT


class SessionEnded(AuthenticationError):
    """Hexclave confirmed that the user or the session behind a genuine token is gone (contract 9.20)."""

    code = "USER_AUTHENTICATION_REQUIRED"
    text = "The session has ended. Sign in again."
    reason = reasons.SESSION_ENDED


class AnonymousNotAllowed(AuthenticationError):
    """A genuine anonymous user; the caller has to sign up (RFC 9470 names the error code)."""

    code = "ANONYMOUS_AUTHENTICATION_NOT_ALLOWED"
    text = "Anonymous users are not allowed here. Sign in with an account."
    challenge: ClassVar[str | None] = ', error="insufficient_user_authentication"'
    reason = reasons.ANONYMOUS


class ApiKeyNotFound(AuthenticationError):
    """The API key does not exist or is malformed; somebody who tries keys cannot tell the two apart."""

    code = "API_KEY_NOT_FOUND"
    text = "The API key is not valid."
    challenge: ClassVar[str | None] = ""
    reason = reasons.API_KEY_UNKNOWN


class ApiKeyRevoked(AuthenticationError):
    """The API key was revoked."""

    code = "API_KEY_REVOKED"
    text = "The API key has been revoked."
    challenge: ClassVar[str | None] = ""
    reason = reasons.API_KEY_REVOKED


class ApiKeyExpired(AuthenticationError):
    """The API key has expired."""

    code = "API_KEY_EXPIRED"
    text = "The API key has expired."
    challenge: ClassVar[str | None] = ""
    reason = reasons.API_KEY_EXPIRED


class WrongApiKeyType(AuthenticationError):
    """The API key is a team's where a user's is needed."""

    code = "WRONG_API_KEY_TYPE"
    text = "An API key of this type is not accepted here."
    challenge: ClassVar[str | None] = ""
    reason = reasons.API_KEY_TYPE


class PaymentRequired(RequestRefused):
    """402: the caller may, and has not paid for it, or has used it up (RFC 9110 section 15.5.3)."""

    status = 402


class ItemQuantityInsufficient(PaymentRequired):
    """The customer's balance of the item named in `details["item_id"]` is too low."""

    code = "ITEM_QUANTITY_INSUFFICIENT_AMOUNT"
    text = "The balance of an item is lower than what is required."
    reason = reasons.ITEM_INSUFFICIENT


class ProductRequired(PaymentRequired):
    """The customer does not have the product named in `details["product_id"]`."""

    code = "PRODUCT_REQUIRED"
    text = "A product is required that the customer does not have."
    reason = reasons.PRODUCT_MISSING


class PermissionDenied(RequestRefused):
    """403: Hexclave's answer is known, and it is no."""

    status = 403


class CrossOriginRefused(PermissionDenied):
    """The token came in a cookie, which a browser sends unasked, and another site's page may have made the request."""

    code = "CSRF_CHECK_FAILED"
    text = "The CSRF check failed: the request may come from another site. Send the token in a header."
    reason = reasons.REQUEST_OF_ANOTHER_PAGE


class RestrictedNotAllowed(PermissionDenied):
    """A genuine restricted user; `details["restricted_reason"]` says why, as Hexclave's API does."""

    code = "RESTRICTED_USER_NOT_ALLOWED"
    text = "Restricted users are not allowed here."
    reason = reasons.RESTRICTED


class TeamPermissionRequired(PermissionDenied):
    """The user does not hold the team permission named in `details["permission_id"]`."""

    code = "TEAM_PERMISSION_REQUIRED"
    text = "A team permission is required that the user does not have."
    reason = reasons.TEAM_PERMISSION


class ProjectPermissionRequired(PermissionDenied):
    """The user does not hold the project permission named in `details["permission_id"]`."""

    code = "PROJECT_PERMISSION_REQUIRED"
    text = "A project permission is required that the user does not have."
    reason = reasons.PROJECT_PERMISSION


class TeamMembershipRequired(PermissionDenied):
    """The user is not a member of the team."""

    code = "TEAM_MEMBERSHIP_REQUIRED"
    text = "Membership of the team is required."
    reason = reasons.TEAM_MEMBERSHIP


class Unavailable(RequestRefused):
    """503: keys or permissions cannot be checked now.

    Args:
        retry_after: seconds the caller should wait, sent as `Retry-After` (RFC 9110 section 10.2.3).
    """

    status = 503
    code = "HEXCLAVE_UNAVAILABLE"
    text = "Authentication cannot be checked right now. Try again shortly."
    reason = reasons.UNAVAILABLE

    def __init__(self, *, retry_after: float = 1.0, reason: str | None = None) -> None:
        super().__init__(reason=reason)
        self.retry_after: int = max(1, round(retry_after))

    def repeated(self) -> Unavailable:
        """The same answer for another request."""
        return Unavailable(retry_after=self.retry_after, reason=self.reason)

    def headers(self) -> list[tuple[str, str]]:
        return [*super().headers(), ("Retry-After", str(self.retry_after))]


class ServerKeyRefused(ConfigurationError, Unavailable):
    """Hexclave refused `secret_server_key`: a configuration error to its owner, a 503 to the caller who waits."""

    reason = reasons.SERVER_KEY_REFUSED

    def __init__(self) -> None:
        Unavailable.__init__(self, retry_after=30)
        self.args: tuple[Any, ...] = (
            "Hexclave refused secret_server_key. Copy the project's current secret server key from the dashboard "
            "and set HEXCLAVE_SECRET_SERVER_KEY (or STACK_SECRET_SERVER_KEY).",
        )

    def repeated(self) -> ServerKeyRefused:
        return ServerKeyRefused()


class WebhookStoreUnavailable(Unavailable):
    """The store that remembers deliveries cannot be asked, so that nobody can tell whether this one is done."""

    code = "WEBHOOK_STORE_UNAVAILABLE"
    text = "The webhook was received, and the store of deliveries cannot be asked right now. Try again shortly."
    reason = reasons.WEBHOOK_STORE

    def __init__(self) -> None:
        super().__init__(retry_after=5)

    def repeated(self) -> WebhookStoreUnavailable:
        return WebhookStoreUnavailable()


class WebhookVerificationFailed(RequestRefused):
    """A delivery's signature, time or body are bad; which of them, the sender is not told."""

    status = 400
    code = "WEBHOOK_VERIFICATION_FAILED"
    text = "The webhook could not be verified."
    reason = reasons.WEBHOOK_UNVERIFIED


class WebhookInProgress(RequestRefused):
    """The same delivery is being handled at this moment: whether it succeeds is not known yet."""

    status = 409
    code = "WEBHOOK_IN_PROGRESS"
    text = "This delivery is being handled already. Try again shortly."
    reason = reasons.WEBHOOK_IN_PROGRESS

    def headers(self) -> list[tuple[str, str]]:
        return [*super().headers(), ("Retry-After", "5")]


class WebhookHandlerFailed(RequestRefused):
    """A handler raised; the delivery is not done, and its repetition runs the handlers again."""

    status = 500
    code = "WEBHOOK_HANDLER_FAILED"
    text = "The webhook was received and could not be handled. Try again shortly."
    reason = reasons.WEBHOOK_HANDLER_FAILED
