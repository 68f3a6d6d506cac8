"""What the token endpoints of all adapters share. Signers are not imported here: that costs `import jwt`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..errors import ConfigurationError
from ..requirements import Requirement

if TYPE_CHECKING:
    from ..supabase import SupabaseSigner

__all__ = ["guard_for"]

R = TypeVar("R", bound=Requirement)


def guard_for(signer: SupabaseSigner, requirement: R) -> R:
    """The requirement of an endpoint: it lets through exactly the users that the signer signs for.

    Args:
        signer: of the endpoint.
        requirement: an adapter's `require_user`.

    Raises:
        ConfigurationError: it is no signer, but its key or its class, say.
    """
    if not hasattr(type(signer), "guard"):
        raise ConfigurationError("A token endpoint takes the signer itself: SupabaseSigner(secret).")
    return signer.guard(requirement)
