"""Convex: which tokens a deployment accepts, passing a caller's own token on, and reading who Convex says they are."""

from ._calls import (
    ConvexAuth,
    ConvexUser,
    InvalidIdentity,
    convex_headers,
    convex_identity,
    set_convex_auth,
)
from ._config import providers_config, render_auth_config

__all__ = [
    "ConvexAuth",
    "ConvexUser",
    "InvalidIdentity",
    "convex_headers",
    "convex_identity",
    "providers_config",
    "render_auth_config",
    "set_convex_auth",
]
