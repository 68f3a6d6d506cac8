"""Name and e-mail address of a Hexclave user as fields of a row, and rows that are kept in step by webhooks."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model, load_backend
from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, models, router, transaction
from django.utils.module_loading import import_string

from ...errors import ConfigurationError
from ...user import HexclaveUser
from .._conf import installation

__all__ = ["keep_in_step", "profile_of"]

logger = logging.getLogger("hexclave_integrations")


def profile_of(user: HexclaveUser, row: Any = None) -> dict[str, Any]:
    """The fields of the user model that say what the user is called and how to write to them.

    The name goes to `first_name` and `last_name`, divided at the first space, so that `get_full_name()` is the whole of
    it. The e-mail address is there only if Hexclave saw a proof of it, no other row has it, and it is no log-in name:
    other parts of a project may find people by their address, and it must not make one user another.

    Args:
        user: verified, or from a verified delivery.
        row: the row to keep in step, whose address is emptied where it is not the user's any more; None for a new one.
    """
    model: Any = get_user_model()
    found: dict[str, Any] = {}
    first, _, last = (user.display_name or "").strip().partition(" ")
    for name, text in (("first_name", first), ("last_name", last.strip())):
        column = _text_field(model, name)
        if column is not None:
            found[name] = text[: column.max_length]
    name = model.get_email_field_name() if hasattr(model, "get_email_field_name") else "email"
    column = _text_field(model, name)
    if column is not None and name != model.USERNAME_FIELD:
        address = user.primary_email if user.primary_email_verified else None
        if (
            address is not None
            and len(address) <= (column.max_length or len(address))
            and _is_free(model, name, address, row)
        ):
            found[name] = address
        elif row is not None:
            found[name] = None if column.null else ""
    return found


def _text_field(model: Any, name: str) -> Any:
    try:
        column = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return column if isinstance(column, models.CharField) else None


def _is_free(model: Any, name: str, address: str, row: Any) -> bool:
    others = model._base_manager.filter(**{f"{name}__iexact": address})
    return not (others if row is None else others.exclude(pk=row.pk)).exists()


def keep_in_step(sender: Any, event: Any, **kwargs: Any) -> None:
    """Receive `user_updated`: bring the row of the user, if there is one, to what Hexclave says now."""
    try:
        found = installation()
    except ConfigurationError:  # of an application that uses webhooks alone
        return
    backend = _backend()
    if not found.django_users or backend is None:
        return
    data = event.data
    key = "hexclave_link__hexclave_id" if found.user_field is None else found.user_field
    model: Any = get_user_model()
    row = model._base_manager.filter(**{key: data.id}).first()
    if row is None:
        return
    kind: Any = "anonymous" if data.is_anonymous else "restricted" if data.is_restricted else "regular"
    user = HexclaveUser(
        id=data.id,
        kind=kind,
        project_id=found.config.project_id,
        display_name=data.display_name,
        primary_email=data.primary_email,
        primary_email_verified=data.primary_email_verified,
    )
    changed = {name: value for name, value in backend.profile(user, row).items() if getattr(row, name) != value}
    if not changed:
        return
    for name, value in changed.items():
        setattr(row, name, value)
    try:
        with transaction.atomic(using=router.db_for_write(model)):
            row.save(update_fields=list(changed))
    except IntegrityError:
        logger.warning("A row could not be kept in step with its Hexclave user: a field of it has to be unique.")


def _backend() -> Any:
    from ..backends import HexclaveBackend

    for path in settings.AUTHENTICATION_BACKENDS:
        kind = import_string(path)
        if isinstance(kind, type) and issubclass(kind, HexclaveBackend):
            return load_backend(path)
    return None
