"""What is spent where a framework itself stands between guard and handler, or answers in pieces."""

from collections.abc import Iterator
from typing import Annotated, Any, cast

import flask as flask_framework
import pytest

from ._django import World as DjangoWorld
from ._django import ask

# isort: split
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.test import RequestFactory
from django.urls import path
from fastapi import BackgroundTasks, Body, Depends, FastAPI, HTTPException, WebSocket
from fastapi.responses import StreamingResponse
from litestar import Litestar, Response, post, websocket
from litestar import WebSocket as LitestarSocket
from litestar.exceptions import NotFoundException
from litestar.params import JSONBody
from ninja import NinjaAPI, Schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response as RestResponse
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute

from hexclave_integrations import HexclaveUser, RequestRefused, django, fastapi, flask, litestar, starlette
from hexclave_integrations.django.drf import HexclaveAuthentication, HexclavePermission
from hexclave_integrations.django.ninja import HexclaveAuth

from ..contract.driving import AsgiServer, Server, WsgiServer

BALANCE = 5


class HandlerFailed(Exception):
    """What handlers of these tests fail with."""


class World(DjangoWorld):
    """Alice, with some credits."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox.define_item("credits")
        self.sandbox.items.set("credits", self.alice, BALANCE)

    @property
    def spent(self) -> float:
        return BALANCE - self.sandbox.items.get("credits", self.alice)

    def status(self, server: Server, url: str, method: str = "GET", body: bytes = b"", **headers: str) -> int:
        """The status of an answer to Alice; 500 where an exception reaches the server."""
        headers = {**self.headers(self.alice), "content-type": "application/json", **headers}
        try:
            return server.send(method, url, headers, [body]).status
        except HandlerFailed:
            return 500


@pytest.fixture
def world() -> World:
    return World()


# --- FastAPI --------------------------------------------------------------------------------------------------


@pytest.fixture
def fastapi_server(world: World) -> Iterator[AsgiServer]:
    app = FastAPI()
    fastapi.Hexclave(app, world.sandbox.config)
    spend = fastapi.require_item("credits", 1, spend=True)
    paying = Annotated[HexclaveUser, Depends(spend)]

    @app.post("/body")
    async def body(user: paying, number: Annotated[int, Body()]) -> dict[str, Any]:
        return {"id": user.id, "number": number}

    @app.post("/several", dependencies=[Depends(spend)])
    async def several(user: paying) -> None:
        raise HTTPException(404)

    @app.get("/pieces")
    async def pieces(user: paying) -> StreamingResponse:
        async def stream() -> Any:
            yield b"one"
            raise HandlerFailed

        return StreamingResponse(stream())

    @app.get("/later")
    async def later(user: paying, tasks: BackgroundTasks) -> dict[str, float]:
        def fail() -> None:
            seen.append(world.spent)
            raise HandlerFailed

        tasks.add_task(fail)
        return {}

    @app.get("/failed-later")
    async def failed_later(user: paying) -> JSONResponse:
        return JSONResponse({}, 503, background=BackgroundTask(lambda: seen.append(world.spent)))

    @app.websocket("/ws")
    async def talk(websocket: WebSocket, user: paying, number: int) -> None:
        await websocket.accept()
        await websocket.close()

    seen: list[float] = []
    with AsgiServer(app) as server:
        server.seen = seen  # type: ignore[attr-defined]  # for the tests
        yield server


def test_fastapi_validates_after_its_dependencies(world: World, fastapi_server: AsgiServer) -> None:
    """A body that the endpoint does not take costs nothing; the next one does."""
    assert [world.status(fastapi_server, "/body", "POST", body) for body in (b'"x"', b"{", b"", b"7")] == [
        422,
        422,
        422,
        200,
    ]
    assert world.spent == 1


def test_fastapi_resolves_an_equal_dependency_once(world: World, fastapi_server: AsgiServer) -> None:
    """And its endpoint's own 404 has been paid for."""
    assert world.status(fastapi_server, "/several", "POST") == 404
    assert world.spent == 1


def test_the_status_of_a_stream_counts(world: World, fastapi_server: AsgiServer) -> None:
    """What fails in the middle of it has begun to be served."""
    with pytest.raises(HandlerFailed):
        fastapi_server.send("GET", "/pieces", world.headers(world.alice))
    assert world.spent == 1


def test_background_work_does_not_matter(world: World, fastapi_server: AsgiServer) -> None:
    """It begins after the answer has been settled, either way."""
    assert [world.status(fastapi_server, url) for url in ("/later", "/failed-later")] == [500, 503]
    assert (world.spent, fastapi_server.seen) == (1, [1, 1])  # type: ignore[attr-defined]  # of the fixture


def test_a_websocket_that_fastapi_refuses_costs_nothing(world: World, fastapi_server: AsgiServer) -> None:
    """Its query is read after its dependencies."""
    assert [message["type"] for message in fastapi_server.connect("/ws", world.headers(world.alice))] == [
        "websocket.close"
    ]
    assert world.spent == 0


def test_fastapi_starts_with_it_in_every_place(world: World) -> None:
    """A router's, a dependency's own, and with a team from the path."""
    app = FastAPI(dependencies=[Depends(fastapi.require_item("credits", 1, spend=True))])
    fastapi.Hexclave(app, world.sandbox.config)

    def paid(user: Annotated[HexclaveUser, Depends(fastapi.require_product("pro", "{team_id}"))]) -> HexclaveUser:
        return user

    @app.get("/teams/{team_id}")
    async def team(team_id: str, user: Annotated[HexclaveUser, Depends(paid)]) -> None: ...

    with AsgiServer(app) as server:
        assert world.status(server, f"/teams/{world.team.id}") == 402
    assert world.spent == 0, "the product is missing: the endpoint did not run"


def test_fastapi_describes_what_has_to_be_paid_for(world: World) -> None:
    """402 in the OpenAPI description of those routes alone, and the scheme of everybody's token."""
    app = FastAPI()
    fastapi.Hexclave(app, world.sandbox.config)
    requirements = {
        "/item": fastapi.require_item("credits", 1, spend=True),
        "/product": fastapi.require_product("pro").allow(api_key=True),
        "/user": fastapi.require_user,
    }
    for url, requirement in requirements.items():
        app.get(url, dependencies=[Depends(requirement)])(lambda: None)
    schema = app.openapi()
    described = {url: "402" in route["get"]["responses"] for url, route in schema["paths"].items()}
    names = ["Hexclave access token", "Hexclave API key"]

    assert described == {"/item": True, "/product": True, "/user": False}
    assert set(schema["components"]["securitySchemes"]) == set(names)
    assert schema["paths"]["/item"]["get"]["security"] == [{names[0]: []}]
    assert schema["paths"]["/product"]["get"]["security"] == [{name: []} for name in names]


# --- Starlette, Litestar --------------------------------------------------------------------------------------


def test_starlette_guards_a_mount(world: World) -> None:
    """What a mount serves is paid for, and an error page that redirects is no service."""

    async def fine(request: Request) -> JSONResponse:
        return JSONResponse({"id": request.user.id})

    async def sell(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(None, 303, {"location": "/pricing"})

    guard = starlette.require_item("credits", 1, spend=True).guard
    inner = Router([Route("/fine", fine), Route("/refused", starlette.require_team(world.bob.id)(fine))])
    app = Starlette(
        routes=[Mount("/paid", app=guard(inner))],
        middleware=[Middleware(starlette.HexclaveMiddleware, config=world.sandbox.config)],
        exception_handlers={RequestRefused: sell},
    )
    with AsgiServer(app) as server:
        assert [world.status(server, url) for url in ("/paid/fine", "/paid/refused")] == [200, 303]
    assert world.spent == 1


@pytest.mark.parametrize("framework", ["starlette", "litestar"])
def test_a_websocket_that_is_accepted_to_be_closed_costs_nothing(world: World, framework: str) -> None:
    """Where its page shall read why, and a later guard refuses; and who cannot pay reads 4402."""

    def app(spend: Any, team: Any) -> Any:
        if framework == "starlette":

            async def talk(websocket: WebSocket) -> None:
                await websocket.accept()

            options: dict[str, Any] = {"config": world.sandbox.config, "websocket_close_codes": True}
            return Starlette(
                routes=[WebSocketRoute("/ws", spend(team(talk)))],
                middleware=[Middleware(starlette.HexclaveMiddleware, **options)],
            )

        @websocket("/ws", guards=[spend, team])
        async def handle(socket: LitestarSocket[Any, Any, Any]) -> None:
            await socket.accept()

        plugin = litestar.HexclavePlugin(world.sandbox.config, websocket_close_codes=True)
        return Litestar([handle], plugins=[plugin], openapi_config=None)

    adapter: Any = starlette if framework == "starlette" else litestar
    spend, strangers = adapter.require_item("credits", 1, spend=True), world.sandbox.create_team().id
    with AsgiServer(app(spend, adapter.require_team(strangers))) as server:
        said = server.connect("/ws", world.headers(world.alice))
        poor = server.connect("/ws", world.headers(world.bob))

    assert [(message["type"], message.get("code")) for message in said] == [
        ("websocket.accept", None),
        ("websocket.close", 4403),
    ]
    assert poor[-1]["code"] == 4402
    assert world.spent == 0


def test_litestar_validates_after_its_guards(world: World) -> None:
    """A body that the handler does not take costs nothing; its own 404, raised or returned, does."""
    guards = [litestar.require_item("credits", 1, spend=True)]

    @post("/body", guards=guards)
    async def body(data: JSONBody[dict[str, int]]) -> dict[str, int]:
        return data

    @post("/missing", guards=guards)
    async def missing() -> None:
        raise NotFoundException

    @post("/returned", guards=guards)
    async def returned() -> Response[None]:
        return Response(None, status_code=404)

    app = Litestar(
        [body, missing, returned], plugins=[litestar.HexclavePlugin(world.sandbox.config)], openapi_config=None
    )
    with AsgiServer(app) as server:
        assert world.status(server, "/body", "POST", b'{"a": "x"}') == 400
        assert world.spent == 0
        assert world.status(server, "/body", "POST", b'{"a": 1}') == 201
        assert [world.status(server, url, "POST") for url in ("/missing", "/returned")] == [404, 404]
    assert world.spent == 3


# --- Flask ----------------------------------------------------------------------------------------------------


def test_flask_spends_in_before_request_and_in_views(world: World) -> None:
    """Once for both, and not for what a later function of `before_request` answers with an error."""
    app = flask_framework.Flask("paid")
    flask.Hexclave(app, world.sandbox.config)
    spend = flask.require_item("credits", 1, spend=True)
    app.before_request(spend.check)

    @app.before_request
    def maintain() -> Any:
        return ("closed", 503) if flask_framework.request.path == "/closed" else None

    @app.get("/work")
    @spend
    def work() -> dict[str, Any]:
        spend.check()
        return {"id": flask.current_user.id}

    @app.get("/pieces")
    def pieces() -> Any:
        def stream() -> Iterator[bytes]:
            yield b"one"
            raise HandlerFailed

        return flask_framework.Response(stream())

    @app.get("/fail")
    def fail() -> str:
        raise HandlerFailed

    with WsgiServer(app) as server:
        assert [world.status(server, url) for url in ("/closed", "/work")] == [503, 200]
        assert world.spent == 1
        assert world.status(server, "/pieces") == 500
        assert world.spent == 2
        assert world.status(server, "/fail") == 500
        assert world.spent == 2
        assert world.status(server, "/fail", upgrade="websocket") == 500  # whose view ends with the conversation
    assert world.spent == 3


def test_flask_in_a_test_of_its_own(world: World) -> None:
    """Where exceptions come out of the application, what was spent comes back too."""
    app = flask_framework.Flask("paid")
    app.testing = True
    flask.Hexclave(app, world.sandbox.config)

    @app.get("/fail")
    @flask.require_item("credits", 1, spend=True)
    def fail() -> None:
        raise HandlerFailed

    with pytest.raises(HandlerFailed):
        app.test_client().get("/fail", headers=world.headers(world.alice))
    assert world.spent == 0


# --- Django ---------------------------------------------------------------------------------------------------

SPEND = django.require_item("credits", 1, spend=True)


@SPEND
def fail_sync(request: HttpRequest) -> None:
    raise HandlerFailed


@SPEND
async def fail_async(request: HttpRequest) -> None:
    raise HandlerFailed


@SPEND
def pieces(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([b"one"]), status=503)


@SPEND
@SPEND
def work(request: Any) -> JsonResponse:
    return JsonResponse({"id": request.hexclave_user.id})


@pytest.mark.parametrize("colour", ["wsgi", "asgi"])
def test_django_gives_back(world: World, colour: str) -> None:
    """Under both interfaces, whichever colour the view has."""
    views: dict[str, Any] = {"sync": fail_sync, "async": fail_async, "pieces": pieces, "work": work}
    with world.settings(*(path(name, view) for name, view in views.items())):
        statuses = [ask(colour, f"/{name}", world.headers(world.alice)).status_code for name in views]

    assert (statuses, world.spent) == ([500, 500, 503, 200], 1)


@SPEND
async def async_work(request: Any) -> JsonResponse:
    return JsonResponse({"id": request.hexclave_user.id})


@pytest.mark.parametrize("colour", ["wsgi", "asgi"])
@pytest.mark.parametrize("view", [work, async_work])
def test_another_site_spends_nothing_of_a_cookie_user(world: World, view: Any, colour: str) -> None:
    """Django's own CSRF check comes before the balance, which is not even touched."""
    pair = f'["r1","{world.sandbox.token(world.alice)}"]'.replace('"', "%22").replace(",", "%2C")
    secret = "a" * 32
    cookies = {"cookie": f"stack-refresh=r1; stack-access={pair}; csrftoken={secret}"}
    with world.settings(path("work", view), hexclave={"ACCEPT_COOKIES": True}):
        asked = world.sandbox.count("/update-quantity")
        refused = ask(colour, "/work", cookies, method="POST", enforce_csrf_checks=True)
        assert (refused.status_code, world.sandbox.count("/update-quantity")) == (403, asked)
        proof = {**cookies, "x-csrftoken": secret}
        assert ask(colour, "/work", proof, method="POST", enforce_csrf_checks=True).status_code == 200
    assert world.spent == 1


def test_a_view_of_django_by_itself(world: World) -> None:
    """In a test without the middleware, the guard sees the end of it."""
    requests = RequestFactory(headers=world.headers(world.alice))
    with world.settings():
        assert work(requests.get("/")).status_code == 200
        assert world.spent == 1
        with pytest.raises(HandlerFailed):
            fail_sync(requests.get("/"))
        assert pieces(requests.get("/")).status_code == 503
    assert world.spent == 1


# --- Django REST framework ------------------------------------------------------------------------------------


class Number(serializers.Serializer[Any]):
    number = serializers.IntegerField()


class Paid:
    """A view that only those reach who pay."""

    authentication_classes: Any = (HexclaveAuthentication,)
    permission_classes: Any = (HexclavePermission.of(SPEND),)


class Numbers(Paid, GenericAPIView[Any]):
    renderer_classes = (JSONRenderer, BrowsableAPIRenderer)
    serializer_class = Number

    def get(self, request: Any) -> RestResponse:
        return RestResponse({"number": 1})

    def post(self, request: Any) -> RestResponse:
        self.get_serializer(data=request.data).is_valid(raise_exception=True)
        return RestResponse({}, 201)


class Failing(Paid, APIView):
    def get(self, request: Any) -> None:
        raise HandlerFailed


class Never(BaseThrottle):
    def allow_request(self, request: Any, view: Any) -> bool:
        return False


class Throttled(Paid, APIView):
    throttle_classes: Any = (Never,)

    def get(self, request: Any) -> RestResponse:
        return RestResponse({})


class Forbidding(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return False


class Forbidden(Throttled):
    permission_classes = (*Paid.permission_classes, Forbidding)
    throttle_classes = ()


class Set(Paid, ViewSet):
    def list(self, request: Any) -> RestResponse:
        return RestResponse([])


ROUTER = SimpleRouter()
ROUTER.register("set", Set, basename="set")
REST = [
    path("numbers", Numbers.as_view()),
    path("failing", Failing.as_view()),
    path("throttled", Throttled.as_view()),
    path("forbidden", Forbidden.as_view()),
    *ROUTER.urls,
]


@pytest.mark.parametrize(
    ("method", "url", "status", "spent"),
    [
        ("GET", "/numbers", 200, 1),
        ("HEAD", "/numbers", 200, 1),
        ("POST", "/numbers", 400, 1),  # which the view itself has found out
        ("OPTIONS", "/numbers", 200, 0),
        ("PUT", "/numbers", 405, 0),
        ("PATCH", "/numbers", 405, 0),
        ("GET", "/failing", 500, 0),
        ("GET", "/throttled", 429, 0),
        ("GET", "/forbidden", 403, 0),
        ("GET", "/set/", 200, 1),
        ("POST", "/set/", 405, 0),
    ],
)
def test_rest_spends_where_a_handler_runs(world: World, method: str, url: str, status: int, spent: int) -> None:
    """Other permissions and throttles are asked afterwards, and permissions for methods that nobody has used."""
    with world.settings(*REST):
        answer = ask("wsgi", url, {**world.headers(world.alice), "accept": "application/json"}, method=method)

    assert (answer.status_code, world.spent) == (status, spent)


def test_the_forms_of_the_browsable_api_cost_nothing(world: World) -> None:
    """The page asks for the permissions of other methods, once each; it was paid for once."""
    with world.settings(*REST):
        answer = ask("wsgi", "/numbers", {**world.headers(world.alice), "accept": "text/html"})

    assert (answer.status_code, world.spent) == (200, 1)
    assert b"<form" in answer.content


def test_options_are_for_those_who_could_pay(world: World) -> None:
    """A balance is looked at, and not taken."""
    world.sandbox.items.set("credits", world.alice, 0)
    with world.settings(*REST):
        assert ask("wsgi", "/numbers", world.headers(world.alice), method="OPTIONS").status_code == 402


def test_a_forced_user_of_rest_pays_and_gets_back(world: World) -> None:
    """As in the tests of an application, with the middleware and without."""
    with world.settings(*REST):
        user = django.get_client().authenticate(world.headers(world.alice))
        client = APIClient(raise_request_exception=False)
        client.force_authenticate(cast("Any", user))
        statuses = [client.get(url).status_code for url in ("/numbers", "/failing")]

    assert (statuses, world.spent) == ([200, 500], 1)


# --- Django Ninja ---------------------------------------------------------------------------------------------


class NumberIn(Schema):
    number: int


def test_ninja_validates_after_auth_and_before_the_operation(world: World) -> None:
    """Where the requirement decorates the operation, a body that it does not take costs nothing."""
    api = NinjaAPI(urls_namespace="paid", docs_url=None, openapi_url=None)

    @api.post("/auth", auth=HexclaveAuth(SPEND))
    def by_auth(request: HttpRequest, data: NumberIn) -> dict[str, int]:
        return {"number": data.number}

    @api.post("/decorated")
    @SPEND
    def decorated(request: HttpRequest, data: NumberIn) -> dict[str, int]:
        return {"number": data.number}

    @api.post("/failing", auth=HexclaveAuth(SPEND))
    def failing(request: HttpRequest) -> None:
        raise HandlerFailed

    def send(url: str, body: bytes) -> tuple[int, float]:
        headers = world.headers(world.alice)
        before = world.spent
        answer = ask_with_body(url, headers, body)
        return answer, world.spent - before

    with world.settings(path("", api.urls)):
        assert [send(url, b'{"number": 1}') for url in ("/auth", "/decorated", "/failing")] == [
            (200, 1),
            (200, 1),
            (500, 0),
        ]
        assert send("/decorated", b"{}") == (422, 0)
        assert send("/auth", b"{}") == (422, 1)


def ask_with_body(url: str, headers: dict[str, str], body: bytes) -> int:
    from django.test import Client

    client = Client(raise_request_exception=False)
    return client.post(url, body, content_type="application/json", headers=headers).status_code
