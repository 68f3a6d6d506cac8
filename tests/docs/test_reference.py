"""The reference names every setting, error code, option of a command and log message; `make docs` checks the API."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hexclave_integrations import HexclaveConfig, errors
from hexclave_integrations._tools import console

from .names import SOURCE, public_names

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


def test_settings() -> None:
    """Each has a row, with its default where that is a number, a text or False."""
    rows = {
        row[1]: row[2]
        for row in re.finditer(
            r"^\| `(\w+)` \| (.*?) ?\|", page("settings").split("## In Django alone")[0], re.MULTILINE
        )
    }

    assert list(rows) == [item.name for item in dataclasses.fields(HexclaveConfig)]
    for item in dataclasses.fields(HexclaveConfig):
        shown = rows[item.name].strip().strip("`")
        assert shown == ("" if item.default in ("", None, ()) else str(item.default)), item.name


def test_error_codes() -> None:
    """Each class that has a code has a row with its status, its code and its name."""
    rows = [line.split("|")[1:-1] for line in page("errors").splitlines() if line.startswith("|")]
    shown = {(status.strip(), code.strip(" `"), name) for _, status, code, names in rows for name in names.split("`")}
    for name in errors.__all__:
        error = getattr(errors, name)
        if getattr(error, "code", None) and error is not errors.RequestRefused:
            assert (str(error.status), error.code, name) in shown


def options(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, str]]:
    """The long options of each command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command, inner in action.choices.items():
                yield from options(inner, command)
        for option in action.option_strings:
            yield name, option


def test_console_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command has a section, and that a row for each of its options."""
    parsers: list[argparse.ArgumentParser] = []

    def keep(parser: argparse.ArgumentParser, words: object) -> None:
        parsers.append(parser)
        raise SystemExit

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", keep)
    with pytest.raises(SystemExit):
        console.main([])
    sections = dict(re.findall(r"^## hexclave ([\w-]+)\n(.*?)(?=^## |\Z)", page("console"), re.MULTILINE | re.DOTALL))
    found = list(options(parsers[0]))

    assert {name for name, _ in found} == {"", *sections}
    for name, option in found:
        if option not in ("-h", "--help"):
            assert f"`{option}" in sections.get(name, page("console")), (name, option)


def test_commands_of_django() -> None:
    """Each is there, with its options."""
    for path in SOURCE.rglob("management/commands/*.py"):
        if path.stem != "__init__":
            for word in (path.stem, *re.findall(r'"(--[\w-]+)"', path.read_text(encoding="utf-8"))):
                assert word in page("console")


def messages() -> Iterator[str]:
    """The texts that the package logs, wherever they are written down in the module that does."""
    for path in SOURCE.rglob("*.py"):
        if "testing" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("debug", "info", "warning", "error", "exception", "critical")
                and "log" in ast.unparse(node.func.value).lower()
            ):
                first = node.args[0]
                for value in (first.body, first.orelse) if isinstance(first, ast.IfExp) else (first,):
                    text = constants.get(value.id, value) if isinstance(value, ast.Name) else value
                    if isinstance(text, ast.Constant):
                        yield str(text.value)


def test_log_messages() -> None:
    """Each has a row, which may leave out the end of a long one."""
    shown = re.findall(r"^\| \w+ \| `(.*?)` \|", page("logs"), re.MULTILINE)
    found = set(messages()) - {"%s"}

    assert len(found) > 20
    for text in found:
        assert any(text == one or (one.endswith("...") and text.startswith(one[:-4])) for one in shown), text


def test_public_names_are_found() -> None:
    """What is private is not among them, and what an adapter takes over from elsewhere is there once."""
    names = public_names()

    assert {"hexclave_integrations.fastapi.CurrentUser", "hexclave_integrations.errors.NotFound"} <= names
    assert "hexclave_integrations.requirements.require_user" in names
    assert not names & {"hexclave_integrations.NotFound", "hexclave_integrations.fastapi.require_user"}
