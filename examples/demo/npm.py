"""npm packages of the versions in a lock file, installed once and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["CannotInstall", "cached", "install"]

_FILES: Final = ("package.json", "package-lock.json")
# Without scripts of packages; and somebody without a network learns of it at once.
_OPTIONS: Final = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1")


class CannotInstall(Exception):
    """The packages are not there; the message says why."""


def cached(source: Path) -> Path:
    """The folder where the packages of `source` are, or will be: a changed lock file means another one."""
    digest = hashlib.sha256(b"".join((source / file).read_bytes() for file in _FILES) + sys.platform.encode())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "hexclave-integrations" / f"{source.name}-{digest.hexdigest()[:16]}"


def install(source: Path, timeout: float = 240) -> Path:
    """A folder whose `node_modules` has what `package-lock.json` in `source` names.

    Args:
        timeout: seconds that npm may take.

    Raises:
        CannotInstall: npm is missing, failed, or took too long.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise CannotInstall("node and npm are not installed")
    target = cached(source)
    if (target / "node_modules").is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise CannotInstall(f"npm packages cannot be kept in {target.parent}: {error.strerror}") from None
    try:
        _run_npm(npm, source, fresh, timeout)
        try:
            fresh.rename(target)  # when it is whole: another process may be doing the same
        except OSError:
            if not (target / "node_modules").is_dir():
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def _run_npm(npm: str, source: Path, folder: Path, timeout: float) -> None:
    for file in _FILES:
        shutil.copy(source / file, folder)
    try:
        done = subprocess.run(
            [npm, "ci", *_OPTIONS], cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"npm ci did not end within {timeout:g} seconds") from None
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "npm error" in line), "npm ci failed")
        raise CannotInstall(f"npm could not install the packages ({reason.removeprefix('npm error ')})")
