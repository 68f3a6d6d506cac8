"""The wheel that people install: what is in it, and what it says about itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from .bounds import PYPROJECT

ROOT = PYPROJECT.parent
REPOSITORY = "https://github.com/hexclave/hexclave-integrations"
PROJECT = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (one for one in wheel.namelist() if one.endswith(".dist-info/METADATA"))
    return BytesParser().parsebytes(wheel.read(name))


def description(metadata: Message) -> str:
    """The text that PyPI shows."""
    text = metadata.get_payload(decode=True)
    assert isinstance(text, bytes)
    return text.decode()


def test_the_wheel_holds_what_the_source_holds(wheel: zipfile.ZipFile) -> None:
    """Every file of the package, data files and the marker for type checkers included, and nothing else."""
    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in (source / "hexclave_integrations").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}

    assert packed.keys() == files.keys()
    assert packed == files
    assert "hexclave_integrations/py.typed" in packed


def test_commands_and_plugins(wheel: zipfile.ZipFile) -> None:
    """The console command, and the plugin that gives pytest its fixture."""
    (name,) = (one for one in wheel.namelist() if one.endswith(".dist-info/entry_points.txt"))

    assert {"[console_scripts]", "[pytest11]"} <= set(wheel.read(name).decode().splitlines())


def test_links_of_the_project(metadata: Message) -> None:
    """PyPI shows them beside the text."""
    links = dict(one.split(", ", 1) for one in metadata.get_all("Project-URL", []))

    assert links.keys() == {"Homepage", "Documentation", "Changelog", "Source", "Issues"}
    assert links.pop("Homepage") == "https://hexclave.com"
    assert [link for link in links.values() if not link.startswith(REPOSITORY)] == []


def test_no_link_of_the_readme_is_relative(metadata: Message) -> None:
    """PyPI has no files beside it: a link leads to a heading, or somewhere on the web."""
    text = description(metadata)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", prose)
    targets += re.findall(r"^\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)", prose, re.MULTILINE)
    targets += re.findall(r"(?:href|src)=[\"']([^\"']+)", prose)

    assert text == (ROOT / "README.md").read_text(encoding="utf-8")
    assert [one for one in targets if not one.startswith(("https://", "#"))] == []
    assert any(one.startswith("https://") for one in targets)


def test_links_into_the_repository_lead_somewhere(metadata: Message) -> None:
    """A file or folder that a link names is there."""
    text = "\n".join([description(metadata), *metadata.get_all("Project-URL", [])])
    paths = set(re.findall(re.escape(REPOSITORY) + r"/(?:blob|tree)/main/([^)#\s]+)", text))

    assert "SECURITY.md" in paths
    assert [one for one in paths if not (ROOT / one).exists()] == []


def test_headings_that_are_linked_to_exist(metadata: Message) -> None:
    """A link inside the text has a heading of that name."""
    text = description(metadata)
    headings = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+?)$", text, re.MULTILINE)
    }

    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_extras_are_those_of_the_project(metadata: Message) -> None:
    """Each extra asks for what the project's settings say, and the package itself for no framework."""
    required = [Requirement(one) for one in metadata.get_all("Requires-Dist", [])]
    core = {one.name for one in required if one.marker is None}

    assert set(metadata.get_all("Provides-Extra", [])) == PROJECT["optional-dependencies"].keys()
    assert core == {Requirement(one).name for one in PROJECT["dependencies"]}
    for extra, wanted in PROJECT["optional-dependencies"].items():
        asked = {
            (one.name, one.specifier)
            for one in required
            if one.marker is not None and one.marker.evaluate({"extra": extra})
        }
        assert asked == {((one := Requirement(text)).name, one.specifier) for text in wanted}


def test_classifiers(metadata: Message) -> None:
    """They name the versions of Python from the oldest that installs, without a gap."""
    said = metadata.get_all("Classifier", [])
    minors = sorted(int(one.rpartition(".")[2]) for one in said if re.fullmatch(r".*Python :: 3\.\d+", one))

    assert metadata["Requires-Python"] == f">=3.{minors[0]}"
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert metadata["License-Expression"] == "MIT"
    assert [one for one in said if "License ::" in one or "PyPy" in one] == []


def test_the_license_is_in_it(wheel: zipfile.ZipFile) -> None:
    """Whoever passes it on has to pass the license on."""
    (name,) = (one for one in wheel.namelist() if one.endswith("/LICENSE"))

    assert wheel.read(name) == Path(ROOT / "LICENSE").read_bytes()
