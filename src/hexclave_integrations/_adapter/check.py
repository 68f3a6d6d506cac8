"""`hexclave check`: hold the settings against the Hexclave, the Redis and the clock that they will meet.

`hexclave check`, `flask hexclave check --online` and `manage.py hexclave_check --online` print what is found here. Real
requests are made, with the time-out of the settings; no finding shows a key, secret or password.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from .. import _reasons as reasons
from .._base.webhook_secret import signing_key
from .._drivers import SyncDriver
from .._memory.key_file import FileUnusable, KeyFile
from .._memory.redis import RedisScripts, RedisUnavailable
from .._memory.redis_fitness import INFO, read_info
from .._policy.effects import Fetch, Flow
from .._token.kept_keys import MAX_TEXT, KeptKeys
from .._token.keys import parse_key_set
from .._wire import api
from .._wire.messages import Reply, Request, TransportError, UnusableReply
from ..config import HexclaveConfig
from ..errors import ConfigurationError, ServerKeyRefused

__all__ = ["Finding", "check", "check_webhook_secrets"]

State = Literal["ok", "wrong", "skipped"]

_NOBODY: Final = "00000000-0000-4000-8000-000000000000"
"""A user id that no user has: the question is only whether the server key may ask."""
_PRECISION: Final = 2.0
"""How exactly `Date` tells the time, with the way back: seconds."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one check.

    Attributes:
        what: what was looked at.
        state: whether it is as it should be, or was not looked at.
        text: what was found; where it is wrong, what mends it.
    """

    what: str
    state: State
    text: str

    def __str__(self) -> str:
        return f"{self.state:<8} {self.what}: {self.text}"


def check(
    config: HexclaveConfig,
    clock: Callable[[], float] = time.time,
    *,
    webhook_secrets: tuple[str, ...] | None = None,
) -> Iterator[Finding]:
    """Hold valid settings against the world: project, keys, server key, clock, Redis, webhook secrets, in this order.

    Args:
        config: the settings.
        clock: this machine's time, epoch seconds.
        webhook_secrets: to look at instead of those in the settings, which have been looked at there.
    """
    try:
        driver = SyncDriver(config, config.transport)
    except ConfigurationError:
        yield Finding("Hexclave", "skipped", "the transport in the settings works on event loops only.")
    else:
        try:
            yield from _hexclave(config, driver, clock)
        finally:
            driver.close()
    if config.jwks_file is not None:
        yield _key_file(config, clock())
    yield _redis(config)
    yield check_webhook_secrets(config.webhook_secrets if webhook_secrets is None else webhook_secrets)


def check_webhook_secrets(secrets: tuple[str, ...]) -> Finding:
    """Whether signing secrets have the form of one; whose they are only a delivery can show."""
    if not secrets:
        return Finding(
            "webhook secrets", "skipped", "none is set; an endpoint for webhooks needs HEXCLAVE_WEBHOOK_SECRET."
        )
    try:
        for secret in secrets:
            signing_key(secret)
    except ConfigurationError as error:
        return Finding("webhook secrets", "wrong", str(error))
    count = "1 secret has" if len(secrets) == 1 else f"{len(secrets)} secrets have"
    return Finding(
        "webhook secrets", "ok", f"{count} the right form; a delivery shows whether it is the endpoint's own."
    )


def _hexclave(config: HexclaveConfig, driver: SyncDriver, clock: Callable[[], float]) -> Iterator[Finding]:
    where = f"project {config.project_id} at {config.api_url}"
    asked_at = clock()
    reply = driver.run(_ask(api.jwks_request(config)))
    answered_at = clock()
    if isinstance(reply, TransportError):
        yield Finding("project", "wrong", f"{reply.reason} ({where}: {reply})")
        yield Finding("keys", "skipped", "they cannot be fetched.")
        for what in ("server key", "clock"):
            yield Finding(what, "skipped", "Hexclave was not reached.")
        return
    try:
        document = api.key_set_document(reply)
        count = len(parse_key_set(document))
    except (UnusableReply, ValueError) as error:
        reason, detail = reasons.KEYS_UNUSABLE, "an unusable answer"
        if isinstance(error, UnusableReply):
            reason, detail = error.reason, str(error)
        yield Finding("project", "wrong", f"{reason} ({where}: {detail})")
        yield Finding("keys", "skipped", "they cannot be fetched.")
        yield Finding("server key", "skipped", "there is no project to use it for.")
    else:
        yield Finding("project", "ok", f"Hexclave knows {where}.")
        yield Finding("keys", "ok", f"{count} public key{'s' * (count != 1)} fetched.")
        yield _server_key(config, driver)
    yield _clock(config, reply.headers, asked_at, answered_at)


def _server_key(config: HexclaveConfig, driver: SyncDriver) -> Finding:
    what = "server key"
    if config.secret_server_key is None:
        needed = "permissions, teams, .live() and API keys need HEXCLAVE_SECRET_SERVER_KEY."
        return Finding(what, "skipped", f"secret_server_key is not set; {needed}")
    reply = driver.run(_ask(api.server_request(config, "a user", api.user_path(_NOBODY))))
    try:
        if isinstance(reply, TransportError):
            raise reply
        api.read_user(reply, config)
    except ServerKeyRefused as error:
        return Finding(what, "wrong", str(error))
    except (TransportError, UnusableReply) as error:
        return Finding(what, "wrong", f"{error.reason} ({error})")
    return Finding(what, "ok", "Hexclave accepts it.")


def _clock(config: HexclaveConfig, headers: Mapping[str, str], asked_at: float, answered_at: float) -> Finding:
    """Hold this machine's clock against the server's `Date` (RFC 9110 section 6.6.1), and a cache's `Age`."""
    age = headers.get("age", "0")
    try:
        told = parsedate_to_datetime(headers.get("date", "")).timestamp() + (int(age) if age.isdigit() else 0)
    except (ValueError, TypeError, OverflowError):
        return Finding("clock", "skipped", "the answer does not say what time it is.")
    ahead = 0.0
    if answered_at < told:
        ahead = answered_at - told
    elif asked_at > told:
        ahead = asked_at - told
    if abs(ahead) <= config.leeway + _PRECISION:
        return Finding("clock", "ok", "it agrees with the server's.")
    how = f"{abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} the server's"
    effect = "tokens seem to be over" if ahead > 0 else "new tokens seem to be from the future"
    return Finding("clock", "wrong", f"it is {how}, so {effect}: set this machine's clock, by NTP for instance.")


def _key_file(config: HexclaveConfig, now: float) -> Finding:
    """Whether a process that starts during an outage would find keys."""
    what = "jwks_file"
    try:
        text = KeyFile(config.jwks_file or "", MAX_TEXT).read()
        if text is None:
            return Finding(what, "skipped", "it is not there yet; the first process that fetches the keys writes it.")
        count = len(KeptKeys(config).read(text, now).keys)
    except (FileUnusable, ValueError) as error:
        return Finding(what, "wrong", f"it is not used: {error}.")
    return Finding(what, "ok", f"it has {count} public key{'s' * (count != 1)} for an outage.")


def _redis(config: HexclaveConfig) -> Finding:
    if config.redis_url is None:
        return Finding("Redis", "skipped", "redis_url is not set: this process remembers for itself.")
    if type(config.redis_url).__module__.startswith("redis.asyncio"):
        return Finding("Redis", "skipped", "the client in the settings works on event loops only.")
    try:
        scripts = RedisScripts(config.redis_url, config.http_timeout)
    except ConfigurationError as error:
        return Finding("Redis", "wrong", str(error))
    try:
        scripts.run("return redis.call('TIME')", [], [])  # a command that an ACL has to allow anyway
    except RedisUnavailable as error:
        return Finding("Redis", "wrong", f"what redis_url leads to cannot be asked: {error}.")
    else:
        with contextlib.suppress(RedisUnavailable):  # an ACL may forbid INFO
            fitness = read_info(scripts.run(INFO, [], []))
            if fitness is not None and fitness.complaint is not None:
                return Finding("Redis", "wrong", fitness.complaint)
    finally:
        scripts.close()
    return Finding("Redis", "ok", "it answers.")


def _ask(request: Request) -> Flow[Reply | TransportError]:
    try:
        reply: Reply = yield Fetch(request)
    except TransportError as error:
        return error
    return reply
