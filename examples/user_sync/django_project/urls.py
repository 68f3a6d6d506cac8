"""The webhook endpoint; its claims and the handlers' writes are committed together."""

from __future__ import annotations

from django.urls import path

from hexclave_integrations import HexclaveClient
from hexclave_integrations.django import webhook_view
from hexclave_integrations.django.stores import DatabaseStore
from hexclave_integrations.webhooks import Webhooks

from ..steps import connect
from .models import UserTable

webhooks = Webhooks(store=DatabaseStore())
connect(webhooks, UserTable(), HexclaveClient().server)
urlpatterns = [path("webhooks/hexclave", webhook_view(webhooks))]
