"""The row of Django's user model that stands for a Hexclave user: found by what nobody else can fill, or made."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, models, router, transaction

from ...errors import ConfigurationError

__all__ = ["APPLICATION", "field_problems", "find_or_make"]

APPLICATION: Final = "hexclave_integrations.django.users"
_ID_LENGTH: Final = 36

logger = logging.getLogger("hexclave_integrations")


def find_or_make(hexclave_id: str, field: str | None, defaults: Callable[[], dict[str, Any]]) -> Any:
    """The row that stands for a Hexclave user, or None when they are refused one.

    They are where the project's own manager hides the row, and where an unlinked row named with the id is locked.

    Args:
        hexclave_id: of a verified regular user.
        field: the field of the user model that holds the id; None for the table of `HexclaveLink`.
        defaults: gives further fields of a new row.

    Raises:
        ConfigurationError: neither the table nor a usable field is there.
    """
    problem = next(field_problems(field), None)
    if problem is not None:
        raise ConfigurationError(problem)
    key = "hexclave_link__hexclave_id" if field is None else field
    model: Any = get_user_model()
    rows = model._default_manager
    row = rows.filter(**{key: hexclave_id}).first()
    if row is not None:
        return row
    values = defaults()
    try:
        with transaction.atomic(using=router.db_for_write(model)):
            return _make(hexclave_id, field, values)
    except IntegrityError:
        # Another request was faster, or the project's manager hides the row.
        row = rows.filter(**{key: hexclave_id}).first()
        if row is None and not model._base_manager.filter(**{key: hexclave_id}).exists():
            raise
        return row


def _make(hexclave_id: str, field: str | None, values: dict[str, Any]) -> Any:
    model: Any = get_user_model()
    values = {"password": make_password(None), **values}
    if model.USERNAME_FIELD not in values:
        named = model._base_manager.filter(**{model.USERNAME_FIELD: hexclave_id}).first()
        if named is not None:
            # A log-in name proves nothing: anybody may have registered it, so the row stays that person's. But where
            # somebody was locked out before rows had links, a new row must not let them in again.
            logger.warning("A row is named like a Hexclave user and not linked: see manage.py hexclave_link_users")
            if not named.is_active and not named.has_usable_password():
                return None
        values[model.USERNAME_FIELD] = hexclave_id if named is None else secrets.token_hex(16)
    if field is not None:
        return model._default_manager.create(**{**values, field: hexclave_id})
    from .models import HexclaveLink

    row = model._default_manager.create(**values)
    HexclaveLink.objects.create(hexclave_id=hexclave_id, user=row)
    return row


def field_problems(field: str | None) -> Iterator[str]:
    """What keeps rows from being found safely; each problem is one sentence for the developer.

    Args:
        field: as `DJANGO_USER_FIELD` names it; None for the table of `HexclaveLink`.
    """
    if field is None:
        if not apps.is_installed(APPLICATION):
            yield f'DJANGO_USERS needs "{APPLICATION}" in INSTALLED_APPS, and `manage.py migrate`.'
        return
    model: Any = get_user_model()
    try:
        column = model._meta.get_field(field)
    except FieldDoesNotExist:
        yield f'The user model has no field "{field}", which DJANGO_USER_FIELD names.'
        return
    by_people = {model.USERNAME_FIELD, "username", *model.REQUIRED_FIELDS}
    if hasattr(model, "get_email_field_name"):
        by_people.add(model.get_email_field_name())
    if field in by_people or isinstance(column, models.EmailField):
        yield (
            f'People choose "{field}" themselves and could take the id of another user: leave DJANGO_USER_FIELD away, '
            "or name a field that only HexclaveBackend fills."
        )
    elif (
        not isinstance(column, models.CharField | models.TextField | models.UUIDField)
        or not column.unique
        or (column.max_length or _ID_LENGTH) < _ID_LENGTH
    ):
        yield f'The field "{field}" of the user model must be unique and hold {_ID_LENGTH} characters.'
