"""The package seen from outside: names, what importing costs, and which module may know which."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hexclave_integrations

from ._adapters import SHARED, SOURCE, adapters, frameworks

ADAPTERS = adapters() | SHARED
FRAMEWORKS = frameworks() | {"asgiref", "opentelemetry", "pydantic", "pytest", "quart", "redis", "sentry_sdk"}
FRAMEWORKS |= {"sqlalchemy", "werkzeug"}
HEAVY = {"cryptography", "httpx", "jwt", "pydantic", "pydantic_core", "standardwebhooks", "cachetools", "asyncio"}
PATHS = sorted(SOURCE.rglob("*.py"))


def module_name(path: Path) -> str:
    """The name below the package, with dots; empty for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> dict[str, bool]:
    """What a file imports, wherever it stands, and whether that runs: ours with a leading dot, others by top name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module_name(path).split(".") if path.stem == "__init__" else module_name(path).split(".")[:-1]
    only_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found: dict[str, bool] = {}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [(node.module or "").partition(".")[0]]
        elif isinstance(node, ast.ImportFrom):
            base = [part for part in package[: len(package) - node.level + 1] if part]
            base += (node.module or "").split(".") if node.module else []
            inner = ".".join(base)
            names = ["." + inner] if node.module else []
            names += [f".{inner}.{alias.name}".replace("..", ".") for alias in node.names if not node.module]
        for name in names:
            found[name] = found.get(name, False) or node not in only_types
    return found


def adapter_of(name: str) -> str | None:
    first = name.lstrip(".").partition(".")[0]
    return first if first in ADAPTERS else None


def foreign_of(folder: str) -> set[str]:
    """The packages from elsewhere that a folder imports."""
    return {one for path in PATHS if folder in path.parts for one in imports(path) if not one.startswith(".")}


def run(code: str) -> list[str]:
    """Run code in a fresh, isolated interpreter that knows the package's source; its output, split."""
    script = f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); {code}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
    command = [sys.executable, "-Ic", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def loaded_by(statement: str) -> set[str]:
    """The modules, by name, that a statement adds to those of a bare interpreter."""
    return set(run(f"before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"))


# --- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [pytest.param(path, id=module_name(path) or "package") for path in PATHS])
def test_exports_are_sorted_and_exist(path: Path) -> None:
    """`__all__` is sorted, without repeats, and every name in it is there."""
    text = path.read_text(encoding="utf-8")
    exports = re.search(r"^__all__ = (\[.*?\])", text, re.DOTALL | re.MULTILINE)
    if exports is None:
        assert "__all__" not in text
        assert path.name == "__init__.py" or path.stem.startswith("_") or "django" in path.parts
        return
    names = ast.literal_eval(exports[1])
    constants = [name for name in names if name.isupper()]
    classes = [name for name in names if not name.isupper() and name[:1].isupper()]
    rest = [name for name in names if name not in constants and name not in classes]
    assert sorted(constants) + sorted(classes) + sorted(rest) == names
    assert len(set(names)) == len(names)
    if adapter_of(module_name(path)) == "django":
        return  # Django's modules need configured settings
    module = importlib.import_module(f"hexclave_integrations.{module_name(path)}".rstrip("."))
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize(
    "name", ["api_key", "cli_login", "client", "config", "errors", "records", "requirements", "user"]
)
def test_public_modules_export_all_that_they_define(name: str) -> None:
    """A class or function without an underscore is meant to be used, and says so."""
    module = importlib.import_module(f"hexclave_integrations.{name}")
    files = [path for path in PATHS if module_name(path) == name or module_name(path).startswith(f"{name}.")]
    defined = {
        node.name
        for path in files
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    }

    assert set() == defined - set(module.__all__)


def test_package_exports_every_error() -> None:
    """Whoever catches errors imports them from one place."""
    from hexclave_integrations import errors

    assert set() == set(errors.__all__) - set(hexclave_integrations.__all__)
    for name in hexclave_integrations.__all__:
        assert getattr(hexclave_integrations, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    """Names are loaded when first used; those that do not exist never are."""
    for name in ("client_", "HexclaveSession", "_flow", "webhook"):
        with pytest.raises(AttributeError, match=name):
            getattr(hexclave_integrations, name)


def test_documented_names_are_there() -> None:
    """The surface that applications depend on."""
    names = {"HexclaveConfig", "HexclaveClient", "AsyncHexclaveClient", "HexclaveUser", "SELECTED_TEAM"}
    assert names | {"HexclaveError", "ConfigurationError"} <= set(hexclave_integrations.__all__)
    requirements = {"require_user", "optional_user", "require_permission", "require_project_permission"}
    requirements |= {"require_team", "require_api_key"}
    for adapter in adapters() - {"django"}:  # whose modules need configured settings
        module = importlib.import_module(f"hexclave_integrations.{adapter}")
        assert requirements <= set(module.__all__)


def test_version_is_that_of_the_distribution() -> None:
    """One number, in the package and in its metadata."""
    assert re.fullmatch(r"\d+\.\d+\.\d+([ab]\d+|rc\d+)?(\.dev\d+)?", hexclave_integrations.__version__)
    try:
        installed = importlib.metadata.version("hexclave-integrations")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed")
    assert hexclave_integrations.__version__ == installed


def test_package_is_typed() -> None:
    """Type checkers look for the marker (PEP 561)."""
    assert (SOURCE / "py.typed").is_file()


# --- what importing costs -------------------------------------------------------------------------------------


def test_importing_the_package_loads_next_to_nothing() -> None:
    """No framework, no HTTP, no cryptography, and of ourselves the version alone."""
    loaded = loaded_by("import hexclave_integrations")

    assert {"hexclave_integrations", "hexclave_integrations._version"} == {
        name for name in loaded if name.startswith("hexclave_integrations")
    }
    assert set() == {name.partition(".")[0] for name in loaded} & (FRAMEWORKS | HEAVY)


def test_importing_everything_loads_no_framework_and_no_http() -> None:
    """The clients need cryptography; HTTP is loaded with the first request, JWT libraries never."""
    loaded = loaded_by("from hexclave_integrations import *")

    assert set() == {name.partition(".")[0] for name in loaded} & (FRAMEWORKS | {"httpx", "jwt", "standardwebhooks"})


def test_pytest_plugin_is_light_and_opens_no_socket() -> None:
    """pytest loads it in every project that has the package installed."""
    code = (
        "import pytest; sys.addaudithook(lambda event, args: event.startswith('socket.') and print('AUDIT', event));"
        "before = set(sys.modules); import hexclave_integrations._tools.pytest_plugin;"
        "print(*(set(sys.modules) - before))"
    )
    loaded = set(run(code))

    assert "AUDIT" not in loaded
    assert set() == {name.partition(".")[0] for name in loaded} & (FRAMEWORKS | HEAVY)
    assert {
        "hexclave_integrations",
        "hexclave_integrations._version",
        "hexclave_integrations._tools",
        "hexclave_integrations._tools.pytest_plugin",
    } == loaded


def test_console_is_light() -> None:
    """A command imports what it needs when it runs: asking for help, or another command, costs none of it."""
    loaded = loaded_by("import hexclave_integrations._tools.console")

    assert set() == {name.partition(".")[0] for name in loaded} & (FRAMEWORKS | HEAVY)
    assert not any(name.startswith("hexclave_integrations.testing") for name in loaded)


# --- who may know whom ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [pytest.param(path, id=module_name(path) or "package") for path in PATHS])
def test_module_keeps_to_its_layer(path: Path) -> None:
    """Frameworks stay in their adapters, HTTP in the drivers and the sandbox, and no adapter knows another."""
    name = module_name(path)
    found = imports(path)
    foreign = {one for one in found if not one.startswith(".")}
    ours = {one for one, runs in found.items() if one.startswith(".") and runs}
    adapter = adapter_of(name)

    if adapter is None:
        allowed = {"_base.guards": {"pydantic_core"}, "_tools.pytest_plugin": {"pytest"}, "_memory.redis": {"redis"}}
        allowed["telemetry._opentelemetry"] = {"opentelemetry"}
        assert set() == (foreign & (FRAMEWORKS | {"pydantic_core"})) - allowed.get(name, set())
        # `hexclave routes` has the adapter of the application list its routes, and asks it for nothing else.
        lists = {one for one in ours if one.endswith("listing")} if name == "_tools.routes" else set()
        assert set() == {one for one in ours if adapter_of(one)} - lists
    else:
        # Who installs Starlette may use what is shared over it.
        allowed_adapters = {adapter} | (SHARED if foreign_of(adapter) & {"fastapi", "starlette"} else set())
        assert {adapter_of(one) for one in ours} - {None} <= allowed_adapters
        assert not foreign & {"httpx", "jwt", "cryptography"}
    if "httpx" in foreign:
        assert name.startswith(("_drivers.", "testing"))
    if "jwt" in foreign:
        assert name.startswith(("testing", "supabase"))
    # The plugin and the command hand a sandbox out; nothing that judges may know one.
    if not name.startswith("testing") and name not in ("_tools.pytest_plugin", "_tools.sandbox"):
        assert not any(one.startswith(".testing") for one in ours)


# The folders and top-level modules of the package, lowest first: each imports only what stands before it, and within
# a line of several names, only names to the left.
LAYERS = [
    *("_version", "_reasons", "errors", "_base", "telemetry", "records", "config", "user", "api_key"),
    *("_factories", "requirements"),
    *("_token", "_wire", "_memory", "_policy"),
    *("_drivers", "server", "_async_client", "client", "cli_login"),
    *("stores", "sentry", "webhooks", "supabase", "convex"),
    *("_adapter", "_asgi"),
    *sorted(adapters()),
    *("testing", "_tools", "__main__"),
]
RANK = {name: number for number, name in enumerate(LAYERS)}


def layer_of(name: str) -> str:
    return name.lstrip(".").partition(".")[0]


def test_every_part_has_its_layer() -> None:
    """A new folder or module has to be placed before it can import anything."""
    parts = {layer_of(module_name(path)) for path in PATHS} - {""}

    assert set(LAYERS) == parts


def test_contributors_see_every_part_in_its_place() -> None:
    """The drawing in CONTRIBUTING.md names each folder and module once, and none stands above what imports it."""
    text = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawing = text.partition("## How the house is laid out")[2].split("```")[1]
    columns = drawing[1:].index("the console command")  # where the descriptions begin
    rows: list[list[str]] = [[]]
    for line in drawing.splitlines():
        if "\u2502" in line:
            rows.append([])
        else:
            rows[-1] += re.findall(r"\w+", line[:columns])

    assert sorted(name for row in rows for name in row) == sorted(LAYERS)
    for above, below in itertools.pairwise(rows):
        assert min(RANK[name] for name in above) > max(RANK[name] for name in below), (above, below)


@pytest.mark.parametrize("layer", LAYERS)
def test_dependencies_point_one_way(layer: str) -> None:
    """Errors and configuration at the bottom, pure modules above, then flows, drivers, clients, adapters."""
    later = {
        (module_name(path), one)
        for path in PATHS
        if layer_of(module_name(path)) == layer
        for one, runs in imports(path).items()
        if runs and one.startswith(".") and layer_of(one) != layer and layer_of(one) in RANK
        if RANK[layer_of(one)] > RANK[layer]
    }

    assert set() == later


def in_layers(*layers: str) -> list[Path]:
    return [path for path in PATHS if layer_of(module_name(path)) in layers]


def test_flows_and_drivers_do_not_know_each_other() -> None:
    """A flow has no colour, a driver no policy: they meet in the effects."""
    assert [path for path in in_layers("_policy") if any("_drivers" in one for one in imports(path))] == []
    decided = {"._policy.flows", "._policy.key_flows", "._policy.questions", "._token.keys", "._token.verify"}
    for path in in_layers("_drivers"):
        assert decided.isdisjoint(imports(path)), path


def test_pure_modules_do_no_input_or_output() -> None:
    """No socket, thread, event loop or clock where decisions are made; who keeps a lock says so here."""
    locks = {"_token.verify"}
    for path in in_layers(
        "errors", "records", "user", "api_key", "requirements", "_token", "_wire", "_policy", "server"
    ):
        if module_name(path) not in locks:
            assert set() == set(imports(path)) & {"asyncio", "socket", "threading", "time", "ssl"}, path
