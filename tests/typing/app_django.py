# pyright: strict
"""Views of Django, as their author would annotate them."""

from __future__ import annotations

from typing import assert_type

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import RequestFactory
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from hexclave_integrations import AsyncHexclaveClient, HexclaveApiKey, HexclaveClient, HexclaveUser
from hexclave_integrations.django import (
    DjangoRequirement,
    HexclaveHttpRequest,
    HexclaveRequiredMixin,
    OptionalHexclaveHttpRequest,
    get_async_client,
    get_client,
    optional_user,
    require_api_key,
    require_permission,
    require_team,
    require_user,
    supabase_view,
    webhook_view,
)
from hexclave_integrations.django.stores import DatabaseStore
from hexclave_integrations.django.testing import sign_in
from hexclave_integrations.supabase import SupabaseSigner
from hexclave_integrations.webhooks import Webhooks


@require_user
def me(request: HexclaveHttpRequest) -> JsonResponse:
    assert_type(request.hexclave_user, HexclaveUser)
    return JsonResponse({"id": request.hexclave_user.id})


@require_permission("{team_id}", "export_reports")
async def export(request: HexclaveHttpRequest, team_id: str, number: int = 1) -> JsonResponse:
    assert_type(await request.ahexclave_user(), HexclaveUser)
    return JsonResponse({"exported": team_id, "number": number})


@optional_user
def greeting(request: OptionalHexclaveHttpRequest) -> HttpResponse:
    user = request.hexclave_user
    assert_type(user, HexclaveUser | None)
    return HttpResponse("Hello" if user is None else f"Hello, {user.display_name}")


async def visitor(request: OptionalHexclaveHttpRequest) -> HttpResponse:
    user = await request.ahexclave_user()
    assert_type(user, HexclaveUser | None)
    return HttpResponse(status=204 if user is None else 200)


@require_api_key
def key(request: OptionalHexclaveHttpRequest) -> JsonResponse:
    assert_type(request.hexclave_api_key, HexclaveApiKey | None)
    assert request.hexclave_api_key is not None
    return JsonResponse({"team": request.hexclave_api_key.team_id})


@require_user.allow(restricted=True)
def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.path)


def name_of(request: OptionalHexclaveHttpRequest) -> str:
    return "nobody" if request.hexclave_user is None else request.hexclave_user.id


async def calls(request: HexclaveHttpRequest) -> None:
    assert_type(me(request), JsonResponse)
    assert_type(await export(request, "team", number=2), JsonResponse)
    name_of(request)


@method_decorator(require_user, name="dispatch")
class Decorated(View):
    def get(self, request: HexclaveHttpRequest) -> HttpResponse:
        return HttpResponse(request.hexclave_user.id)


class Mixed(HexclaveRequiredMixin, View):
    requirement = require_team("{team_id}")

    async def get(self, request: HexclaveHttpRequest, team_id: str) -> HttpResponse:
        return HttpResponse(request.hexclave_user.id + team_id)


assert_type(require_team("{team_id}"), DjangoRequirement)
webhooks = Webhooks(["whsec_dHlwZWQtdHlwZWQtdHlwZWQtdHlwZWQ="], DatabaseStore())
urlpatterns = [
    path("me", me),
    path("teams/<team_id>/reports", export),
    path("greeting", greeting),
    path("visitor", visitor),
    path("key", key),
    path("plain", plain),
    path("decorated", Decorated.as_view()),
    path("teams/<team_id>", Mixed.as_view()),
    path("webhooks", webhook_view(webhooks)),
    path("supabase-token", supabase_view(SupabaseSigner("typed-typed-typed-typed-typed-typed"))),
]


def test_single_view(user: HexclaveUser) -> None:
    request = RequestFactory().get("/plain")
    sign_in(request, user)
    assert plain(request).status_code == 200


def clients() -> None:
    assert_type(get_client(), HexclaveClient)
    assert_type(get_async_client(), AsyncHexclaveClient)
