"""`convex/auth.config.ts` as TypeScript sees it, with the types of the real npm package `convex`, and as Node runs it.

The packages, of the versions in `tests/data/convex`, are installed into a temporary folder once for a test run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from hexclave_integrations.convex import providers_config, render_auth_config

from ._minting import PROJECT
from ._services import do_without

DATA = Path(__file__).parent / "data" / "convex"
EXAMPLE = Path(__file__).parents[1] / "examples" / "convex_app" / "convex"
INSTALL_LIMIT: Final = 240.0
LIMIT: Final = 120.0
# As the tsconfig.json that `npx convex dev` writes, and with `strict`.
OPTIONS = [
    "--strict",
    "--ignoreConfig",
    "--target",
    "ESNext",
    "--lib",
    "ES2023,DOM",
    "--module",
    "ESNext",
    "--moduleResolution",
    "Bundler",
    "--isolatedModules",
    "--skipLibCheck",
]
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "restricted": {"include_restricted": True},
    "internal on loopback": {"project_id": "internal", "api_url": "http://localhost:8102/", "include_restricted": True},
    "hostile URL": {"api_url": "https://auth.example.com/\"'`;process.exit(7);//${process.exit(7)}*/</script>"},
}


@pytest.fixture(scope="session")
def packages() -> Iterator[Path]:
    """A folder with the npm packages in it."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        do_without("node and npm are not installed")
    with tempfile.TemporaryDirectory(prefix="convex-") as name:
        folder = Path(name)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(DATA / file, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_LIMIT, check=False
            )
        except subprocess.TimeoutExpired:
            do_without(f"npm ci did not end within {INSTALL_LIMIT:g} seconds")
        if done.returncode:
            reason = "; ".join(done.stderr.splitlines()[:2]) or f"exit code {done.returncode}"
            do_without(f"npm ci did not install convex and typescript ({reason})")
        (folder / "package.json").write_text('{"type": "module"}')
        yield folder


@pytest.fixture
def folder(packages: Path) -> Iterator[Path]:
    """An empty folder from which the packages are found."""
    with tempfile.TemporaryDirectory(dir=packages) as name:
        yield Path(name)


def tool(packages: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the packages on files below them."""
    command = [str(packages / "node_modules" / ".bin" / name), *arguments]
    return subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=LIMIT, check=False)


def problems(packages: Path, path: Path, *options: str) -> str:
    """What the type checker says about a file; nothing if it is right."""
    done = tool(packages, "tsc", *OPTIONS, *options, *([] if "--outDir" in options else ["--noEmit"]), str(path))
    assert (done.returncode == 0) == (done.stdout == ""), done.stderr
    return done.stdout


def written(folder: Path, text: str) -> Path:
    path = folder / "auth.config.ts"
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


@pytest.mark.parametrize("case", CASES)
def test_file_type_checks_and_runs(case: str, packages: Path, folder: Path) -> None:
    """Convex' own types accept it, and what it exports is what `providers_config` returns, key by key."""
    arguments = {"project_id": PROJECT, **CASES[case]}
    path = written(folder, render_auth_config(**arguments))

    assert problems(packages, path, "--outDir", str(folder)) == ""
    script = 'const { default: config } = await import("./auth.config.js"); console.log(JSON.stringify(config));'
    command = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert list(found) == ["providers"]
    expected = providers_config(**arguments)
    assert [list(provider.items()) for provider in found["providers"]] == [list(one.items()) for one in expected]


@pytest.mark.parametrize("option", ["--verbatimModuleSyntax", "--exactOptionalPropertyTypes", "--erasableSyntaxOnly"])
def test_file_type_checks_under_stricter_options(option: str, packages: Path, folder: Path) -> None:
    """Projects that check the whole of their code may ask for more than Convex does."""
    path = written(folder, render_auth_config(PROJECT, include_restricted=True))

    assert problems(packages, path, option) == ""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('      algorithm: "ES256",\n', "", "algorithm"),
        ("ES256", "HS256", "HS256"),
        ("customJwt", "customJWT", "customJWT"),
        ("      jwks:", "      jwk:", "jwk"),
        ("applicationID: ", "applicationId: ", "applicationId"),
        ("} satisfies", "satisfies", "TS1005"),
    ],
)
def test_wrong_file_does_not_type_check(old: str, new: str, words: str, packages: Path, folder: Path) -> None:
    """The check can fail: one word in the first provider is enough."""
    text = render_auth_config(PROJECT)
    path = written(folder, text.replace(old, new, 1))

    assert old in text
    assert words in problems(packages, path)


@pytest.mark.parametrize("case", ["default", "restricted", "internal on loopback"])
def test_formatter_leaves_the_file_alone(case: str, packages: Path, folder: Path) -> None:
    """A project that formats its code with Prettier's defaults keeps the file that the command knows as its own."""
    path = written(folder, render_auth_config(**{"project_id": PROJECT, **CASES[case]}))
    assert tool(packages, "prettier", "--write", str(path)).returncode == 0

    assert path.read_text() == render_auth_config(**{"project_id": PROJECT, **CASES[case]})


def test_example_type_checks(packages: Path, folder: Path) -> None:
    """Both files of the example."""
    for path in sorted(EXAMPLE.glob("*.ts")):
        assert problems(packages, Path(shutil.copy(path, folder))) == ""


def test_packages_are_named_by_version_and_checksum_alone() -> None:
    """The lock file installs from whatever registry a machine has, and nothing that anybody changed."""
    locked = json.loads((DATA / "package-lock.json").read_text())["packages"]

    assert locked.pop("")["devDependencies"] == json.loads((DATA / "package.json").read_text())["devDependencies"]
    assert {"node_modules/convex", "node_modules/typescript"} <= set(locked)
    for package in locked.values():
        assert package["integrity"].startswith("sha512-")
        assert package.get("resolved", "https://registry.npmjs.org/").startswith("https://registry.npmjs.org/")
