"""Why a request is refused: who the caller is (401), what they have not paid for (402), what they may not do (403)."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import _reasons as reasons
from ._bases import ConfigurationError, RequestRefused, Unavailable

__all__ = [
    "AnonymousNotAllowed",
    "ApiKeyExpired",
    "ApiKeyNotFound",
    "ApiKeyRevoked",
    "AuthenticationError",
    "CrossOriginRefused",
    "InvalidToken",
    "ItemQuantityInsufficient",
    "NotAuthenticated",
    "PaymentRequired",
    "PermissionDenied",
    "ProductRequired",
    "ProjectPermissionRequired",
    "RestrictedNotAllowed",
    "ServerKeyRefused",
    "SessionEnded",
    "TeamMembershipRequired",
    "TeamPermissionRequired",
    "TokenExpired",
    "WrongApiKeyType",
    "WrongProject",
]


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
