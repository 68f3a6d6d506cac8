"""What Convex is told so that it accepts a project's tokens: its providers, and the text of `convex/auth.config.ts`.

A Convex deployment takes the first provider whose issuer, and `applicationID` where there is one, are those of a token,
and looks for the token's key in that provider's key set alone. Hexclave signs each kind of user with keys and an issuer
of their own (contract section 2), so each kind needs a provider: one that is left out is nobody to Convex.
"""

from __future__ import annotations

import json
import shlex
from typing import Final, NamedTuple
from urllib.parse import quote

from ..config import HexclaveConfig
from ..errors import ConfigurationError

__all__ = ["COMMAND", "DEFAULT_API_URL", "is_rendered", "providers_config", "render_auth_config"]

COMMAND: Final = "hexclave convex-auth-config"
DEFAULT_API_URL: Final = "https://api.hexclave.com"

_COMMAND_LINE: Final = "//   "
_HEADER: Final = "// Written by this command; run it again instead of editing the file:"
# Where Prettier breaks lines, so that a project's formatter does not edit the file: never after a short name.
_WIDTH: Final = 80
_SHORT_NAME: Final = 4
_AS_ENCODE_URI_COMPONENT: Final = "!~*'()"  # besides letters, digits and "-._", which `quote` leaves alone too


class _Kind(NamedTuple):
    """How the tokens of one kind of user are told from others."""

    issuer_path: str
    audience_suffix: str
    jwks_query: str


_REGULAR: Final = _Kind("projects", "", "")
_ANONYMOUS: Final = _Kind("projects-anonymous-users", ":anon", "?include_anonymous=true")
_RESTRICTED: Final = _Kind("projects-restricted-users", ":restricted", "?include_restricted=true")


def providers_config(
    project_id: str, api_url: str = DEFAULT_API_URL, include_restricted: bool = False
) -> list[dict[str, str]]:
    """The providers of a Convex deployment that accepts this project's tokens (contract section 7).

    The JavaScript SDK's two come first, as it spells them. Each has an `applicationID` besides, its tokens' audience:
    without one, Convex says, a provider is often insecure.

    Args:
        project_id: the project's UUID, or `internal`.
        api_url: base URL of the API that your frontend signs in at: it is the host in the tokens' issuer.
        include_restricted: accept restricted users too; to Convex they look like any other user.

    Raises:
        ConfigurationError: an argument is wrong; the message names it and the fix.
    """
    config = HexclaveConfig(project_id=project_id, api_url=api_url)
    if not isinstance(include_restricted, bool):
        raise ConfigurationError("include_restricted is True or False: any text would be true.")
    if config.api_url not in config.issuer_bases:
        raise ConfigurationError(f"api_url is the host in the tokens' issuer: {' or '.join(config.issuer_bases)}.")
    segment = quote(config.project_id, safe=_AS_ENCODE_URI_COMPONENT)
    base = f"{config.api_url}/api/v1"
    return [
        {
            "type": "customJwt",
            "issuer": f"{base}/{kind.issuer_path}/{segment}",
            "jwks": f"{base}/projects/{segment}/.well-known/jwks.json{kind.jwks_query}",
            "algorithm": "ES256",
            "applicationID": f"{config.project_id}{kind.audience_suffix}",
        }
        for kind in (_REGULAR, _ANONYMOUS, *([_RESTRICTED] if include_restricted else []))
    ]


def render_auth_config(project_id: str, api_url: str = DEFAULT_API_URL, include_restricted: bool = False) -> str:
    """The text of `convex/auth.config.ts` with the providers of `providers_config`; arguments and errors as there."""
    providers = providers_config(project_id, api_url, include_restricted)
    config = HexclaveConfig(project_id=project_id, api_url=api_url)
    command = [*COMMAND.split(), "--project-id", config.project_id, "--api-url", config.api_url]
    if include_restricted:
        command.append("--include-restricted")
    lines = [
        _HEADER,
        _COMMAND_LINE + shlex.join(command),
        'import type { AuthConfig } from "convex/server";',
        "",
        "export default {",
        "  providers: [",
    ]
    for provider in providers:
        lines.append("    {")
        for name, value in provider.items():
            text = json.dumps(value)  # in ASCII, a TypeScript string (ECMA-262 section 12.9.4)
            fits = len(f"      {name}: {text},") <= _WIDTH or len(name) <= _SHORT_NAME
            lines += [f"      {name}: {text},"] if fits else [f"      {name}:", f"        {text},"]
        lines.append("    },")
    lines += ["  ],", "} satisfies AuthConfig;", ""]
    return "\n".join(lines)


def is_rendered(text: str) -> bool:
    """Whether a file is exactly what `render_auth_config` makes of the command in its header: nobody edited it."""
    header, _, rest = text.partition("\n")
    line = rest.partition("\n")[0]
    if header != _HEADER or not line.startswith(_COMMAND_LINE):
        return False
    try:
        words = shlex.split(line.removeprefix(_COMMAND_LINE))
        project_id, api_url = words[3], words[5]
        return text == render_auth_config(project_id, api_url, "--include-restricted" in words)
    except (ValueError, IndexError, ConfigurationError):
        return False
