"""npm packages for tests, of the versions in a lock file; installed once and kept outside of the repository."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

from ._services import do_without

_DATA: Final = Path(__file__).parent / "data"
_LIMIT: Final = 240.0
_FILES: Final = ("package.json", "package-lock.json")


def installed(name: str) -> Path:
    """The folder with the `node_modules` of `tests/data/NAME`; the test is skipped where npm cannot install them.

    Runs that need the same lock file share the folder. It is in `$XDG_CACHE_HOME`, by default `~/.cache`.
    """
    if (reason := why_not()) is not None:
        do_without(reason)
    source = _DATA / name
    digest = hashlib.sha256(b"".join((source / file).read_bytes() for file in _FILES) + sys.platform.encode())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hexclave-integrations-tests"
    target = cache / f"{name}-{digest.hexdigest()[:16]}"
    if not (target / "node_modules").is_dir():
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError:
            do_without(f"npm packages cannot be kept in {cache}")
        _install(source, cache, target)
    return target


def why_not() -> str | None:
    """Why nothing can be installed here, or None."""
    return None if shutil.which("npm") and shutil.which("node") else "node and npm are not installed"


def _install(source: Path, cache: Path, target: Path) -> None:
    """Install beside the target, and give it its name when it is whole: another run may be doing the same."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=cache))
    try:
        for file in _FILES:
            shutil.copy(source / file, fresh)
        command = [str(shutil.which("npm")), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        try:
            done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, timeout=_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            do_without(f"npm ci did not end within {_LIMIT:g} seconds")
        if done.returncode:
            reason = "; ".join(done.stderr.splitlines()[:2]) or f"exit code {done.returncode}"
            do_without(f"npm ci did not install the packages of tests/data/{source.name} ({reason})")
        try:
            fresh.rename(target)
        except OSError:  # another run was faster
            assert (target / "node_modules").is_dir()
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@pytest.fixture(scope="session")
def sdk() -> Path:
    """A folder whose `node_modules` has Hexclave's JavaScript clients."""
    return installed("sdk")
