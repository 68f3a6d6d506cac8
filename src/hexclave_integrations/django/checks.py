"""System checks: what can be known to be wrong before the first request.

::

    hexclave.E001  the settings are missing or wrong
    hexclave.E002  a webhook secret cannot be right
    hexclave.E003  HexclaveMiddleware is missing
    hexclave.E004  HexclaveMiddleware stands before caching middleware, which would store private pages
    hexclave.E005  DJANGO_USERS and the rest of the settings do not fit together
    hexclave.E006  a requirement stands where a view or a permission class belongs
    hexclave.E007  a requirement needs secret_server_key
    hexclave.E008  a requirement names a route parameter that its route lacks
    hexclave.E009  an installed framework lacks a private part that this package leans on
    hexclave.E010  the default is no requirement that can be one
    hexclave.W001  people could fill the field that DJANGO_USER_FIELD names
    hexclave.W002  Django's debug page and error mails would show tokens
    hexclave.W003  a setting is missing, which this management command does not need
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.middleware.cache import UpdateCacheMiddleware
from django.utils.module_loading import import_string

from .._adapter.default import check_default_settings
from .._adapter.startup import unmet
from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ._commands import answers_no_requests
from ._conf import SETTING, own_settings
from ._default import default_of
from ._private import missing
from ._routes import routes
from .debug import HexclaveReporterFilter
from .middleware import HexclaveMiddleware

__all__ = ["TAG", "check_middleware", "check_routes", "check_settings", "register"]

TAG = "hexclave"
_MIDDLEWARE = "hexclave_integrations.django.middleware.HexclaveMiddleware"
_FILTER = "hexclave_integrations.django.debug.HexclaveReporterFilter"
_BACKEND = "hexclave_integrations.django.backends.HexclaveBackend"

_VERSIONS = "Update hexclave-integrations, or install the version of the framework that it was tested with."
_UNMET = {
    "server key": ("hexclave.E007", 'HEXCLAVE = {"SECRET_SERVER_KEY": ...}, or the environment.'),
    "route parameter": ("hexclave.E008", "Name a parameter of the URL pattern, or give the team in another way."),
}


def register() -> None:
    """Let `manage.py check`, and so runserver and migrate, run these; `check --tag hexclave` runs no others."""
    for check in (check_settings, check_middleware, check_routes):
        checks.register(check, checks.Tags.security, TAG)


def _read() -> tuple[HexclaveConfig, bool, str | None]:
    return own_settings(getattr(settings, SETTING, {}))


def check_settings(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Project id, URLs, keys, webhook secrets, and the bridge to Django's users."""
    try:
        config, django_users, field = _read()
    except ConfigurationError as error:
        if str(error).startswith("webhook_secrets"):
            hint = "Copy the signing secret of the endpoint from the dashboard; it begins with whsec_."
            return [checks.Error(str(error), hint=hint, id="hexclave.E002")]
        hint = 'Set it in settings.HEXCLAVE = {"PROJECT_ID": ...}, or in the environment.'
        if "is missing" in str(error) and answers_no_requests():
            return [checks.Warning(str(error), hint=hint, id="hexclave.W003")]
        return [checks.Error(str(error), hint=hint, id="hexclave.E001")]
    found: list[checks.CheckMessage] = []
    values = getattr(settings, SETTING, {})
    try:
        default = default_of(values.get("DEFAULT") if isinstance(values, Mapping) else None)
        check_default_settings(default, config)
    except ConfigurationError as error:
        found.append(checks.Error(str(error), hint='HEXCLAVE = {"DEFAULT": "require_user"}', id="hexclave.E010"))
    if not _hides_tokens():
        message = "Django's debug page and error mails would show the tokens of the SDK's cookies."
        hint = f'Set DEFAULT_EXCEPTION_REPORTER_FILTER = "{_FILTER}".'
        found.append(checks.Warning(message, hint=hint, id="hexclave.W002"))
    return found + (_check_users(field) if django_users else [])


def _hides_tokens() -> bool:
    try:
        chosen = import_string(settings.DEFAULT_EXCEPTION_REPORTER_FILTER)
    except ImportError:  # the first error will say so
        return False
    return isinstance(chosen, type) and issubclass(chosen, HexclaveReporterFilter)


def check_middleware(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Whether HexclaveMiddleware is there, and where it stands."""
    ours = _place_of(HexclaveMiddleware)
    if ours is None:
        hint = f'Add "{_MIDDLEWARE}" to settings.MIDDLEWARE.'
        return [checks.Error("HexclaveMiddleware is missing.", hint=hint, id="hexclave.E003")]
    found: list[checks.CheckMessage] = []
    cache = _place_of(UpdateCacheMiddleware)
    if cache is not None and ours < cache:
        message = "HexclaveMiddleware stands before UpdateCacheMiddleware, which would store private pages."
        found.append(checks.Error(message, hint="Move HexclaveMiddleware below it.", id="hexclave.E004"))
    try:
        django_users = _read()[1]
    except ConfigurationError:
        return found
    if django_users and apps.is_installed("django.contrib.auth"):
        from django.contrib.auth.middleware import AuthenticationMiddleware

        auth = _place_of(AuthenticationMiddleware)
        if auth is not None and auth < ours:
            return found
        message = "DJANGO_USERS needs Django's AuthenticationMiddleware before HexclaveMiddleware."
        found.append(checks.Error(message, hint="Change the order in settings.MIDDLEWARE.", id="hexclave.E005"))
    return found


def check_routes(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Every requirement that the URL patterns lead to, and whether they can all be seen."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    try:
        config: HexclaveConfig | None = _read()[0]
    except ConfigurationError:
        config = None
    found: list[checks.CheckMessage] = []
    for route in routes():
        for name in route.misused:
            message = f"A requirement stands as {name} of {route.path}: it was used in place of one, or not called."
            hint = "Decorate a view with it; for Django REST framework write HexclavePermission.of(requirement)."
            found.append(checks.Error(message, hint=hint, id="hexclave.E006"))
        for lacking in (*unmet(route.requirements, route.path, route.parameters, config), *route.misread):
            number, hint = _UNMET[lacking.kind]
            if lacking.kind == "server key" and answers_no_requests():
                found.append(checks.Warning(lacking.text, hint=hint, id="hexclave.W003"))
            else:
                found.append(checks.Error(lacking.text, hint=hint, id=number))
        if route.is_unreadable:
            message = f"The operations of Django Ninja at {route.path} cannot be read, nor their requirements checked."
            found.append(checks.Error(message, hint=_VERSIONS, id="hexclave.E009"))
    for part in missing():
        message = f"{part.framework} has no {part.name} any more: {part.without}."
        found.append(checks.Error(message, hint=_VERSIONS, id="hexclave.E009"))
    return found


def _place_of(kind: type) -> int | None:
    """Where in settings.MIDDLEWARE a class or a subclass of it stands."""
    for index, path in enumerate(settings.MIDDLEWARE):
        try:
            middleware = import_string(path)
        except ImportError:  # the start will say so
            continue
        if isinstance(middleware, type) and issubclass(middleware, kind):
            return index
    return None


def _check_users(field: str | None) -> list[checks.CheckMessage]:
    if not apps.is_installed("django.contrib.auth"):
        problems = ["DJANGO_USERS needs django.contrib.auth in INSTALLED_APPS."]
    else:
        problems = list(_user_problems(field))
    hint = "See hexclave_integrations.django.users and HexclaveBackend."
    found: list[checks.CheckMessage] = [checks.Error(text, hint=hint, id="hexclave.E005") for text in problems]
    if not problems and field is not None and _is_editable(field):
        message = f'The field "{field}" of the user model is editable: a ModelForm with all fields lets people fill it.'
        found.append(checks.Warning(message, hint="Define it with editable=False.", id="hexclave.W001"))
    return found


def _user_problems(field: str | None) -> Iterable[str]:
    from .backends import HexclaveBackend
    from .users._rows import field_problems

    backends = [import_string(path) for path in settings.AUTHENTICATION_BACKENDS]
    if not any(isinstance(backend, type) and issubclass(backend, HexclaveBackend) for backend in backends):
        yield f'DJANGO_USERS needs "{_BACKEND}" in AUTHENTICATION_BACKENDS.'
    yield from field_problems(field)


def _is_editable(field: str) -> bool:
    from django.contrib.auth import get_user_model

    column: Any = get_user_model()._meta.get_field(field)
    return bool(column.editable) and not column.primary_key
