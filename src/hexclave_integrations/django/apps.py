"""The Django application: puts the caller on requests and registers the system checks."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["HexclaveAppConfig"]


class HexclaveAppConfig(AppConfig):
    """`"hexclave_integrations.django"` in INSTALLED_APPS; the label would otherwise be `django`."""

    name = "hexclave_integrations.django"
    label = "hexclave"
    verbose_name = "Hexclave"

    def ready(self) -> None:
        from . import _attributes, checks

        _attributes.install_on_requests()
        checks.register()
