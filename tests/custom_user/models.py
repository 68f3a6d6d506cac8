"""The user model."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models


class Person(AbstractUser):
    """A user who logs in by e-mail address, and has the Hexclave id in a field of its own."""

    username = None  # type: ignore[assignment]  # so Django's documentation takes a field away
    email: models.EmailField[str, str] = models.EmailField(unique=True)
    hexclave_id: models.CharField[str, str] = models.CharField(max_length=36, unique=True, null=True, editable=False)
    nickname: models.CharField[str, str] = models.CharField(max_length=36, unique=True, null=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
