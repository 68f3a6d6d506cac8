"""Settings: Hexclave's own come from the environment, so that no secret stands in here."""

from __future__ import annotations

import os

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "change me: this project signs nothing yet")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "examples.django_project.urls"
INSTALLED_APPS = ["rest_framework", "hexclave_integrations.django"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "hexclave_integrations.django.middleware.HexclaveMiddleware",
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["hexclave_integrations.django.drf.HexclaveAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["hexclave_integrations.django.drf.HexclavePermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,  # without Django's own users there is no database to set up
}
DEFAULT_EXCEPTION_REPORTER_FILTER = "hexclave_integrations.django.debug.HexclaveReporterFilter"
HEXCLAVE = {"PERMISSION_TTL": 30}
