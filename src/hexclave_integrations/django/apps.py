"""The Django application: puts the caller on requests and registers the system checks."""

from __future__ import annotations

from django.apps import AppConfig, apps

__all__ = ["HexclaveAppConfig"]


class HexclaveAppConfig(AppConfig):
    """`"hexclave_integrations.django"` in INSTALLED_APPS; the label would otherwise be `django`."""

    name = "hexclave_integrations.django"
    label = "hexclave"
    verbose_name: str = "Hexclave"

    def ready(self) -> None:
        from . import _attributes, _encoders, checks

        _attributes.install_on_requests()
        _encoders.extend_encoders()
        checks.register()
        if apps.is_installed("django.contrib.auth"):
            from . import signals
            from .users._profile import keep_in_step

            signals.user_updated.connect(keep_in_step, dispatch_uid="hexclave_integrations.django.users")
