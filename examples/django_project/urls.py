"""Where the views are."""

from __future__ import annotations

from django.urls import path

from hexclave_integrations import HexclaveConfig
from hexclave_integrations.django import webhook_view
from hexclave_integrations.webhooks import Webhooks

from . import views

urlpatterns = [
    path("", views.welcome),
    path("me", views.me),
    path("teams/<uuid:team_id>/reports", views.export),
    path("api/teams/<uuid:team_id>/reports", views.Reports.as_view()),
    path("account", views.Account.as_view()),
    path("machine", views.machine),
]
if secrets := HexclaveConfig.webhook_secrets_from_env():
    # Handlers would be added here; a permission that was revoked is forgotten without our doing.
    urlpatterns.append(path("webhooks/hexclave", webhook_view(Webhooks(secrets))))
