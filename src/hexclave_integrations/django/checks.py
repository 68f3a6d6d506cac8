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
    hexclave.E009  a page is cached inside what asks who the caller is, for all who pass it
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.middleware.cache import UpdateCacheMiddleware
from django.utils.module_loading import import_string

from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ._conf import SETTING, own_settings
from ._routes import routes
from .middleware import HexclaveMiddleware

__all__ = ["check_middleware", "check_routes", "check_settings", "register"]

_MIDDLEWARE = "hexclave_integrations.django.middleware.HexclaveMiddleware"
_BACKEND = "hexclave_integrations.django.backends.HexclaveBackend"


def register() -> None:
    """Let `manage.py check`, and so runserver and migrate, run these."""
    for check in (check_settings, check_middleware, check_routes):
        checks.register(check, checks.Tags.security)


def _read() -> tuple[HexclaveConfig, bool, str]:
    values, django_users, field = own_settings(getattr(settings, SETTING, {}))
    return HexclaveConfig.from_mapping(values), django_users, field


def check_settings(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Project id, URLs, keys, webhook secrets, and the bridge to Django's users."""
    try:
        _, django_users, field = _read()
    except ConfigurationError as error:
        if str(error).startswith("webhook_secrets"):
            hint = "Copy the signing secret of the endpoint from the dashboard; it begins with whsec_."
            return [checks.Error(str(error), hint=hint, id="hexclave.E002")]
        hint = 'Set it in settings.HEXCLAVE = {"PROJECT_ID": ...}, or in the environment.'
        return [checks.Error(str(error), hint=hint, id="hexclave.E001")]
    return _check_users(field) if django_users else []


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
    """Every requirement that the URL patterns lead to."""
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
        if config is not None and any(item.needs_server_key for item in route.requirements):
            try:
                config.require_server_key(f"a requirement on {route.path}")
            except ConfigurationError as error:
                hint = 'HEXCLAVE = {"SECRET_SERVER_KEY": ...}, or the environment.'
                found.append(checks.Error(str(error), hint=hint, id="hexclave.E007"))
        missing = {item.team_parameter for item in route.requirements} - {None, *route.parameters}
        for parameter in sorted(str(name) for name in missing):
            message = f'{route.path} has no parameter "{parameter}", which its requirement names as team.'
            hint = "Name a parameter of the URL pattern, or give the team in another way."
            found.append(checks.Error(message, hint=hint, id="hexclave.E008"))
        if route.caches_inside:
            message = f"The page of {route.path} is cached inside its guard, where one caller's is for all others."
            hint = "Take cache_page away: pages that depend on the caller are not stored."
            found.append(checks.Error(message, hint=hint, id="hexclave.E009"))
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


def _check_users(field: str) -> list[checks.CheckMessage]:
    problems: Iterable[str] = ()
    if not apps.is_installed("django.contrib.auth"):
        problems = ["DJANGO_USERS needs django.contrib.auth in INSTALLED_APPS."]
    else:
        problems = _user_problems(field)
    return [checks.Error(text, hint="See HexclaveBackend.", id="hexclave.E005") for text in problems]


def _user_problems(field: str) -> Iterable[str]:
    from django.contrib.auth import get_user_model

    from .backends import HexclaveBackend

    backends = [import_string(path) for path in settings.AUTHENTICATION_BACKENDS]
    if not any(isinstance(backend, type) and issubclass(backend, HexclaveBackend) for backend in backends):
        yield f'DJANGO_USERS needs "{_BACKEND}" in AUTHENTICATION_BACKENDS.'
    try:
        column = get_user_model()._meta.get_field(field)
    except FieldDoesNotExist:
        yield f'The user model has no field "{field}", which DJANGO_USER_FIELD names.'
    else:
        if not getattr(column, "unique", False) or (getattr(column, "max_length", None) or 36) < 36:
            yield f'The field "{field}" of the user model must be unique and hold 36 characters.'
