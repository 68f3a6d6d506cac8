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

from ._bases import (
    ConfigurationError,
    HexclaveError,
    InvalidArgument,
    RequestRefused,
    Unavailable,
)
from ._calls import (
    AlreadyExists,
    CliLoginExpired,
    CliLoginFailed,
    CliLoginUsed,
    HexclaveApiError,
    InsufficientBalance,
    NotFound,
    ReconnectRequired,
    VaultValueDamaged,
)
from ._deliveries import (
    WebhookHandlerFailed,
    WebhookInProgress,
    WebhookStoreUnavailable,
    WebhookVerificationFailed,
)
from ._refusals import (
    AnonymousNotAllowed,
    ApiKeyExpired,
    ApiKeyNotFound,
    ApiKeyRevoked,
    AuthenticationError,
    CrossOriginRefused,
    InvalidToken,
    ItemQuantityInsufficient,
    NotAuthenticated,
    PaymentRequired,
    PermissionDenied,
    ProductRequired,
    ProjectPermissionRequired,
    RestrictedNotAllowed,
    ServerKeyRefused,
    SessionEnded,
    TeamMembershipRequired,
    TeamPermissionRequired,
    TokenExpired,
    WrongApiKeyType,
    WrongProject,
)

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

# Tracebacks, logs and pickles name the path that users import an error by.
for _name in __all__:
    globals()[_name].__module__ = __name__
