"""Sign a person in from a terminal: they confirm in a browser, the program gets their refresh token (contract 4.8).

A program that people run on their own machines holds no secret of the project: nothing here reads the server key.
"""

from __future__ import annotations

import inspect
import math
import os
import sys
import time
import webbrowser
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from . import _reasons as reasons
from ._base import private_file
from ._base.settings import base_url, from_environment
from ._drivers import AsyncDriver, SyncDriver
from ._policy.effects import Call, Compute, Fetch, Flow
from ._token.find import Credential
from ._wire import api
from ._wire.messages import Reply, Request, TransportError
from .config import HexclaveConfig
from .errors import CliLoginExpired, CliLoginUsed, ConfigurationError, Unavailable
from .server._refusals import is_refusal, refusal

__all__ = [
    "Keep",
    "aprompt_cli_login",
    "arefresh_access_token",
    "open_link",
    "print_link",
    "prompt_cli_login",
    "refresh_access_token",
]

Keep: TypeAlias = str | os.PathLike[str] | Callable[[str], object]
"""Where a refresh token is kept: a file, or a function that is given it."""

_MAX_EXPIRES_IN: Final = 86400.0
_SETTINGS: Final = ("_PROJECT_ID", "_API_URL", "_PUBLISHABLE_CLIENT_KEY", "_HTTP_TIMEOUT")
# Failures in a row after which a question is given up: a poll may outlast a router's restart, the rest is short.
_PATIENCE: Final = 3
_POLL_PATIENCE: Final = 15
_LONGEST_CODE: Final = 4096
_KEY: Final = frozenset({"INVALID_PUBLISHABLE_CLIENT_KEY", "PUBLISHABLE_CLIENT_KEY_REQUIRED_FOR_PROJECT"})
_PROJECT: Final = frozenset({"CURRENT_PROJECT_NOT_FOUND", "PROJECT_NOT_FOUND"})


def print_link(url: str) -> None:
    """Print the address to standard error, so that standard output stays the program's own."""
    print(f"To sign in, open this address in a browser:\n\n  {url}\n", file=sys.stderr, flush=True)


def open_link(url: str) -> None:
    """As `print_link`, and open it in a browser where there is a screen; a browser of text would take the terminal."""
    print_link(url)
    if sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))):
        with suppress(webbrowser.Error, OSError):
            webbrowser.open(url)


def prompt_cli_login(
    *,
    app_url: str | None = None,
    project_id: str | None = None,
    api_url: str | None = None,
    publishable_client_key: str | None = None,
    anon_refresh_token: str | None = None,
    keep: Keep | None = None,
    expires_in: float = 600,
    interval: float = 2,
    prompt_link: Callable[[str], object] = open_link,
    sleep: Callable[[float], object] = time.sleep,
    config: HexclaveConfig | None = None,
) -> str:
    """Let a person sign in with their browser; return their refresh token, which `refresh_access_token` takes.

    Args:
        app_url: base URL of the application whose pages they sign in at; `HEXCLAVE_APP_URL` when None.
        project_id: the project; from the environment when None, as the next two.
        api_url: base URL of Hexclave's API.
        publishable_client_key: `pck_...`; only for projects that require it.
        anon_refresh_token: of an anonymous user, whose account the person may take over in the browser.
        keep: a file that is replaced by one with mode 0600 and the token in it, or a function that is given the token.
        expires_in: how long they may take, seconds, a day at most.
        interval: the time between two questions whether they have confirmed, seconds.
        prompt_link: shows them the address to open.
        sleep: waits for that many seconds.
        config: the project's settings, instead of the three above.

    Raises:
        ConfigurationError: an argument or setting is missing or wrong, or Hexclave does not know project or key.
        CliLoginExpired: nobody confirmed in time.
        CliLoginUsed: they confirmed, and the answer was lost on its way.
        HexclaveApiError: Hexclave refused, for instance an `anon_refresh_token` that is none.
        Unavailable: Hexclave cannot be reached, or does not answer clearly.
        OSError: the token could not be written.
    """
    settings = _config(config, project_id, api_url, publishable_client_key)
    anon_refresh_token = _hidden(anon_refresh_token)
    if inspect.iscoroutinefunction(keep):
        raise ConfigurationError("keep is a coroutine function: use aprompt_cli_login, or pass a plain function.")
    attempt = _Attempt(settings, _app_url(app_url), _seconds(expires_in, interval), interval, prompt_link, sleep)
    return _run(settings, _login(attempt, anon_refresh_token, _keeper(keep)))


async def aprompt_cli_login(
    *,
    app_url: str | None = None,
    project_id: str | None = None,
    api_url: str | None = None,
    publishable_client_key: str | None = None,
    anon_refresh_token: str | None = None,
    keep: Keep | Callable[[str], Awaitable[object]] | None = None,
    expires_in: float = 600,
    interval: float = 2,
    prompt_link: Callable[[str], object] = open_link,
    sleep: Callable[[float], Awaitable[object]] | None = None,
    config: HexclaveConfig | None = None,
) -> str:
    """As `prompt_cli_login`; `sleep` is `asyncio.sleep` when None, and `keep` may be a coroutine function."""
    import asyncio

    settings = _config(config, project_id, api_url, publishable_client_key)
    anon_refresh_token = _hidden(anon_refresh_token)
    wait = asyncio.sleep if sleep is None else sleep
    attempt = _Attempt(settings, _app_url(app_url), _seconds(expires_in, interval), interval, prompt_link, wait)
    return await _arun(settings, _login(attempt, anon_refresh_token, _keeper(keep)))


def refresh_access_token(
    refresh_token: str,
    *,
    project_id: str | None = None,
    api_url: str | None = None,
    publishable_client_key: str | None = None,
    config: HexclaveConfig | None = None,
) -> str:
    """An access token, good for minutes, for the session of a refresh token (contract 3.5).

    Args:
        refresh_token: what `prompt_cli_login` returned; white space around it does not count.
        project_id: as for `prompt_cli_login`, like the rest.

    Raises:
        ConfigurationError: a setting is missing or wrong, or Hexclave does not know project or key.
        HexclaveApiError: with the code `REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED`, the session has ended: sign in again.
        Unavailable: Hexclave cannot be reached, or does not answer clearly.
    """
    settings = _config(config, project_id, api_url, publishable_client_key)
    refresh_token = _checked(refresh_token)
    return _run(settings, _refresh(settings, refresh_token))


async def arefresh_access_token(
    refresh_token: str,
    *,
    project_id: str | None = None,
    api_url: str | None = None,
    publishable_client_key: str | None = None,
    config: HexclaveConfig | None = None,
) -> str:
    """As `refresh_access_token`."""
    settings = _config(config, project_id, api_url, publishable_client_key)
    refresh_token = _checked(refresh_token)
    return await _arun(settings, _refresh(settings, refresh_token))


# --- flows ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What one sign-in is made with; see `prompt_cli_login`."""

    config: HexclaveConfig
    app_url: str
    expires_in: float
    interval: float
    prompt_link: Callable[[str], object]
    sleep: Callable[[float], object]


def _login(attempt: _Attempt, anonymous: str | None, keep: Callable[[str], object] | None) -> Flow[str]:
    fields: dict[str, object] = {"expires_in_millis": round(attempt.expires_in * 1000)}
    if anonymous is not None:
        fields["anon_refresh_token"] = anonymous
    begin = api.client_call(attempt.config, "a sign-in at a terminal", "/auth/cli", fields)
    codes = yield from _ask(begin, partial(_texts, names=("login_code", "polling_code")), attempt.sleep)
    link = f"{attempt.app_url}/handler/cli-auth-confirm?login_code={quote(codes['login_code'], safe='')}"
    yield Compute(partial(attempt.prompt_link, link))
    token: Credential = yield from _poll(attempt, codes["polling_code"])
    if keep is not None:
        yield Call(partial(keep, token))  # whose repr hides it, should the function fail
    return str(token)


def _poll(attempt: _Attempt, code: str) -> Flow[Credential]:
    """Ask until there is an outcome: not for ever, also where Hexclave never says that the time is over."""
    poll = api.client_call(attempt.config, "a sign-in's outcome", "/auth/cli/poll", {"polling_code": code})
    waited, failures = 0.0, 0
    while waited <= attempt.expires_in:
        pause = attempt.interval
        try:
            outcome: tuple[str, Credential | None] = yield from _fetch(poll, _outcome)
            status, token = outcome
        except Unavailable as error:
            failures += 1
            if failures == _POLL_PATIENCE:
                raise
            pause = max(pause, error.retry_after)
        else:
            failures = 0
            if token is not None:
                return token
            if status == "used":
                raise CliLoginUsed
            if status == "expired":
                raise CliLoginExpired
        yield Call(partial(attempt.sleep, pause))
        waited += pause
    raise CliLoginExpired


def _refresh(config: HexclaveConfig, refresh_token: Credential) -> Flow[str]:
    path = "/auth/sessions/current/refresh"
    request = api.client_call(config, "an access token", path, {}, refresh_token=refresh_token)
    found = yield from _fetch(request, partial(_texts, names=("access_token",)))
    return str(found["access_token"])


def _ask(request: Request, read: Callable[[Reply], Any], sleep: Callable[[float], object]) -> Flow[Any]:
    """Ask a question that may be repeated; beginning a sign-in twice leaves a code behind that nobody has seen."""
    for _ in range(_PATIENCE - 1):
        try:
            return (yield from _fetch(request, read))
        except Unavailable as error:
            pause = error.retry_after
        yield Call(partial(sleep, pause))
    return (yield from _fetch(request, read))


def _fetch(request: Request, read: Callable[[Reply], Any]) -> Flow[Any]:
    """Ask once.

    Raises:
        ConfigurationError: Hexclave does not know the project or the key.
        HexclaveApiError: it refused.
        Unavailable: there is no clear answer.
    """
    try:
        reply = yield Fetch(request)
    except TransportError as error:
        raise Unavailable(reason=error.reason) from None
    if reply.known_error in _KEY:
        raise ConfigurationError(
            "Hexclave refused publishable_client_key: copy the project's own from the dashboard; pass "
            "publishable_client_key=... or set HEXCLAVE_PUBLISHABLE_CLIENT_KEY."
        )
    if reply.known_error in _PROJECT:
        raise ConfigurationError(
            "Hexclave knows no such project: copy project_id from the dashboard; pass project_id=... or set "
            "HEXCLAVE_PROJECT_ID."
        )
    if is_refusal(reply):
        raise refusal(reply)
    if reply.real_status in (200, 201):
        with suppress(ValueError, KeyError, TypeError):
            return read(reply)
        raise Unavailable(reason=reasons.API_UNUSABLE)
    is_too_often = reply.real_status == 429
    wait = api.retry_after(reply, time.time()) if "retry-after" in reply.headers else 1.0
    raise Unavailable(retry_after=wait, reason=reasons.RATE_LIMITED if is_too_often else reasons.API_STATUS)


# --- reading --------------------------------------------------------------------------------------------------


def _texts(reply: Reply, names: tuple[str, ...]) -> Mapping[str, Credential]:
    body = reply.json()
    return {name: _credential(body[name]) for name in names}


def _outcome(reply: Reply) -> tuple[str, Credential | None]:
    body = reply.json()
    status = body["status"]
    if status not in ("waiting", "used", "expired", "success"):
        raise ValueError("no status of a sign-in")
    return status, _credential(body["refresh_token"]) if status == "success" else None


def _credential(value: object) -> Credential:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_CODE or not value.isascii():
        raise ValueError("no code or token")
    if not value.isprintable() or " " in value:
        raise ValueError("no code or token")
    return Credential(value)


# --- arguments ------------------------------------------------------------------------------------------------


def _config(config: HexclaveConfig | None, *named: str | None) -> HexclaveConfig:
    if config is not None:
        if any(each is not None for each in named):
            raise ConfigurationError("config has project_id, api_url and publishable_client_key: pass it or them.")
        return config
    # No other setting is looked at: a server's wrong one is no reason not to sign in.
    environ = {name: value for name, value in os.environ.items() if name.endswith(_SETTINGS)}
    project_id, api_url, key = named
    return HexclaveConfig.from_env(environ, project_id=project_id, api_url=api_url, publishable_client_key=key)


def _app_url(app_url: str | None) -> str:
    try:
        return base_url("app_url", app_url or from_environment(os.environ, "app_url"))
    except ConfigurationError:
        raise ConfigurationError(
            "app_url is missing or no base URL: use that of the application whose pages people sign in at, such as "
            "https://app.example.com (http only on loopback); pass app_url=... or set HEXCLAVE_APP_URL."
        ) from None


def _seconds(expires_in: float, interval: float) -> float:
    for name, value, most in (("expires_in", expires_in, _MAX_EXPIRES_IN), ("interval", interval, 60.0)):
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or not 1 <= value <= most:
            raise ConfigurationError(f"{name} has to be a number of seconds from 1 to {most:g}.")
    return expires_in


def _keeper(keep: Any) -> Callable[[str], object] | None:
    """A function that keeps a token; what cannot be written is noticed before anybody is asked to sign in."""
    if keep is None or (callable(keep) and not isinstance(keep, os.PathLike)):
        function: Callable[[str], object] | None = keep
        return function
    try:
        path = Path(keep).expanduser().resolve()
        private_file.check_writable(path)
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error) or "it is no name of a file"
        raise ConfigurationError(f"The refresh token could not be kept there: {problem}.") from None

    def write(token: str) -> None:
        try:
            private_file.replace(path, f"{token}\n")
            return
        except OSError as error:
            problem = OSError(error.errno, error.strerror)
        raise problem  # without the frames that have the text as a local variable

    return write


def _hidden(token: str | None) -> Credential | None:
    return None if token is None else _checked(token)


def _checked(token: str) -> Credential:
    try:
        return _credential(token.strip())
    except ValueError:
        raise ConfigurationError("The refresh token is none: pass the text that a sign-in gave.") from None


def _run(config: HexclaveConfig, flow: Flow[str]) -> str:
    driver = SyncDriver(config, config.transport)
    try:
        return driver.run(flow)
    finally:
        driver.close()


async def _arun(config: HexclaveConfig, flow: Flow[str]) -> str:
    driver = AsyncDriver(config, config.transport)
    await driver.open()
    try:
        return await driver.run(flow)
    finally:
        await driver.close()
