"""What type checkers have to find: each line that ends in `# mistake`, and no other."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from fastapi import FastAPI
from litestar import get
from starlette.requests import Request

from hexclave_integrations import AsyncHexclaveClient, HexclaveClient, HexclaveConfig, HexclaveUser
from hexclave_integrations import django as for_django
from hexclave_integrations import fastapi as for_fastapi
from hexclave_integrations import flask as for_flask
from hexclave_integrations import litestar as for_litestar
from hexclave_integrations import starlette as for_starlette
from hexclave_integrations.django.drf import HexclavePermission
from hexclave_integrations.django.ninja import HexclaveAuth
from hexclave_integrations.fastapi import CurrentUser, OptionalUser
from hexclave_integrations.supabase import SupabaseSigner
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import UserCreated, Webhooks

# --- who is there ---------------------------------------------------------------------------------------------


async def misspelt(user: CurrentUser) -> str:
    return user.emial  # mistake


async def nobody(user: OptionalUser) -> str:
    return user.id  # mistake


def changed(user: HexclaveUser) -> None:
    user.primary_email_verified = True  # mistake


def no_kind() -> HexclaveUser:
    return HexclaveUser(id="1", kind="admin", project_id="internal")  # mistake


def without_attributes(request: HttpRequest) -> str:
    return str(request.hexclave_user)  # mistake


def unguarded(request: for_django.OptionalHexclaveHttpRequest) -> str:
    return request.hexclave_user.id  # mistake


async def unguarded_async(request: for_django.OptionalHexclaveHttpRequest) -> str:
    return (await request.ahexclave_user()).id  # mistake


def not_awaited(request: for_django.HexclaveHttpRequest) -> str:
    return request.ahexclave_user().id  # mistake


# --- requirements ---------------------------------------------------------------------------------------------


@for_flask.require_permission  # mistake
def flask_uncalled() -> str:
    return ""


@for_flask.require_user()  # mistake
def flask_called() -> str:
    return ""


@for_flask.require_user
def flask_view(team_id: str) -> str:
    return team_id


flask_view(team=1)  # mistake


@for_django.require_permission  # mistake
def django_uncalled(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@for_django.require_user()  # mistake
def django_called(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@for_django.require_user
def django_view(request: HttpRequest, team_id: str) -> HttpResponse:
    return HttpResponse(team_id)


def django_call(request: HttpRequest) -> None:
    django_view(request, 1)  # mistake


@for_starlette.require_permission  # mistake
async def starlette_uncalled(request: Request) -> None: ...


@for_starlette.require_user()  # mistake
async def starlette_called(request: Request) -> None: ...


@get("/", guards=[for_litestar.require_team])  # mistake
async def litestar_uncalled() -> None: ...


HexclaveAuth(for_django.require_team)  # mistake
HexclavePermission.of(for_django.require_team)  # mistake
for_fastapi.require_permission("{team_id}")  # mistake
for_fastapi.require_user.allow(restrict=True)  # mistake
for_fastapi.require_user.live.allow()  # mistake

# --- clients and settings -------------------------------------------------------------------------------------


def deleted(client: HexclaveClient) -> str | None:
    return client.get_user("id").primary_email  # mistake


async def forgotten(client: AsyncHexclaveClient) -> str:
    return client.verify_token("token").id  # mistake


def plain_text(client: HexclaveClient) -> None:
    client.authenticate("token")  # mistake


HexclaveConfig(project_id=1)  # mistake
HexclaveConfig(project="internal")  # mistake
for_fastapi.Hexclave(FastAPI(), {"project_id": "internal"})  # mistake
print(for_fastapi.Hexclave(FastAPI()).client.authenticate({}).id)  # mistake

# --- webhooks, Supabase, tests --------------------------------------------------------------------------------

webhooks = Webhooks(secrets=1)  # mistake
webhooks.on("user.created")("handler")  # mistake


def handler(event: UserCreated) -> None:
    print(event.data.email)  # mistake


def token(signer: SupabaseSigner) -> str:
    return signer.token_for("user")  # mistake


def test_sandbox(hexclave_sandbox: Sandbox) -> None:
    hexclave_sandbox.create_user(name="Alice")  # mistake
