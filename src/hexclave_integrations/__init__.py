"""Hexclave (formerly Stack Auth) for Python web backends.

This package is the framework-neutral part: configuration, clients, users, errors. Adapters are imported by
their own path, `hexclave_integrations.fastapi` and so on. Names are loaded when first used, so that importing
the package, as pytest does to find the plugin, costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .api_key import HexclaveApiKey
    from .client import AsyncHexclaveClient, HexclaveClient
    from .config import HexclaveConfig
    from .errors import (
        AlreadyExists,
        AnonymousNotAllowed,
        ApiKeyExpired,
        ApiKeyNotFound,
        ApiKeyRevoked,
        AuthenticationError,
        CliLoginExpired,
        CliLoginFailed,
        CliLoginUsed,
        ConfigurationError,
        CrossOriginRefused,
        HexclaveApiError,
        HexclaveError,
        InsufficientBalance,
        InvalidArgument,
        InvalidToken,
        ItemQuantityInsufficient,
        NotAuthenticated,
        NotFound,
        PaymentRequired,
        PermissionDenied,
        ProductRequired,
        ProjectPermissionRequired,
        ReconnectRequired,
        RequestRefused,
        RestrictedNotAllowed,
        ServerKeyRefused,
        SessionEnded,
        TeamMembershipRequired,
        TeamPermissionRequired,
        TokenExpired,
        Unavailable,
        VaultValueDamaged,
        WebhookHandlerFailed,
        WebhookInProgress,
        WebhookStoreUnavailable,
        WebhookVerificationFailed,
        WrongApiKeyType,
        WrongProject,
    )
    from .requirements import SELECTED_TEAM
    from .user import AccessToken, HexclaveUser

__all__ = [
    "SELECTED_TEAM",
    "AccessToken",
    "AlreadyExists",
    "AnonymousNotAllowed",
    "ApiKeyExpired",
    "ApiKeyNotFound",
    "ApiKeyRevoked",
    "AsyncHexclaveClient",
    "AuthenticationError",
    "CliLoginExpired",
    "CliLoginFailed",
    "CliLoginUsed",
    "ConfigurationError",
    "CrossOriginRefused",
    "HexclaveApiError",
    "HexclaveApiKey",
    "HexclaveClient",
    "HexclaveConfig",
    "HexclaveError",
    "HexclaveUser",
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
    "__version__",
]

_HOMES = {
    "SELECTED_TEAM": "requirements",
    "AccessToken": "user",
    "AsyncHexclaveClient": "client",
    "HexclaveApiKey": "api_key",
    "HexclaveClient": "client",
    "HexclaveConfig": "config",
    "HexclaveUser": "user",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value
