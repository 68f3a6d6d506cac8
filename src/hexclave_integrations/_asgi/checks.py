"""The checks that a request has begun: a forgotten `await` is noticed before the answer starts."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import Any, Final

from ..errors import ConfigurationError

__all__ = ["CHECKS_KEY", "Checks"]

CHECKS_KEY: Final = "hexclave_integrations.checks"


class Checks:
    """The checks that a request has begun: coroutines, each of which must be awaited before the answer starts."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: list[Coroutine[Any, Any, Any]] | None = []

    def add(self, check: Coroutine[Any, Any, Any]) -> None:
        """Watch one, unless the answer has started: nothing could be held back any more."""
        if self._begun is not None:
            self._begun.append(check)

    def expect_awaited(self) -> None:
        """Called before the answer starts.

        Raises:
            ConfigurationError: a check was not awaited; nor may any other answer start then.
        """
        if self._unawaited():
            raise ConfigurationError("A requirement was called and not awaited: write await require_user(connection).")
        self._begun = None

    def close(self) -> None:
        """Called when the request is over: the error has been reported, Python need not warn as well."""
        for check in self._unawaited():
            check.close()

    def _unawaited(self) -> list[Coroutine[Any, Any, Any]]:
        begun = self._begun or ()
        return [check for check in begun if inspect.getcoroutinestate(check) == inspect.CORO_CREATED]
