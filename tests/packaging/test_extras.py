"""Whoever imports an adapter without its framework is told which extra to install."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from .bounds import PYPROJECT

SETTINGS = "from django.conf import settings; settings.configure(); import django; django.setup(); "
CONFIGURATION = "from hexclave_integrations.stores import RedisStore; RedisStore('redis://127.0.0.1')"
CASES = {
    # What is missing, and what is run without it.
    "starlette": ("starlette", "from hexclave_integrations.starlette import HexclaveMiddleware"),
    "fastapi": ("fastapi", "from hexclave_integrations.fastapi import Hexclave"),
    "flask": ("flask", "from hexclave_integrations.flask import Hexclave"),
    "litestar": ("litestar", "from hexclave_integrations.litestar import HexclavePlugin"),
    "django": ("django", "from hexclave_integrations.django import require_user"),
    "drf": ("rest_framework", SETTINGS + "from hexclave_integrations.django.drf import HexclaveAuthentication"),
    "ninja": ("ninja", SETTINGS + "from hexclave_integrations.django.ninja import HexclaveAuth"),
    "redis": ("redis", CONFIGURATION),
    "otel": ("opentelemetry", "from hexclave_integrations.telemetry import Observer, OpenTelemetryObserver"),
}


def last_line(code: str, *path: Path) -> str:
    """The last line that a fresh interpreter prints for its exception."""
    head = f"import sys; sys.path[:0] = {[str(PYPROJECT.parent / 'src'), *map(str, path)][::-1]!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", head + code], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    assert done.returncode == 1
    return done.stderr.rstrip().rpartition("\n")[2]


def test_every_extra_is_here() -> None:
    """A new extra is tried as well."""
    extras = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]

    assert CASES.keys() == extras.keys()


ABSENT = """
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == {0!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
SHUT_OUT = "sys.modules[{0!r}] = None\n"


@pytest.mark.parametrize("how", [ABSENT, SHUT_OUT], ids=["absent", "shut out"])
@pytest.mark.parametrize("extra", CASES)
def test_import_without_its_extra(extra: str, how: str) -> None:
    """The message is the command to run."""
    module, code = CASES[extra]

    said = last_line(how.format(module) + code)

    assert f'pip install "hexclave-integrations[{extra}]"' in said
    assert re.match(r"ModuleNotFoundError: " if extra != "redis" else r"hexclave_integrations.*Configuration", said)


@pytest.mark.parametrize("extra", CASES)
def test_a_broken_framework_keeps_its_message(extra: str, tmp_path: Path) -> None:
    """What is missing inside of a framework that is there is not blamed on us, nor hidden."""
    module, code = CASES[extra]
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text("import something_that_it_needs\n")

    said = last_line(code, tmp_path)

    assert said == "ModuleNotFoundError: No module named 'something_that_it_needs'"


def test_the_build_tool_called_ninja_is_not_django_ninja(tmp_path: Path) -> None:
    """It is imported by the same name, and is on many machines."""
    (tmp_path / "ninja").mkdir()
    (tmp_path / "ninja" / "__init__.py").write_text("__version__ = '1.13'\n")

    assert 'pip install "hexclave-integrations[ninja]"' in last_line(CASES["ninja"][1], tmp_path)
