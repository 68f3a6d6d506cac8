"""The sandbox of `hexclave sandbox`: restored from its state file, served, and saved soon after each change."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ._statefile import Saver, StateFile, StateFileError
from ._stored import Unreadable, dump_project, restore_project
from ._view import variables
from .sandbox import Sandbox

__all__ = ["DEFAULT_PORT", "LocalError", "local_sandbox"]

DEFAULT_PORT: Final = 8102
"""Where Hexclave's own API listens on a developer's machine."""


class LocalError(Exception):
    """The sandbox does not start; the message says why and what helps."""


@contextmanager
def local_sandbox(
    *,
    port: int | None,
    project_id: str | None,
    state: str | None,
    webhook_url: str | None,
    report: Callable[[str], None],
) -> Iterator[dict[str, str]]:
    """Serve a sandbox for the length of the block; yields the environment variables that lead to it.

    Args:
        port: None for the port of the state file; without one for `DEFAULT_PORT`, or any free one if that is taken.
        project_id: None for the one of the state file, or a new one.
        state: the file to keep the state in; None keeps none.
        webhook_url: where webhooks are delivered to.
        report: told in words what happens meanwhile.

    Raises:
        LocalError: a setting is wrong, the file cannot be used, or the port is taken.
    """
    project_id = _check_settings(project_id, webhook_url)
    with ExitStack() as stack:
        sandbox = Sandbox(project_id=project_id)
        sandbox.accepts_any_item = True  # there is no Python around it to define items
        stack.callback(sandbox.close)
        file = None
        if state is not None:
            try:
                file = StateFile(state)
                stack.callback(file.close)
                stored = file.read()
                stored_port = _restore(sandbox, file, stored)
            except StateFileError as error:
                raise LocalError(f"{error} It was left as it is.") from None
            if stored is not None and project_id not in (None, sandbox.config.project_id):
                raise LocalError(f"{file.path}: it is another project's. Leave out --project-id, or name another file.")
            port = stored_port if port is None else port
        saver: Saver | None = None

        def save_the_end() -> None:
            if saver is not None:
                saver.end()

        stack.callback(save_the_end)  # after the last request was answered, and before the lock is given up
        url = _serve(stack, sandbox, port)
        if webhook_url is not None:
            stack.enter_context(sandbox.deliver_webhooks_to(webhook_url))
        if file is not None:
            number = urlsplit(url).port
            saver = Saver(file, lambda: _dump(sandbox, number), report)
            sandbox._changed = saver.touch
            saver.touch()
        yield variables(sandbox)


def _check_settings(project_id: str | None, webhook_url: str | None) -> str | None:
    if webhook_url is not None:
        parts = urlsplit(webhook_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LocalError("--webhook-url is no URL: use one such as http://localhost:8000/webhooks/hexclave.")
    if project_id is None:
        return None
    try:
        return HexclaveConfig(project_id=project_id).project_id
    except ConfigurationError:
        raise LocalError("--project-id is no project id: use a UUID.") from None


def _serve(stack: ExitStack, sandbox: Sandbox, port: int | None) -> str:
    """Serve until the stack is left; the base URL."""
    ports = [DEFAULT_PORT, 0] if port is None else [port]
    for number in ports:
        try:
            return stack.enter_context(sandbox.serve(number))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise LocalError(f"Port {number} cannot be served: {error.strerror}.") from None
            problem = "is taken" if error.errno == errno.EADDRINUSE else "is not yours to use"
    raise LocalError(f"Port {ports[-1]} {problem}: name another by --port, or 0 for any free one.")


def _dump(sandbox: Sandbox, port: int | None) -> dict[str, Any]:
    with sandbox._lock:
        return {
            "port": port,
            "webhook_secret": sandbox._webhook_secret,
            "project": dump_project(sandbox._project),
        }


def _restore(sandbox: Sandbox, file: StateFile, stored: dict[str, Any] | None) -> int | None:
    """Fill the sandbox with what was stored; the port it was served at, if that is known."""
    if stored is None:
        return None
    port, secret = stored.get("port"), stored.get("webhook_secret")
    if type(port) is not int or not 0 < port < 65536:
        raise file.error("it is broken: port is no port")
    try:
        HexclaveConfig(project_id=sandbox.config.project_id, webhook_secrets=(secret,) if secret else ())
        if not secret:
            raise file.error("it is broken: it has no webhook_secret")
        restore_project(sandbox._project, stored.get("project"))
    except ConfigurationError:
        raise file.error("it is broken: webhook_secret is none") from None
    except Unreadable as error:
        raise file.error(f"it is broken, or a newer version of this package wrote it: {error}") from None
    sandbox._webhook_secret = secret
    return port
