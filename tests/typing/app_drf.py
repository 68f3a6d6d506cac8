# pyright: strict
"""Views of Django REST framework, as their author would annotate them."""

from __future__ import annotations

from typing import assert_type

from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from hexclave_integrations import HexclaveUser
from hexclave_integrations.django import require_permission, require_user
from hexclave_integrations.django.drf import (
    HexclaveAuthentication,
    HexclavePermission,
    HexclaveRequest,
    OptionalHexclaveRequest,
)


class RestrictedToo(HexclavePermission):
    requirement = require_user.allow(restricted=True)


class Me(APIView):
    authentication_classes = [HexclaveAuthentication]  # noqa: RUF012
    permission_classes = [RestrictedToo]  # noqa: RUF012

    def get(self, request: HexclaveRequest) -> Response:
        assert_type(request.hexclave_user, HexclaveUser)
        return Response({"id": request.hexclave_user.id})


class Reports(APIView):
    authentication_classes = [HexclaveAuthentication]  # noqa: RUF012
    permission_classes = [HexclavePermission.of(require_permission("{team_id}", "export_reports"))]  # noqa: RUF012

    def post(self, request: HexclaveRequest, team_id: str) -> Response:
        return Response({"exported": team_id, "by": request.user.pk})


class Greeting(APIView):
    authentication_classes = [HexclaveAuthentication]  # noqa: RUF012

    def get(self, request: OptionalHexclaveRequest) -> Response:
        user = request.hexclave_user
        assert_type(user, HexclaveUser | None)
        return Response("Hello" if user is None else f"Hello, {user.display_name}")


urlpatterns = [
    path("me", Me.as_view()),
    path("teams/<team_id>/reports", Reports.as_view()),
    path("greeting", Greeting.as_view()),
]
