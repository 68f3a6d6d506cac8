"""FastAPI: every way to spell a caller in a route is refused at the start, or asks who the caller is."""

import asyncio
import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from hexclave_integrations import ConfigurationError
from hexclave_integrations.fastapi import Hexclave
from hexclave_integrations.testing import Sandbox

OURS = """\
from hexclave_integrations import HexclaveUser
from hexclave_integrations.fastapi import CurrentUser, OptionalUser
from typing import Annotated, Optional
from typing_extensions import TypeAliasType
Mine = CurrentUser
Declared = TypeAliasType("Declared", CurrentUser)
MaybeMine = CurrentUser | None"""

HEAD = """\
from typing import TYPE_CHECKING
from fastapi import APIRouter, Depends, WebSocket
from hexclave_integrations.fastapi import require_user

def who(user):
    return getattr(user, "id", user)
"""

# How the names of the annotations come into the module, and into the function that makes the routes.
IMPORTS = {
    "at run time": (OURS, "pass"),
    "for type checkers": ("if TYPE_CHECKING:\n" + "\n".join(f"    {line}" for line in OURS.splitlines()), "pass"),
    "in a factory": ("", OURS),
}

ANNOTATIONS = [
    "CurrentUser",
    '"CurrentUser"',
    "CurrentUser | None",
    '"CurrentUser | None"',
    "Optional[CurrentUser]",
    'Optional["CurrentUser"]',
    "list[CurrentUser]",
    "Annotated[HexclaveUser, Depends(require_user)]",
    'Annotated["HexclaveUser", Depends(require_user)]',
    "Annotated[HexclaveUser | None, Depends(require_user)]",
    "Mine",
    '"Mine"',
    "MaybeMine",
    "Declared",
    "Declared | None",
    "HexclaveUser",
    '"HexclaveUser"',
    "HexclaveUser | None",
    "OptionalUser",
    '"OptionalUser"',
]
DEFAULTS = ["", " = None", " = Depends(require_user)"]
# In place of an annotation.
BARE = [
    'user: CurrentUser = "x"',
    'user: CurrentUser | None = "x"',
    "user = CurrentUser",
    "user = OptionalUser",
    "user = Mine",
    "user = MaybeMine",
    "user = Declared",
    "user = HexclaveUser",
    "user = require_user",
    "user = require_user.live",
    "user = Depends(require_user)",
]
SPELLINGS = [*(f"user: {one}{other}" for one, other in itertools.product(ANNOTATIONS, DEFAULTS)), *BARE]

GET = "@app.get('/x')\nasync def view(user=Depends({})):\n    return who(user)"
POSITIONS = {
    "endpoint": "@app.get('/x')\nasync def view({user}):\n    return who(user)",
    "sync endpoint": "@app.get('/x')\ndef view(*, dry_run: bool = False, {user}):\n    return who(user)",
    "dependency": "async def guard({user}):\n    return user\n" + GET.format("guard"),
    "sub-dependency": (
        "def inner({user}):\n    return user\nasync def guard(user=Depends(inner)):\n    yield user\n"
        + GET.format("guard")
    ),
    "class": ("class Page:\n    def __init__(self, {user}):\n        self.id = who(user)\n" + GET.format("Page")),
    "object": ("class Guard:\n    async def __call__(self, {user}):\n        return user\n" + GET.format("Guard()")),
    "router": (
        "async def guard({user}):\n    return user\n"
        "router = APIRouter(dependencies=[Depends(guard)])\n"
        "@router.get('/x')\nasync def view():\n    return None\n"
        "app.include_router(router)"
    ),
    "websocket": (
        "@app.websocket('/ws')\nasync def view(websocket: WebSocket, {user}):\n"
        "    await websocket.accept()\n    await websocket.send_json(who(user))\n    await websocket.close()"
    ),
}


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    """One project for all spellings."""
    return Sandbox()


def indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def module_of(folder: Path, *, imports: str, position: str, is_future: bool) -> Any:
    """A module with one function `build_N(app)` for each spelling."""
    at_top, in_function = IMPORTS[imports]
    text = ["from __future__ import annotations"] * is_future + [HEAD, at_top]
    for number, spelling in enumerate(SPELLINGS):
        body = POSITIONS[position].replace("{user}", spelling)
        text.append(f"def build_{number}(app):\n{indented(in_function)}\n{indented(body)}")
    path = folder / "routes.py"
    path.write_text("\n".join(text))
    spec = importlib.util.spec_from_file_location("routes_of_a_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def ask(app: FastAPI, kind: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """The status and body of an answer, 200 for an accepted websocket."""
    sent: list[Any] = []
    first = {"type": "http.request", "body": b""} if kind == "http" else {"type": "websocket.connect"}
    received = iter([first])

    async def receive() -> Any:
        return next(received, {"type": "http.disconnect" if kind == "http" else "websocket.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    await app(
        {
            "type": kind,
            "method": "GET",
            "path": "/x" if kind == "http" else "/ws",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "extensions": {"websocket.http.response": {}},
            "subprotocols": [],
        },
        receive,
        send,
    )
    if sent[0]["type"] == "websocket.accept":
        return 200, sent[1]["text"].encode()
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def outcome(build: Any, sandbox: Sandbox, alice: Any, kind: str) -> tuple[Any, Any] | str:
    """What a stranger and Alice get, or that the application does not come to be or start."""
    app = FastAPI(openapi_url=None)
    Hexclave(app, sandbox.config)
    try:
        build(app)
    except Exception:  # noqa: BLE001  # Python or FastAPI refuses it: the application cannot be imported
        return "not written"
    try:
        return await ask(app, kind, {}), await ask(app, kind, sandbox.headers(alice))
    except ConfigurationError as error:
        return "refused" if "Depends" in str(error) else "refused without saying what to write"


def cases() -> Iterator[Any]:
    for imports, is_future, position in itertools.product(IMPORTS, (False, True), POSITIONS):
        name = f"{position}, {imports}{', from the future' * is_future}"
        yield pytest.param(imports, is_future, position, id=name)


@pytest.mark.parametrize(("imports", "is_future", "position"), list(cases()))
def test_a_caller_is_asked_for_or_the_start_refused(
    sandbox: Sandbox, tmp_path: Path, imports: str, is_future: bool, position: str
) -> None:
    """However a user is imported, annotated and defaulted: refused at start, or 401 for a stranger, 200 for Alice."""
    module = module_of(tmp_path, imports=imports, position=position, is_future=is_future)
    alice = sandbox.create_user()
    kind = "websocket" if position == "websocket" else "http"
    her = (200, b"null" if position == "router" else f'"{alice.id}"'.encode())

    async def all_outcomes() -> dict[str, Any]:
        return {
            spelling: await outcome(getattr(module, f"build_{number}"), sandbox, alice, kind)
            for number, spelling in enumerate(SPELLINGS)
        }

    found = asyncio.run(all_outcomes())
    for spelling, outcomes in found.items():
        if isinstance(outcomes, str):
            assert (spelling, outcomes) in [(spelling, "not written"), (spelling, "refused")]
            continue
        (status, body), hers = outcomes
        assert (spelling, hers) == (spelling, her)
        if "OptionalUser" in spelling and "Depends" not in spelling:
            assert (spelling, status, body) == (spelling, 200, b"null")
        else:
            assert (spelling, status) == (spelling, 401)
    works = {spelling for spelling, outcomes in found.items() if not isinstance(outcomes, str)}
    assert {"user = Depends(require_user)"} <= works
    if imports == "at run time" and not (is_future and position in ("class", "object")):  # old versions of FastAPI
        assert {"user: CurrentUser", "user: Mine", "user: OptionalUser"} <= works
