"""A worker process of a Django project that receives webhooks; tests kill it.

    python -m tests._django_webhook_worker DATABASE CLAIM_TTL deliver|hang|hang-after-commit

DATABASE is an entry of settings.DATABASES as JSON. The worker says `ready`, receives the delivery that comes on
standard input, and prints the status of its answer. Its handler writes a row to the table `effects`; `hang` then says
`written` and stays within the handler, `hang-after-commit` says `committed` and stays between commit and answer.
"""

from __future__ import annotations

import json
import os
import sys
import time

import django
from django.conf import settings


def main() -> None:
    """Do what the arguments say."""
    database, claim_ttl, mode = sys.argv[1:]
    settings.configure(
        SECRET_KEY="only for tests",
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": json.loads(database)},
        INSTALLED_APPS=["hexclave_integrations.django"],
        ROOT_URLCONF=(),
    )
    django.setup()
    serve(float(claim_ttl), mode)


def serve(claim_ttl: float, mode: str) -> None:
    """Receive one delivery."""
    from django.db import connection, transaction
    from django.test import Client, override_settings
    from django.urls import path

    from hexclave_integrations.django import webhook_view
    from hexclave_integrations.django.stores import DatabaseStore
    from hexclave_integrations.webhooks import WebhookEvent, Webhooks

    def hang(text: str) -> None:
        print(text, flush=True)
        time.sleep(600)

    webhooks = Webhooks([os.environ["HEXCLAVE_WEBHOOK_SECRET"]], DatabaseStore(), claim_ttl=claim_ttl, endpoint="test")

    @webhooks.on("*")
    def handler(event: WebhookEvent) -> None:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO effects (delivery) VALUES (%s)", [event.id])
        if mode == "hang":
            hang("written")
        if mode == "hang-after-commit":
            transaction.on_commit(lambda: hang("committed"))

    with override_settings(ROOT_URLCONF=(path("hooks", webhook_view(webhooks)),)):
        print("ready", flush=True)
        body, headers = json.loads(sys.stdin.readline())
        response = Client().generic("POST", "/hooks", body, "application/json", headers=headers)
        print(response.status_code, flush=True)


if __name__ == "__main__":
    main()
