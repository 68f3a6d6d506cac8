"""Ways in which the sandbox can fail, so that tests can watch an application bear it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self, TypeAlias

from ._wire import Reply

__all__ = ["Outage", "OutageKind"]

OutageKind: TypeAlias = Literal["refused", "error", "garbage", "rate_limit"]


class Outage:
    """A failure that began when it was made; it ends with `.end()` or with the `with` block.

    Args:
        kind: `refused` gives no answer at all, `error` a 500, `garbage` a 200 with HTML, `rate_limit` a 429.
        paths: prefixes below `/api/v1` that fail; none means everything.
        retry_after: seconds in the `Retry-After` of a 429; None leaves the header out.
        end: called once, with this outage, when it is over.
    """

    def __init__(
        self, kind: OutageKind, paths: tuple[str, ...], retry_after: int | None, end: Callable[[Outage], None]
    ) -> None:
        self.kind = kind
        self.paths = paths
        self._prefixes = [version + path for version in ("/api/v1", "/api/latest") for path in paths]
        self._retry_after = retry_after
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Let the sandbox answer again."""
        self._end(self)

    def covers(self, path: str) -> bool:
        """Whether requests for this path fail."""
        return not self._prefixes or path.startswith(tuple(self._prefixes))

    def reply(self) -> Reply | None:
        """What a request gets; None is no answer."""
        if self.kind == "refused":
            return None
        if self.kind == "error":
            return Reply(status=500, headers=_TEXT, body=b"Internal Server Error")
        if self.kind == "garbage":
            return Reply(status=200, headers={"content-type": "text/html"}, body=b"<!doctype html><title>Hi</title>")
        retry = {} if self._retry_after is None else {"retry-after": str(self._retry_after)}
        return Reply(status=429, headers=_TEXT | retry, body=b"Too Many Requests")


_TEXT = {"content-type": "text/plain; charset=utf-8"}
