"""A process of its own, since Django's user model cannot change: prints what happens with each field."""

import json
from typing import Any

import django
from django.conf import settings

from hexclave_integrations import HexclaveClient
from hexclave_integrations.testing import Sandbox

sandbox = Sandbox()
alice = sandbox.create_user()


def of(field: str) -> dict[str, Any]:
    return {"PROJECT_ID": sandbox.config.project_id, "DJANGO_USERS": True, "DJANGO_USER_FIELD": field}


settings.configure(
    SECRET_KEY="only for tests",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "tests.custom_user",
        "hexclave_integrations.django",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "hexclave_integrations.django.middleware.HexclaveMiddleware",
    ],
    AUTH_USER_MODEL="custom_user.Person",
    AUTHENTICATION_BACKENDS=["hexclave_integrations.django.backends.HexclaveBackend"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DEFAULT_EXCEPTION_REPORTER_FILTER="hexclave_integrations.django.debug.HexclaveReporterFilter",
    HEXCLAVE=of("hexclave_id"),
)
django.setup()

from django.contrib.auth import authenticate, get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import override_settings  # noqa: E402

from hexclave_integrations.django.checks import check_settings  # noqa: E402

call_command("migrate", verbosity=0, run_syncdb=True, skip_checks=True)
user = HexclaveClient(sandbox.config).authenticate(sandbox.headers(alice))
people = get_user_model()._default_manager
people.create(email=alice.id)  # somebody who got this past the sign-up form
rows: list[Any] = [authenticate(None, hexclave_user=user) for _ in range(2)]
ids = {}
for field in ("hexclave_id", "nickname", "email", "id"):
    with override_settings(HEXCLAVE=of(field)):
        ids[field] = [message.id for message in check_settings()]
print(
    json.dumps(
        {
            "same": rows[0] == rows[1],
            "is_alices": [row.hexclave_id == alice.id for row in rows],
            "others": people.filter(hexclave_id=None).count(),
            "checks": ids,
        }
    )
)
