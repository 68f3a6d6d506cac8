"""Views of every kind."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views import View
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hexclave_integrations.django import (
    HexclaveRequiredMixin,
    optional_user,
    require_api_key,
    require_permission,
    require_user,
)
from hexclave_integrations.django.drf import HexclavePermission


@optional_user
def welcome(request: Any) -> JsonResponse:
    """Everyone may come in; we greet those we know."""
    user = request.hexclave_user
    return JsonResponse({"hello": (user.display_name if user else None) or "stranger"})


@require_user
def me(request: Any) -> JsonResponse:
    """For signed-in users: not for anonymous ones, nor for restricted ones."""
    return JsonResponse({"id": request.hexclave_user.id, "name": request.hexclave_user.display_name})


@require_permission("{team_id}", "export_reports")
async def export(request: HttpRequest, team_id: str) -> JsonResponse:
    """For those who hold the permission in that team."""
    return JsonResponse({"exported": str(team_id)})


@require_api_key
def machine(request: Any) -> JsonResponse:
    """For scripts, with an API key."""
    return JsonResponse({"key": request.hexclave_api_key.description})


class Account(HexclaveRequiredMixin, View):
    """Too dangerous to trust a token that outlives its session: Hexclave is asked on every request."""

    requirement = require_user.live()

    def delete(self, request: Any) -> JsonResponse:
        """Delete the caller's account."""
        return JsonResponse({"deleted": request.hexclave_user.id})


class Reports(APIView):
    """Django REST framework; whoever may not is refused before the view runs."""

    permission_classes = [HexclavePermission.of(require_permission("{team_id}", "export_reports"))]  # noqa: RUF012  # its way

    def get(self, request: Request, team_id: str) -> Response:
        """The team's reports."""
        user: Any = request.user  # a HexclaveUser
        return Response({"team": str(team_id), "for": user.id})
