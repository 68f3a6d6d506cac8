"""`hexclave check` holds the settings in the environment against Hexclave, Redis and the clock.

Exit codes: 0 nothing is wrong, 1 something is.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._adapter.check import Finding

__all__ = ["add_to"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `hexclave`."""
    command = commands.add_parser(
        "check",
        help="find out what is wrong with the settings, the keys, the clock, Redis or the webhook secrets",
        description="Check the settings in the environment (HEXCLAVE_..., STACK_...) against Hexclave, Redis and the "
        "clock: a line each, and exit code 1 if one is wrong. No line shows a key, secret or password.",
    )
    command.set_defaults(run=_run)
    command.add_argument("--project-id", help="default: HEXCLAVE_PROJECT_ID, then STACK_PROJECT_ID")
    command.add_argument(
        "--api-url", help="default: HEXCLAVE_API_URL, then STACK_API_URL, then https://api.hexclave.com"
    )


def _run(options: argparse.Namespace) -> int:
    is_wrong = False
    for finding in _findings(os.environ, project_id=options.project_id, api_url=options.api_url):
        print(finding, flush=True)
        is_wrong = is_wrong or finding.state == "wrong"
    return int(is_wrong)


def _findings(environ: Mapping[str, str], **options: Any) -> Iterator[Finding]:
    from .._adapter.check import Finding, check, check_webhook_secrets
    from ..config import HexclaveConfig
    from ..errors import ConfigurationError

    # Apart, so that a wrong secret does not keep the rest from being looked at.
    secrets = HexclaveConfig.webhook_secrets_from_env(environ)
    others = {name: value for name, value in environ.items() if "_WEBHOOK_SECRET" not in name}
    try:
        config = HexclaveConfig.from_env(others, **options)
    except ConfigurationError as error:
        yield Finding("settings", "wrong", str(error))
        yield check_webhook_secrets(secrets)
        return
    yield Finding("settings", "ok", f"project_id is {config.project_id}, api_url is {config.api_url}.")
    yield from check(config, webhook_secrets=secrets)
