"""Settings: Hexclave's own come from the environment, so that no secret stands in here."""

from __future__ import annotations

import os

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "change me: this project signs nothing yet")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "examples.user_sync.django_project.urls"
INSTALLED_APPS = ["hexclave_integrations.django", "examples.user_sync.django_project"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "hexclave_integrations.django.middleware.HexclaveMiddleware",
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE_FILE", "users.sqlite")}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DEFAULT_EXCEPTION_REPORTER_FILTER = "hexclave_integrations.django.debug.HexclaveReporterFilter"
