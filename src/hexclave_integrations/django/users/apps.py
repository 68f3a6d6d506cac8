"""The Django application with the table behind `DJANGO_USERS`."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["HexclaveUsersConfig"]


class HexclaveUsersConfig(AppConfig):
    """`"hexclave_integrations.django.users"` in INSTALLED_APPS; the label would otherwise be `users`."""

    name = "hexclave_integrations.django.users"
    label = "hexclave_users"
    verbose_name: str = "Hexclave users"
    default_auto_field: str = "django.db.models.BigAutoField"
