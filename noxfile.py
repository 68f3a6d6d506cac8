"""The matrix: `nox -s tests-3.12`, `nox -s lowest`; plain `nox` runs all of it. `pip install --group nox` brings nox.

Interpreters are looked for on PATH and in pyenv; a session whose interpreter is not there is skipped and named.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
NEWEST = "3.13"  # of what most machines have: for what does not depend on the interpreter
EXTRAS = sorted(tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"])

PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *(str(one / "bin") for one in sorted(PYENV.glob("3.*")))])


def run_tests(session: nox.Session, *options: str, env: dict[str, str] | None = None) -> None:
    session.run("python", *options, "-m", "pytest", "-q", *session.posargs, env=env)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, with the newest version of everything."""
    session.install("--upgrade", "--editable", ".", "--group", "test", "--group", "lint")
    run_tests(session)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The tests, with the oldest version that pyproject.toml allows of everything it names for applications."""
    session.install("packaging")
    constraints = Path(session.create_tmp()) / "lowest.txt"
    constraints.write_text(str(session.run("python", "-m", "tests.packaging.bounds", silent=True)))
    session.install("--editable", ".", "--group", "test", "--constraint", str(constraints))
    run_tests(session)


@nox.session(python=NEWEST)
@nox.parametrize("version", ["5.2", "6.0"])
def django(session: nox.Session, version: str) -> None:
    """What has to do with Django, on each of its series."""
    session.install("--editable", ".", "--group", "test", f"django=={version}.*")
    names = session.posargs or [*map(str, sorted(Path("tests").rglob("test_*django*.py"))), "tests/contract"]
    names += [] if session.posargs else ["tests/adapters/test_drf.py", "tests/adapters/test_ninja.py"]
    session.run("python", "-m", "pytest", "-q", *names)


@nox.session(python=NEWEST)
def wheel(session: nox.Session) -> None:
    """Build the wheel, and hold it and its metadata against the source."""
    session.install("--editable", ".", "--group", "test")
    session.run("python", "-m", "pytest", "-q", "tests/packaging")


@nox.session(python=NEWEST)
@nox.parametrize("extra", EXTRAS)
def extras(session: nox.Session, extra: str) -> None:
    """The wheel with one extra and nothing else: its example runs, and other adapters name what they lack."""
    session.install("hatchling")
    folder = Path(session.create_tmp()).resolve()
    session.run("python", "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), silent=True)
    (path,) = folder.glob("*.whl")
    session.install("--reinstall" if session.venv_backend == "uv" else "--force-reinstall", f"{path}[{extra}]")
    session.run("python", "-m", "tests.packaging.try_extra", extra, env={"PYTHONPATH": ""})


MODES: dict[str, tuple[list[str], dict[str, str]]] = {
    "optimised": (["-O"], {}),
    "dev": (["-X", "dev"], {"PYTHONDEVMODE": "1"}),
    "ascii": ([], {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "timezone": ([], {"TZ": "Pacific/Chatham"}),
}


@nox.session(python=NEWEST)
@nox.parametrize("mode", list(MODES))
def modes(session: nox.Session, mode: str) -> None:
    """The tests under other settings of the interpreter and the machine; warnings are errors in every session."""
    session.install("--editable", ".", "--group", "test")
    options, env = MODES[mode]
    run_tests(session, *options, env=env)
