"""Websockets: tokens in headers and in subprotocols, refusals before and after the handshake, on real servers too."""

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import websockets.sync.client
from fastapi import Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from hexclave_integrations import HexclaveConfig, starlette
from hexclave_integrations.errors import NotAuthenticated, RequestRefused, Unavailable
from hexclave_integrations.fastapi import CurrentUser, Hexclave, OptionalUser, require_permission, require_user
from hexclave_integrations.testing import Sandbox

from .test_asgi_servers import serving

PRIVATE = "private, no-store"
PREFIX = "hexclave.access-token."


@pytest.fixture
def sandbox() -> Sandbox:
    """A fresh project."""
    return Sandbox()


def show(websocket: WebSocket, user: Any) -> dict[str, Any]:
    """What a view sees of its caller and of the handshake."""
    return {
        "id": getattr(user, "id", None),
        "offered": websocket.scope["subprotocols"],
        "protocol header": websocket.headers.get("sec-websocket-protocol"),
    }


def fastapi_app(config: HexclaveConfig, chosen: str | None = None) -> Any:
    app = FastAPI()
    Hexclave(app, config)

    @app.websocket("/ws")
    async def view(websocket: WebSocket, user: CurrentUser) -> None:
        await websocket.accept(chosen)
        await websocket.send_json(show(websocket, user))
        await websocket.close()

    @app.websocket("/public")
    async def public(websocket: WebSocket) -> None:
        await websocket.accept(chosen)
        await websocket.send_json(show(websocket, None))
        await websocket.close()

    @app.websocket("/late")
    async def late(websocket: WebSocket) -> None:
        await websocket.accept(chosen)
        await websocket.send_json(show(websocket, await require_user(websocket)))
        await websocket.close()

    return app


def starlette_app(config: HexclaveConfig, chosen: str | None = None) -> Any:
    @starlette.require_user
    async def view(websocket: WebSocket) -> None:
        await websocket.accept(chosen)
        await websocket.send_json(show(websocket, websocket.user))
        await websocket.close()

    async def public(websocket: WebSocket) -> None:
        await websocket.accept(chosen)
        await websocket.send_json(show(websocket, None))
        await websocket.close()

    @starlette.require_user
    async def answer(websocket: WebSocket) -> None:
        await websocket.send_json(show(websocket, websocket.user))
        await websocket.close()

    async def late(websocket: WebSocket) -> None:
        await websocket.accept(chosen)
        await answer(websocket)

    return Starlette(
        routes=[WebSocketRoute("/ws", view), WebSocketRoute("/public", public), WebSocketRoute("/late", late)],
        middleware=[Middleware(starlette.HexclaveMiddleware, config=config)],
    )


class Endpoint(WebSocketEndpoint):
    """A class with a requirement on each of its methods."""

    encoding = "text"

    @starlette.require_user
    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept(self.scope.get("chosen"))
        await websocket.send_json(show(websocket, websocket.user))
        await websocket.close()


class LateEndpoint(WebSocketEndpoint):
    """A class that accepts everybody and asks with the first message."""

    encoding = "text"

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(show(websocket, None))

    @starlette.require_user
    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_json(show(websocket, websocket.user))
        await websocket.close()


def endpoint_app(config: HexclaveConfig) -> Any:
    return Starlette(
        routes=[WebSocketRoute("/ws", Endpoint), WebSocketRoute("/late", LateEndpoint)],
        middleware=[Middleware(starlette.HexclaveMiddleware, config=config)],
    )


def mounted_app(config: HexclaveConfig) -> Any:
    sub = Starlette(routes=[WebSocketRoute("/ws", Endpoint)])
    return Starlette(routes=[Mount("/", sub)], middleware=[Middleware(starlette.HexclaveMiddleware, config=config)])


APPS = [pytest.param(fastapi_app, id="fastapi"), pytest.param(starlette_app, id="starlette")]
ALL_APPS = [*APPS, pytest.param(endpoint_app, id="endpoint class"), pytest.param(mounted_app, id="mounted")]

Build = Callable[[HexclaveConfig], Any]


def greeting(app: Any, path: str = "/ws", **options: Any) -> tuple[Any, str | None]:
    """What the view says, and the selected subprotocol."""
    with TestClient(app) as client, client.websocket_connect(path, **options) as session:
        return session.receive_json(), session.accepted_subprotocol


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", ALL_APPS)
@pytest.mark.parametrize("name", ["x-stack-access-token", "x-hexclave-access-token", "authorization"])
def test_header_token(sandbox: Sandbox, build: Build, name: str) -> None:
    """Headers work as they do over http, and no subprotocol is selected that nobody asked for."""
    user = sandbox.create_user()
    value = ("Bearer " if name == "authorization" else "") + sandbox.token(user)
    expected: dict[str, Any] = {"id": user.id, "offered": [], "protocol header": None}
    assert (expected, None) == greeting(build(sandbox.config), headers={name: value})


@pytest.mark.parametrize("build", ALL_APPS)
@pytest.mark.parametrize(
    ("others", "selected"),
    [
        pytest.param(["hexclave"], "hexclave", id="hexclave"),
        pytest.param(["chat", "hexclave"], "hexclave", id="hexclave among others"),
        pytest.param(["chat"], None, id="without hexclave"),
        pytest.param([], None, id="token alone"),
    ],
)
def test_subprotocol_token(sandbox: Sandbox, build: Build, others: list[str], selected: str | None) -> None:
    """A token offered as subprotocol is the caller, is taken out of the application's sight, and never selected."""
    user = sandbox.create_user()
    expected = {"id": user.id, "offered": others, "protocol header": ", ".join(others) or None}
    token = PREFIX + sandbox.token(user)
    for offered in ([*others, token], [token, *others]):
        assert (expected, selected) == greeting(build(sandbox.config), subprotocols=offered)


@pytest.mark.parametrize("build", APPS)
@pytest.mark.parametrize("chosen", ["chat", "hexclave"])
def test_own_choice_of_subprotocol_is_kept(sandbox: Sandbox, build: Any, chosen: str) -> None:
    """What the application selects is selected."""
    offered = ["hexclave", "chat", PREFIX + sandbox.token(sandbox.create_user())]
    assert chosen == greeting(build(sandbox.config, chosen), subprotocols=offered)[1]


@pytest.mark.parametrize("build", APPS)
def test_public_route_with_a_subprotocol_token(sandbox: Sandbox, build: Build) -> None:
    """A route that asks nobody does not see the token either, and the browser gets its `hexclave`."""
    expected = {"id": None, "offered": ["hexclave"], "protocol header": "hexclave"}
    said = greeting(build(sandbox.config), "/public", subprotocols=["hexclave", PREFIX + "a.b.c"])
    assert (expected, "hexclave") == said


@pytest.mark.parametrize("build", APPS)
def test_hexclave_alone_is_the_applications_business(sandbox: Sandbox, build: Build) -> None:
    """Without a token in the offer nothing is selected for the application."""
    said = greeting(build(sandbox.config), "/public", subprotocols=["hexclave", "chat"])
    assert said == ({"id": None, "offered": ["hexclave", "chat"], "protocol header": "hexclave, chat"}, None)


@pytest.mark.parametrize("form", ["x-stack-access-token: ", "x-hexclave-access-token: ", "authorization: Bearer "])
@pytest.mark.parametrize("build", APPS)
def test_header_comes_before_subprotocol(sandbox: Sandbox, build: Build, form: str) -> None:
    """Where both are sent the header speaks, and the subprotocol is taken away all the same."""
    user, other = sandbox.create_user(), sandbox.create_user()
    name, _, value = (form + sandbox.token(user)).partition(": ")
    offered = ["hexclave", PREFIX + sandbox.token(other)]
    said, selected = greeting(build(sandbox.config), headers={name: value}, subprotocols=offered)
    assert ({"id": user.id, "offered": ["hexclave"], "protocol header": "hexclave"}, "hexclave") == (said, selected)


@pytest.mark.parametrize("header", ["authorization: Basic YTpi", "x-stack-access-token:  ", "x-api-key: x"])
@pytest.mark.parametrize("build", APPS)
def test_what_is_no_token_does_not_come_before_subprotocol(sandbox: Sandbox, build: Build, header: str) -> None:
    """A browser sends Basic credentials by itself."""
    user = sandbox.create_user()
    name, _, value = header.partition(": ")
    offered = ["hexclave", PREFIX + sandbox.token(user)]
    said, _ = greeting(build(sandbox.config), headers={name: value}, subprotocols=offered)
    assert said["id"] == user.id


@pytest.mark.parametrize("value", ["a.b.c", "Bearer a.b.c"])
@pytest.mark.parametrize("build", APPS)
def test_bad_header_comes_before_subprotocol(sandbox: Sandbox, build: Build, value: str) -> None:
    """A header that is refused is not made good by another credential."""
    offered = ["hexclave", PREFIX + sandbox.token(sandbox.create_user())]
    name = "authorization" if " " in value else "x-stack-access-token"
    with pytest.raises(WebSocketDenialResponse):
        greeting(build(sandbox.config), headers={name: value}, subprotocols=offered)


def cookies_of(sandbox: Sandbox, user: Any) -> dict[str, str]:
    """The header with the cookies of the SDK."""
    pair = f'["r1","{sandbox.token(user)}"]'.replace('"', "%22").replace(",", "%2C")
    return {"cookie": f"stack-refresh=r1; stack-access={pair}"}


@pytest.mark.parametrize("build", APPS)
def test_cookies_on_a_websocket(sandbox: Sandbox, build: Build) -> None:
    """Cookies sign in only where they were asked for, and a page of the same host opens the websocket."""
    user = sandbox.create_user()
    headers = {**cookies_of(sandbox, user), "origin": "https://testserver"}
    config = dataclasses.replace(sandbox.config, accept_cookies=True)
    assert user.id == greeting(build(config), headers=headers)[0]["id"]
    with pytest.raises(WebSocketDenialResponse):
        greeting(build(sandbox.config), headers=headers)


@pytest.mark.parametrize(
    "origin", [None, "null", "http://blog.testserver", "http://testserver:8001", "http://x@testserver", ""], ids=str
)
@pytest.mark.parametrize("build", APPS)
def test_cookies_on_a_websocket_of_another_page(sandbox: Sandbox, build: Build, origin: str | None) -> None:
    """A page of another origin, a sibling's too, cannot open a websocket with the user's cookies; nor can no page."""
    user = sandbox.create_user()
    headers = cookies_of(sandbox, user) | ({} if origin is None else {"origin": origin})
    app = build(dataclasses.replace(sandbox.config, accept_cookies=True))
    with pytest.raises(WebSocketDenialResponse) as refused:
        greeting(app, headers=headers)
    assert (refused.value.status_code, refused.value.json()["code"]) == (403, "CSRF_CHECK_FAILED")

    # What a page cannot send on its own still counts, from any origin.
    assert user.id == greeting(app, headers=headers | sandbox.headers(user))[0]["id"]
    offered = ["hexclave", PREFIX + sandbox.token(user)]
    assert user.id == greeting(app, headers=headers, subprotocols=offered)[0]["id"]


@pytest.mark.parametrize("name", ["origin", "host"])
@pytest.mark.parametrize("build", APPS)
def test_cookies_of_a_websocket_with_a_header_twice(sandbox: Sandbox, build: Build, name: str) -> None:
    """A second `Origin` or `Host` leaves open which page opens the websocket: the cookies do not count."""
    cookie = cookies_of(sandbox, sandbox.create_user())["cookie"].encode()
    app = build(dataclasses.replace(sandbox.config, accept_cookies=True))
    headers = [(b"host", b"testserver"), (b"origin", b"https://testserver"), (b"cookie", cookie)]
    again = (name.title().encode(), b"https://testserver" if name == "origin" else b"testserver")

    def accepts(headers: list[tuple[bytes, bytes]]) -> bool:
        scope = {**handshake([], denial=True), "headers": headers}
        return "websocket.accept" in {message["type"] for message in run(app, scope)}

    assert [accepts(headers), accepts([*headers, again])] == [True, False]


def test_optional_user(sandbox: Sandbox) -> None:
    """`OptionalUser` works on a websocket: None for nobody, a refusal for a bad token."""
    app = FastAPI()
    Hexclave(app, sandbox.config)

    @app.websocket("/ws")
    async def view(websocket: WebSocket, user: OptionalUser) -> None:
        await websocket.accept()
        await websocket.send_json(show(websocket, user))
        await websocket.close()

    user = sandbox.create_user("anonymous")
    assert greeting(app)[0]["id"] is None
    assert user.id == greeting(app, headers=sandbox.headers(user))[0]["id"]
    with pytest.raises(WebSocketDenialResponse):
        greeting(app, headers={"x-stack-access-token": "a.b.c"})


def test_team_from_the_route(sandbox: Sandbox) -> None:
    """A permission of the team in the path is asked for, as over http."""
    app = FastAPI()
    Hexclave(app, sandbox.config)

    @app.websocket("/{team_id}/ws", dependencies=[Depends(require_permission("{team_id}", "export_reports"))])
    async def view(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(show(websocket, None))
        await websocket.close()

    user, team, other = sandbox.create_user(), sandbox.create_team(), sandbox.create_team()
    sandbox.grant(user, "export_reports", team=team)
    assert greeting(app, f"/{team.id}/ws", headers=sandbox.headers(user))
    with pytest.raises(WebSocketDenialResponse) as refused:
        greeting(app, f"/{other.id}/ws", headers=sandbox.headers(user))
    assert refused.value.status_code == 403


# --- refusals ---------------------------------------------------------------------------------------------------------


def refused_offers(sandbox: Sandbox) -> dict[str, tuple[dict[str, Any], int, str]]:
    """What is refused, by name: the options of the handshake, and the answer."""
    alice, bob = sandbox.token(sandbox.create_user()), sandbox.token(sandbox.create_user())
    restricted = sandbox.token(sandbox.create_user("restricted"))
    return {
        "nobody": ({}, 401, "USER_AUTHENTICATION_REQUIRED"),
        "hexclave without token": ({"subprotocols": ["hexclave"]}, 401, "USER_AUTHENTICATION_REQUIRED"),
        "garbage": ({"subprotocols": ["hexclave", PREFIX + "a.b.c"]}, 401, "UNPARSABLE_ACCESS_TOKEN"),
        "empty": ({"subprotocols": ["hexclave", PREFIX]}, 401, "USER_AUTHENTICATION_REQUIRED"),
        "two users": ({"subprotocols": [PREFIX + alice, PREFIX + bob]}, 401, "UNPARSABLE_ACCESS_TOKEN"),
        "restricted": ({"subprotocols": ["hexclave", PREFIX + restricted]}, 403, "RESTRICTED_USER_NOT_ALLOWED"),
        "bad header": ({"headers": {"x-stack-access-token": "a.b.c"}}, 401, "UNPARSABLE_ACCESS_TOKEN"),
    }


NAMES = list(refused_offers(Sandbox()))


@pytest.mark.parametrize("build", ALL_APPS)
@pytest.mark.parametrize("name", NAMES)
def test_denial(sandbox: Sandbox, build: Build, name: str) -> None:
    """A server that can say why denies the handshake with the very answer http gets."""
    options, status, code = refused_offers(sandbox)[name]
    with pytest.raises(WebSocketDenialResponse) as refused:
        greeting(build(sandbox.config), **options)
    answer = refused.value
    assert (status, code) == (answer.status_code, answer.json()["code"])
    assert answer.headers["cache-control"] == PRIVATE
    assert "X-Stack-Access-Token" in answer.headers["vary"]
    assert status != 401 or answer.headers["www-authenticate"].startswith('Bearer realm="hexclave"')


def test_same_token_twice(sandbox: Sandbox) -> None:
    """Repeats of one token are one token."""
    user = sandbox.create_user()
    offered = [PREFIX + sandbox.token(user)] * 2
    app = fastapi_app(sandbox.config)
    sent = run(app, handshake(offered, path="/ws"))
    assert user.id == json.loads(sent[1]["text"])["id"]


@pytest.mark.parametrize("build", ALL_APPS)
def test_denial_in_an_outage(sandbox: Sandbox, build: Build) -> None:
    """Where the caller cannot be told the handshake is denied with 503, not 401."""
    with sandbox.outage(), pytest.raises(WebSocketDenialResponse) as refused:
        greeting(build(sandbox.config), headers=sandbox.headers(sandbox.create_user()))
    assert (refused.value.status_code, refused.value.json()["code"]) == (503, "HEXCLAVE_UNAVAILABLE")
    assert refused.value.headers["retry-after"].isdigit()


@pytest.mark.parametrize("build", [*APPS, pytest.param(endpoint_app, id="endpoint class")])
def test_refusal_after_the_handshake(sandbox: Sandbox, build: Build) -> None:
    """A connection that is open can only be closed: policy violation, with the code as reason."""
    with TestClient(build(sandbox.config)) as client, client.websocket_connect("/late") as session:
        if build is endpoint_app:
            session.receive_json()
            session.send_text("who am I?")
        with pytest.raises(WebSocketDisconnect) as closed:
            session.receive_json()
    assert (closed.value.code, closed.value.reason) == (1008, "USER_AUTHENTICATION_REQUIRED")


# --- raw ASGI ---------------------------------------------------------------------------------------------------------


def handshake(offered: list[str], *, path: str = "/ws", token: str | None = None, denial: bool = False) -> Scope:
    """The scope of a handshake, as servers make it."""
    headers = [(b"host", b"test"), (b"sec-websocket-protocol", ", ".join(offered).encode())] if offered else []
    if token is not None:
        headers.append((b"x-stack-access-token", token.encode()))
    return {
        "type": "websocket",
        "path": path,
        "query_string": b"",
        "headers": headers,
        "subprotocols": offered,
        "extensions": {"websocket.http.response": {}} if denial else None,
        "state": {},
    }


def run(app: Callable[[Scope, Receive, Send], Awaitable[None]], scope: Scope) -> list[Message]:
    """What an application sends on a websocket whose client connects and says nothing."""
    sent: list[Message] = []
    pending: list[Message] = [{"type": "websocket.connect"}]

    async def receive() -> Message:
        return pending.pop() if pending else {"type": "websocket.disconnect", "code": 1005}

    async def send(message: Message) -> None:
        sent.append(message)

    async def connection() -> None:
        await app(scope, receive, send)

    asyncio.run(connection())
    return sent


@pytest.mark.parametrize("build", ALL_APPS)
def test_close_where_the_server_cannot_deny(sandbox: Sandbox, build: Build) -> None:
    """Without the extension the handshake is closed: 1008, and 1013 for an outage."""
    [closed] = run(build(sandbox.config), handshake([]))
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    assert closed["reason"] == "USER_AUTHENTICATION_REQUIRED"
    with sandbox.outage():
        [closed] = run(build(sandbox.config), handshake([], token=sandbox.token(sandbox.create_user())))
    assert (closed["type"], closed["code"], closed["reason"]) == ("websocket.close", 1013, "HEXCLAVE_UNAVAILABLE")


@pytest.mark.parametrize("error", [NotAuthenticated(), Unavailable()], ids=["401", "503"])
@pytest.mark.parametrize("denial", [True, False], ids=["denial", "close"])
def test_refusal_of_a_plain_application(sandbox: Sandbox, error: RequestRefused, denial: bool) -> None:
    """A plain ASGI application may raise a refusal during the handshake."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    sent = run(starlette.HexclaveMiddleware(app, sandbox.config), handshake([], denial=denial))
    if denial:
        assert (error.status, error.body()) == (sent[0]["status"], sent[1]["body"])
    else:
        expected = 1013 if isinstance(error, Unavailable) else 1008
        assert [(expected, error.code)] == [(message["code"], message["reason"]) for message in sent]


def test_token_is_out_of_sight_of_a_plain_application(sandbox: Sandbox) -> None:
    """The token appears in no part of the scope but as the credentials it is."""
    token = sandbox.token(sandbox.create_user())
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        accept = {"type": "websocket.accept"}
        await send(accept)
        assert accept == {"type": "websocket.accept"}

    sent = run(starlette.HexclaveMiddleware(app, sandbox.config), handshake(["chat", "hexclave", PREFIX + token]))
    assert sent == [{"type": "websocket.accept", "subprotocol": "hexclave"}]
    assert seen[0]["subprotocols"] == ["chat", "hexclave"]
    headers = [(name, value) for name, value in seen[0]["headers"] if token.encode() in value]
    assert [(b"x-stack-access-token", token.encode())] == headers
    assert (b"sec-websocket-protocol", b"chat, hexclave") in seen[0]["headers"]


# --- real servers -----------------------------------------------------------------------------------------------------

SERVERS = ["websockets-sansio", "wsproto"]


def connect(port: int, path: str = "/ws", *, offered: list[str] | None = None, headers: Any = None) -> Any:
    """A client's connection."""
    return websockets.sync.client.connect(
        f"ws://127.0.0.1:{port}{path}",
        subprotocols=[Subprotocol(name) for name in offered] if offered else None,
        additional_headers=headers,
        proxy=None,
    )


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("build", APPS)
def test_real_server(sandbox: Sandbox, build: Build, server: str, caplog: pytest.LogCaptureFixture) -> None:
    """Tokens in both places, denials, a late close and an outage look to a real client as they should."""
    if server == "wsproto":
        pytest.importorskip("wsproto")
    caplog.set_level("INFO")
    user = sandbox.create_user()
    token = sandbox.token(user)
    with serving(build(sandbox.config), ws=server, log_level="info") as port:
        with connect(port, headers=sandbox.headers(user)) as connection:
            assert (user.id, None) == (json.loads(connection.recv())["id"], connection.subprotocol)
        with connect(port, offered=["hexclave", PREFIX + token]) as connection:
            said = json.loads(connection.recv())
            assert (user.id, ["hexclave"], "hexclave") == (said["id"], said["offered"], connection.subprotocol)
        for options, status, code in refused_offers(sandbox).values():
            with pytest.raises(InvalidStatus) as denied:
                connect(port, offered=options.get("subprotocols"), headers=options.get("headers"))
            answer = denied.value.response
            assert (status, code) == (answer.status_code, json.loads(answer.body or b"{}")["code"])
            assert answer.headers["cache-control"] == PRIVATE
        with connect(port, "/late") as connection, pytest.raises(ConnectionClosed) as closed:
            connection.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "USER_AUTHENTICATION_REQUIRED")
    assert "WebSocket /ws" in caplog.text
    assert "Traceback" not in caplog.text
    assert token.split(".")[1] not in caplog.text


@pytest.mark.parametrize("server", SERVERS)
def test_real_server_and_a_late_refusal_of_an_endpoint_class(
    sandbox: Sandbox, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An endpoint class that refuses a message closes the open connection in order."""
    if server == "wsproto":
        pytest.importorskip("wsproto")
    with serving(endpoint_app(sandbox.config), ws=server) as port, connect(port, "/late") as connection:
        connection.recv()
        connection.send("who am I?")
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("offered", [[], ["hexclave", f"{PREFIX}garbage"], ["chat", f"{PREFIX}garbage"]], ids=str)
def test_real_server_and_codes_that_a_page_can_read(
    sandbox: Sandbox, server: str, offered: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """With `websocket_close_codes` the handshake succeeds, with an offered subprotocol, and the code arrives."""
    if server == "wsproto":
        pytest.importorskip("wsproto")
    app = FastAPI()
    Hexclave(app, sandbox.config, websocket_close_codes=True)

    @app.websocket("/ws")
    async def view(websocket: WebSocket, user: CurrentUser) -> None:
        raise AssertionError

    with serving(app, ws=server) as port, connect(port, offered=offered) as connection:
        assert connection.subprotocol == (offered[0] if offered else None)
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv()
    expected = "UNPARSABLE_ACCESS_TOKEN" if offered else "USER_AUTHENTICATION_REQUIRED"
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, expected)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("text", ["null", "undefined", ""])
def test_the_subprotocol_of_a_missing_token_is_nobody(sandbox: Sandbox, text: str) -> None:
    """A page that has no token offers its text: nobody where a user is optional, and a header after it counts."""
    app = FastAPI()
    Hexclave(app, sandbox.config)

    @app.websocket("/optional")
    async def optional(websocket: WebSocket, user: OptionalUser) -> None:
        await websocket.accept()
        await websocket.send_json(None if user is None else user.id)
        await websocket.close()

    @app.websocket("/ws")
    async def view(websocket: WebSocket, user: CurrentUser) -> None:
        raise AssertionError

    user = sandbox.create_user()
    kinds: list[tuple[dict[str, str], Any]] = [
        ({}, None),
        ({"authorization": f"Bearer {sandbox.token(user)}"}, user.id),
    ]
    for headers, said in kinds:
        assert greeting(app, "/optional", subprotocols=["hexclave", PREFIX + text], headers=headers) == (
            said,
            "hexclave",
        )
        # A header with such a text does not come before the subprotocol either.
        offered = ["hexclave", PREFIX + sandbox.token(user)]
        nulls = {"x-stack-access-token": text, "authorization": f"Bearer {text}".strip()}
        assert greeting(app, "/optional", subprotocols=offered, headers=nulls) == (user.id, "hexclave")
    [closed] = run(app, handshake([], token=text))
    assert closed["reason"] == "USER_AUTHENTICATION_REQUIRED"
