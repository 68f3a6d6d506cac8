"""Somebody who signs up in the demo with Hexclave's own JavaScript client, where there is Node to run it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .npm import CannotInstall, cached, install

__all__ = ["sign_up"]

_SDK: Final = Path(__file__).parent / "sdk"
_LIMIT: Final = 60.0


def sign_up(environ: Mapping[str, str]) -> str | None:
    """The access token of a new user; None, after a line that says why, where Node or its packages are missing.

    Args:
        environ: the variables that lead to Hexclave.

    Raises:
        RuntimeError: the client was there and could not sign anybody up.
    """
    if not cached(_SDK).is_dir():
        print("Installing Hexclave's JavaScript client, once ...", flush=True)
    try:
        packages = install(_SDK, _LIMIT)
    except CannotInstall as error:
        print(f"Left out: a sign-up with the JavaScript client, since {error}.", flush=True)
        return None
    done = subprocess.run(
        ["node", str(_SDK / "sign-up.cjs")],
        env={**os.environ, **environ, "NODE_PATH": str(packages / "node_modules")},
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The JavaScript client could not sign anybody up:\n{done.stderr}")
    return done.stdout
