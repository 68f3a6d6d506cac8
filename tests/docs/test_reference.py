"""The reference is complete: public names, settings, commands, error codes, log messages, telemetry."""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from hexclave_integrations import ConfigurationError, HexclaveConfig, _reasons, errors, requirements
from hexclave_integrations._memory.redis_fitness import Fitness
from hexclave_integrations._tools import console
from hexclave_integrations.telemetry import Observer

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "hexclave_integrations"
REFERENCE = ROOT / "docs" / "reference"
PROJECT = "3f2b8a51-6c1d-4b7e-9d0a-2f5c7e1b9a64"


def page(name: str) -> str:
    """A page of the reference, on one line."""
    return " ".join((REFERENCE / f"{name}.md").read_text(encoding="utf-8").split())


def rows(name: str) -> list[list[str]]:
    """The cells of all tables of a page, without their backticks."""
    lines = (REFERENCE / f"{name}.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"]


def test_every_public_name_is_described() -> None:
    """What a public module exports stands in the API."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.api"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_every_setting_is_described() -> None:
    """Each field of HexclaveConfig has a row with its variable and its default."""
    found = {row[0]: row for row in rows("settings")}
    for one in fields(HexclaveConfig):
        row = found[one.name]
        if one.name in ("transport", "observer"):
            continue
        assert f"HEXCLAVE_{one.name.upper()}" in row[1]
        told = {"": "needed", None: "none", (): "none", False: "false"}
        default: Any = one.default
        if type(default) in (int, float):
            assert row[2] == f"{default:g}"
        else:
            assert row[2] == told.get(default, default)
    for name in re.findall(r'"([A-Z][A-Z_]{5,})"', (SOURCE / "django" / "_conf.py").read_text(encoding="utf-8")):
        assert name in page("settings") or name in ("HEXCLAVE", "HTTP_COOKIE", "REQUEST_METHOD"), name


def test_the_ranges_of_settings_are_right() -> None:
    """The numbers that a row allows are allowed, and the next ones are not."""
    found = {row[0]: row[3] for row in rows("settings") if len(row) == 5 and re.fullmatch(r"[\d.]+ to \d+", row[3])}
    assert len(found) >= 8
    for name, words in found.items():
        cast = int if name == "token_cache_size" else float
        low, high = (cast(word) for word in words.split(" to "))
        settings: dict[str, Any] = {"project_id": PROJECT, "jwks_max_age": 1}
        for value in (low, high):
            HexclaveConfig(**settings | {name: value})
        for value in (low - cast(1), high + cast(1)):
            with pytest.raises(ConfigurationError, match=name):
                HexclaveConfig(**settings | {name: value})


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The commands of `hexclave`, by name."""
    found = argparse.ArgumentParser().add_subparsers()
    for command in console._COMMANDS:
        command.add_to(found)
    yield from found.choices.items()


@pytest.mark.parametrize(("name", "parser"), list(commands()), ids=lambda one: one if isinstance(one, str) else "")
def test_every_option_of_a_command_is_described(name: str, parser: argparse.ArgumentParser) -> None:
    """Each option and argument stands in the command's own section."""
    text = (REFERENCE / "console.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## hexclave {name}\n")[2].partition("\n## ")[0]
    for action in parser._actions:
        words = [word for word in action.option_strings if word.startswith("--")]
        for word in words or [str(action.metavar or action.dest)]:
            assert word == "--help" or f"`{word}" in section, f"hexclave {name}: {word}"


def test_every_management_command_is_described() -> None:
    """Django's and Flask's commands with their options."""
    text = page("console")
    for path in SOURCE.glob("django/**/management/commands/[a-z]*.py"):
        assert f"manage.py {path.stem}" in text
        for option in re.findall(r'"(--[a-z-]+)"', path.read_text(encoding="utf-8")):
            assert f"`{option}" in text, option
    assert "flask hexclave check" in text


def test_every_error_code_is_described() -> None:
    """Status, code, exception and text of each refusal are in one row."""
    found = rows("errors")
    for name in errors.__all__:
        error = getattr(errors, name)
        if issubclass(error, errors.RequestRefused) and hasattr(error, "code"):
            assert [str(error.status), error.code, name, error.text] in found


def test_every_reason_is_described() -> None:
    """The closed set of sentences, each as it is."""
    text = page("errors")

    assert [one for one in sorted(_reasons.ALL) if f"- {one}" not in text] == []


def test_every_system_check_is_described() -> None:
    """Django's checks by their numbers."""
    used = set(re.findall(r"hexclave\.[EWI]\d{3}", (SOURCE / "django" / "checks.py").read_text(encoding="utf-8")))

    assert used
    assert used == {row[0] for row in rows("errors") if row[0].startswith("hexclave.")}


HANDED_ON = ("_say", "_written")
"""Functions that log the text which they are given, as a warning."""


def log_messages() -> Iterator[tuple[str, str]]:
    """Every level and text that the source logs; a text under a name is looked up in its module."""
    for path in sorted(SOURCE.rglob("*.py")):
        if "testing" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known: dict[str, str] = {}
        for node in tree.body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                known[target.id] = value.value
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in HANDED_ON and "_policy" in path.parts:
                yield from (("warning", str(one.value)) for one in call.args if isinstance(one, ast.Constant))
                continue
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args):
                continue
            if not ast.unparse(call.func.value).endswith(("log", "logger")):
                continue
            if call.func.attr not in ("debug", "info", "warning", "error", "exception"):
                continue
            for text in ast.walk(call.args[0]):
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield call.func.attr, text.value
                elif isinstance(text, ast.Name) and text.id in known:
                    yield call.func.attr, known[text.id]


def test_every_log_message_is_described() -> None:
    """Each text stands, with `...` for what varies, below the heading of its level, and no other does."""
    text = (REFERENCE / "logs.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## ([A-Z]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    told = {(level, one) for level in sections for one in re.findall(r"^\| `(.*?)` \|", sections[level], re.MULTILINE)}
    expected = {("WARNING", re.sub("volatile-lru", "...", str(Fitness(False, "volatile-lru").complaint)))}
    for method, text in log_messages():
        shown = re.sub(r"%[srd]", "...", text)
        if shown == "...":  # the text is made elsewhere
            continue
        expected.add(("ERROR" if method == "exception" else method.upper(), shown))
    # One text ends with one of two fixed parts.
    long = "took longer than claim_ttl; "
    assert len([one for one in expected if long in one[1]]) == 1

    assert {one for one in expected if long not in one[1]} == {one for one in told if long not in one[1]}


def test_every_name_of_telemetry_is_described() -> None:
    """Metrics, attributes, methods, and the scopes of requirements."""
    text = page("telemetry")
    source = (SOURCE / "telemetry" / "_opentelemetry.py").read_text(encoding="utf-8")
    names = set(re.findall(r'"((?:hexclave|http|error)\.[a-z_.]+)"', source))
    names |= {name for name in vars(Observer) if not name.startswith("_")}
    assert len(names) > 15
    for name in names | set(get_args(requirements.Scope)):
        assert f"`{name}`" in text, name
