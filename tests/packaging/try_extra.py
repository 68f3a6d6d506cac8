"""Use the installed package with one extra alone: `python -m tests.packaging.try_extra EXTRA`, from the repository.

It needs nothing but the wheel and that extra, and runs the README's example of it where there is one. Every other
adapter has to name the extra that it lacks. `nox -s extras` makes the environments.
"""

from __future__ import annotations

import importlib
import os
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import hexclave_integrations
from hexclave_integrations.testing import Sandbox

ROOT: Final = Path(__file__).parents[2]
# By its path: the package around it needs pytest and every framework.
_DRIVING: Final = runpy.run_path(str(ROOT / "tests" / "contract" / "driving.py"))
AsgiServer: Final[Any] = _DRIVING["AsgiServer"]
WsgiServer: Final[Any] = _DRIVING["WsgiServer"]
ADAPTERS: Final = {
    "starlette": "starlette",
    "fastapi": "fastapi",
    "flask": "flask",
    "litestar": "litestar",
    "django": "django",
    "drf": "django.drf",
    "ninja": "django.ninja",
}
BRINGS: Final = {"fastapi": {"fastapi", "starlette"}, "drf": {"django", "drf"}, "ninja": {"django", "ninja"}}
PATH: Final = "/me"


def example(*parts: str) -> dict[str, Any]:
    """What the README's block of Python that contains these parts defines."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    code = next(block for block in blocks if all(part in block for part in parts))
    module = sys.modules["readme"] = ModuleType("readme")  # some frameworks look up where a function was written
    names = vars(module)
    exec(compile(code, "README.md", "exec"), names)
    return names


def by_django(patterns: Callable[[], list[Any]], *apps: str) -> Any:
    settings = example("INSTALLED_APPS", "HexclaveMiddleware")
    from django.conf import settings as django_settings

    urls = ModuleType("urls")
    django_settings.configure(
        SECRET_KEY="x",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=urls,
        INSTALLED_APPS=[*settings["INSTALLED_APPS"], *apps],
        MIDDLEWARE=settings["MIDDLEWARE"],
        HEXCLAVE=settings["HEXCLAVE"],
    )
    import django
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    django.setup()
    vars(urls)["urlpatterns"] = patterns()
    call_command("check")
    return WsgiServer(get_wsgi_application())


def django_view() -> list[Any]:
    from django.urls import path

    return [path("me", example("django.http", "require_user")["me"])]


def drf_view() -> list[Any]:
    from django.urls import path
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from hexclave_integrations.django import require_user
    from hexclave_integrations.django.drf import HexclaveAuthentication, HexclavePermission

    class Me(APIView):
        authentication_classes = (HexclaveAuthentication,)
        permission_classes = (HexclavePermission.of(require_user),)

        def get(self, request: Any) -> Response:
            return Response({"id": request._request.hexclave_user.id})

    return [path("me", Me.as_view())]


def ninja_view() -> list[Any]:
    from django.urls import path
    from ninja import NinjaAPI

    from hexclave_integrations.django.ninja import HexclaveAuth

    api = NinjaAPI(auth=HexclaveAuth())

    @api.get("/me")
    def me(request: Any) -> dict[str, str]:
        return {"id": request.hexclave_user.id}

    return [path("", api.urls)]


SERVERS: Final[dict[str, Callable[[], Any]]] = {
    "starlette": lambda: AsgiServer(example("Starlette(", "HexclaveMiddleware")["app"]),
    "fastapi": lambda: AsgiServer(example("FastAPI()", "require_permission")["app"]),
    "flask": lambda: WsgiServer(example("Flask(", "require_user")["app"]),
    "litestar": lambda: AsgiServer(example("Litestar(", "HexclavePlugin")["app"]),
    "django": lambda: by_django(django_view),
    "drf": lambda: by_django(drf_view, "django.contrib.auth", "django.contrib.contenttypes", "rest_framework"),
    "ninja": lambda: by_django(ninja_view),
}


def try_server(extra: str, sandbox: Sandbox) -> None:
    """A user gets in, and nobody else."""
    alice = sandbox.create_user()
    with SERVERS[extra]() as server:
        nobody, somebody = (server.send("GET", PATH, headers) for headers in ({}, sandbox.headers(alice)))
    assert (nobody.status, somebody.status) == (401, 200), (nobody, somebody)
    assert alice.id.encode() in somebody.body


def try_redis() -> None:
    """A store of deliveries is made; there need not be a server."""
    from hexclave_integrations.stores import RedisStore, StoreUnavailable

    try:
        RedisStore("redis://127.0.0.1:1").claim("a delivery", "somebody", 60)
    except StoreUnavailable:
        return
    raise AssertionError("there is no Redis, and it answered")


def try_observer(sandbox: Sandbox) -> None:
    """A client tells OpenTelemetry's API, which without an SDK forgets it."""
    from hexclave_integrations import HexclaveClient, HexclaveConfig
    from hexclave_integrations.telemetry import OpenTelemetryObserver

    with HexclaveClient(HexclaveConfig.from_env(observer=OpenTelemetryObserver())) as client:
        client.verify_token(sandbox.token(sandbox.create_user()))


def try_others(extra: str) -> None:
    """Adapters of other frameworks name their extra."""
    for other, module in ADAPTERS.items():
        if other == extra or other in BRINGS.get(extra, ()):
            continue
        # Without Django, what builds on it names the extra of Django.
        wanted = other if other not in ("drf", "ninja") or "django" in BRINGS.get(extra, {extra}) else "django"
        said = ""
        try:
            importlib.import_module(f"hexclave_integrations.{module}")
        except ModuleNotFoundError as error:
            said = str(error)
        assert f'pip install "hexclave-integrations[{wanted}]"' in said, (other, said)


def main(extra: str) -> None:
    installed = Path(hexclave_integrations.__file__)
    assert ROOT / "src" not in installed.parents, f"{installed} is not the installed package"
    sandbox = Sandbox()
    with sandbox.serve() as url:
        os.environ["HEXCLAVE_API_URL"] = url
        os.environ["HEXCLAVE_PROJECT_ID"] = sandbox.config.project_id
        os.environ["HEXCLAVE_SECRET_SERVER_KEY"] = str(sandbox.config.secret_server_key)
        if extra == "redis":
            try_redis()
        elif extra == "otel":
            try_observer(sandbox)
        else:
            try_server(extra, sandbox)
    try_others(extra)
    sys.stdout.write(f"{extra}: its example runs, and the other adapters name their extras\n")


if __name__ == "__main__":
    main(sys.argv[1])
