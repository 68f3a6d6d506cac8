"""`Observer`: what an application is told of, in plain values."""

from __future__ import annotations

import inspect
from typing import Any, Final

from ..errors import ConfigurationError

__all__ = ["Observer", "checked"]


class Observer:
    """What is told of decisions, questions, look-ups and deliveries; subclass it and override what you need.

    By itself it does nothing, so that a method which a later version adds breaks no observer.

    The methods are called in the thread, or on the event loop, of the request, one for each thing that happens, and
    from several threads at once: they have to be quick and safe for threads. What they raise is logged and changes no
    answer. All values are from small sets, and none is a token, a key, an id or a URL.
    """

    def admitted(self, scope: str, principal: str) -> None:
        """A requirement let somebody through.

        Args:
            scope: what was asked for: `user`, `team`, `team permission`, `project permission`, `item`, `product`,
                `api key`.
            principal: who came: a `regular`, `restricted` or `anonymous` user, `user api key`, `team api key`, or
                `nobody` where that is optional.
        """

    def refused(self, code: str) -> None:
        """A request was refused, or its credentials were; once for each reason in a request.

        Args:
            code: as the caller is told it, such as `ACCESS_TOKEN_EXPIRED`.
        """

    def looked_up(self, cache: str, location: str, is_hit: bool) -> None:
        """Something that may be remembered was looked up, as the first look for a token or a question.

        Args:
            cache: `token`, `key set`, `permissions` (memberships and products too) or `api key`. The key set is looked
                up for a token that is not remembered; a miss there means that a fetch or a refresh is due.
            location: `memory` of this process, or `redis`.
            is_hit: whether it was there, and is still good.
        """

    def question_begins(self, kind: str) -> object:
        """Hexclave is about to be asked; remembered answers are no questions.

        Args:
            kind: `key set`, `team permissions`, `team membership`, `project permissions`, `api key`, `user`,
                `current user`, `sessions`, and what calls of `client.server` do, such as `new user`.

        Returns:
            Anything: `question_ended` is given it, in the same thread or task.
        """
        return None

    def question_ended(self, begun: Any, kind: str, seconds: float, status: int | None, failure: str | None) -> None:
        """Hexclave answered, or did not.

        Args:
            begun: what `question_begins` returned; None if it raised.
            kind: as there.
            seconds: how long it took.
            status: the HTTP status, or None where no answer came.
            failure: None where Hexclave answered what it was asked, a "no" included. Else `timeout`, a word for what
                went wrong on the way such as `ConnectError`, or a status such as `503`.
        """

    def delivery_ended(self, outcome: str, event_type: str | None, code: str | None) -> None:
        """A webhook delivery was received.

        Args:
            outcome: `handled`, `duplicate`, `refused` (not genuine, or no event), `in progress`, `failed` (a handler),
                or `unavailable` (the store of deliveries or Redis cannot be asked).
            event_type: of a genuine delivery, if the kit knows the type; else None.
            code: as the sender is told it, or None for the first two outcomes.
        """


_METHODS: Final = tuple(name for name in vars(Observer) if not name.startswith("_"))


def checked(name: str, value: object) -> Observer | None:
    """An observer, or None.

    Args:
        name: of the setting, for the error.
        value: what the application gave.

    Raises:
        ConfigurationError: it is none.
    """
    if value is None:
        return None
    if not isinstance(value, Observer):
        raise ConfigurationError(
            f"{name} is no observer: pass an object of a subclass of hexclave_integrations.telemetry.Observer."
        )
    for method in _METHODS:
        if inspect.iscoroutinefunction(getattr(value, method)):
            raise ConfigurationError(f"{name} cannot be used: {method} is a coroutine function, which nobody awaits.")
    return value
