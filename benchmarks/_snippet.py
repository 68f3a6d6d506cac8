"""What Hexclave's documentation tells Python users to write: `PyJWKClient` and `jwt.decode`, nothing else."""

from __future__ import annotations

import os
from typing import Any

import jwt

__all__ = ["Snippet"]


class Snippet:
    """The documented verification.

    Args:
        api_url: where the keys are.
        project_id: the audience.
    """

    def __init__(self, api_url: str, project_id: str) -> None:
        self._project_id = project_id
        self._keys = jwt.PyJWKClient(f"{api_url}/api/v1/projects/{project_id}/.well-known/jwks.json")

    @classmethod
    def from_env(cls) -> Snippet:
        """With the settings that the kit reads too."""
        return cls(os.environ["HEXCLAVE_API_URL"], os.environ["HEXCLAVE_PROJECT_ID"])

    def key(self, token: str) -> Any:
        """The public key that a token names."""
        return self._keys.get_signing_key_from_jwt(token).key

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token.

        Raises:
            jwt.PyJWTError: it is not acceptable.
        """
        claims: dict[str, Any] = jwt.decode(token, self.key(token), algorithms=["ES256"], audience=self._project_id)
        return claims
