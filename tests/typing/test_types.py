"""What type checkers say: to applications that are written as a user would, without an ignore, and of the public API.

The applications are the files beside this one. mypy reads them with `--strict`, pyright in its strict mode; what has to
be an error stands in `mistakes.py`. Pyright reads the examples in the README and the documentation as well.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

import hexclave_integrations

from .._services import do_without
from ..adapters import _django  # noqa: F401  # Django has to be set up before its models are imported

HERE = Path(__file__).parent
SOURCE = Path(hexclave_integrations.__file__).parent
ROOT = HERE.parents[1]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)]
MISTAKES = HERE / "mistakes.py"
APPLICATIONS = sorted(path for path in HERE.glob("*_*.py") if path.name not in ("__init__.py", Path(__file__).name))
STUBS = ("django-stubs", "djangorestframework-stubs")
LIMIT: Final = 400.0
LENIENT: Final = "# pyright: reportUndefinedVariable=false, reportMissingImports=false"

Place = tuple[str, int]
"""A file's name and a line in it."""


def run(*words: str | Path, **extra: str) -> str:
    """Run a module as another process that knows the package; its output, whatever it found."""
    bin_folder = str(Path(sys.executable).parent)  # `--verifytypes` asks the first `python` on PATH for its packages
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MYPY", "PYTHON"))},
        "PATH": os.pathsep.join([bin_folder, os.environ["PATH"]]),
        "PYTHONPATH": str(SOURCE.parent),
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
        **extra,
    }
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(
        command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    return done.stdout + (done.stderr if done.returncode not in (0, 1) else "")


def pyright(*words: str | Path) -> Any:
    """What pyright reports."""
    if importlib.util.find_spec("pyright") is None:
        do_without("pyright is not installed")
    output = run("pyright", "--outputjson", *words)
    try:
        return json.loads(output)
    except ValueError:  # it needs Node.js, and the npm package of the same name from the cache or the registry
        do_without(f"pyright cannot be run: {output[-500:]}")


def need_stubs() -> None:
    """Without the stubs of Django, both would find something else."""
    missing = [name for name in STUBS if not any(importlib.metadata.distributions(name=name))]
    if missing:
        do_without(f"not installed: {', '.join(missing)}")


def written_examples(folder: Path) -> list[Path]:
    """The Python blocks of the pages as files. One may use the names of another, so an undefined name is no error.

    Nor is a package that only the code to migrate from needs; the tests of the pages find misspelt modules of ours.
    """
    paths: list[Path] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL), 1):
            name = f"{'_'.join(page.relative_to(ROOT).with_suffix('').parts)}_{number}.py".replace("-", "_")
            paths.append(folder / name)
            paths[-1].write_text(f"{LENIENT}\n{block}", encoding="utf-8")
    assert len(paths) > 20
    return paths


@pytest.fixture(scope="module")
def found_by_mypy(tmp_path_factory: pytest.TempPathFactory) -> dict[Place, str]:
    """What mypy finds."""
    if importlib.util.find_spec("mypy") is None:
        do_without("mypy is not installed")
    need_stubs()
    options = ["--strict", "--config-file=", "--no-error-summary", "--hide-error-context", "--follow-imports=silent"]
    cache = tmp_path_factory.mktemp("mypy")
    path = {} if "site-packages" in SOURCE.parts else {"MYPYPATH": str(SOURCE.parent)}
    output = run("mypy", *options, "--cache-dir", cache, *[each.name for each in (*APPLICATIONS, MISTAKES)], **path)
    lines = [line for line in output.splitlines() if ": note: " not in line]
    matches = {line: re.match(r"(\w+\.py):(\d+): error: (.+)", line) for line in lines}
    assert [line for line, match in matches.items() if match is None] == []
    return {(match[1], int(match[2])): match[3] for match in matches.values() if match is not None}


@pytest.fixture(scope="module")
def found_by_pyright(tmp_path_factory: pytest.TempPathFactory) -> dict[Place, str]:
    """What pyright finds."""
    need_stubs()
    report = pyright(*APPLICATIONS, MISTAKES, *written_examples(tmp_path_factory.mktemp("examples")))
    assert report["summary"]["filesAnalyzed"] > len(APPLICATIONS)
    return {
        (Path(found["file"]).name, found["range"]["start"]["line"] + 1): found["message"]
        for found in report["generalDiagnostics"]
    }


@pytest.fixture(params=["mypy", "pyright"])
def found(request: pytest.FixtureRequest) -> dict[Place, str]:
    """What a type checker finds."""
    report: dict[Place, str] = request.getfixturevalue(f"found_by_{request.param}")
    return report


def test_applications_pass(found: dict[Place, str]) -> None:
    """Applications of every framework, and the examples in the documentation, have no errors."""
    assert len(APPLICATIONS) >= 12
    assert {place: message for place, message in found.items() if place[0] != MISTAKES.name} == {}


def test_applications_ignore_nothing() -> None:
    """The applications ask for the strict mode, and switch nothing off."""
    for path in APPLICATIONS:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# pyright: strict\n"), path.name
        assert re.search(r"type: *ignore|pyright: *(ignore|basic)|\bcast\(|report[A-Z]", text) is None, path.name


def test_mistakes_are_found(found: dict[Place, str]) -> None:
    """Each mistake is an error, and nothing else in that file is."""
    lines = MISTAKES.read_text(encoding="utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# mistake")}

    assert marked == {line for name, line in found if name == MISTAKES.name}


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in APPLICATIONS])
def test_applications_start(path: Path) -> None:
    """What is checked is an application that can be imported, and so built."""
    importlib.import_module(f"{__package__}.{path.stem}")


def test_public_api_is_complete() -> None:
    """Each public name has a type that every checker knows and none has to guess."""
    need_stubs()
    report = pyright("--verifytypes", "hexclave_integrations", "--ignoreexternal")["typeCompleteness"]
    assert Path(report["packageRootDirectory"]) == SOURCE
    offenders = {
        f"{symbol['name']}: {problem['message']}"
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
        for problem in symbol["diagnostics"]
    }

    assert offenders == set()
    assert report["completenessScore"] == 1
    assert report["exportedSymbolCounts"]["withKnownType"] > 600


def test_requests_of_django_need_no_settings() -> None:
    """The names for annotations can be imported before there are settings, and declare without hiding anything."""
    code = """
from hexclave_integrations.django import HexclaveHttpRequest, OptionalHexclaveHttpRequest
for cls in (HexclaveHttpRequest, OptionalHexclaveHttpRequest):
    print(cls.__mro__[-2].__name__, *sorted(name for name in vars(cls) if not name.startswith("_")))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO")}
    environment["PYTHONPATH"] = str(SOURCE.parent)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.stdout.splitlines(), done.stderr) == (["HttpRequest", "HttpRequest"], "")
