"""Play the phases: start everything, let things go wrong and be mended again, and hand over what happened."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hexclave_integrations import HexclaveConfig
from hexclave_integrations.testing import Sandbox

from .._services import Redis
from ._cast import Cast, key_set
from ._load import Load, send
from ._oracle import Bounds, History, Outcome, Stage, Ticket, verdict
from ._phases import CALM, RECOVERY, SETTINGS, Phase
from ._proxy import Arrival, Proxy
from ._servers import Process, fleet

__all__ = ["Run", "play"]

_HEAD_START = 0.6  # between those who are to be remembered being asked about, and what they are to be remembered in
_TELLTALES = ("Traceback", "Internal Server Error")
_SECRETS = ("eyJ", "574ck4u7h", "ssk_", "whsec_")  # how tokens, API keys, server keys and webhook secrets look


@dataclass(slots=True)
class Run:
    """What happened.

    Attributes:
        arrivals: requests that reached Hexclave, or what stood in its place.
        memory: MB by process: after the first phase, and at the end.
        complaints: what the servers logged that they never should.
    """

    bounds: Bounds
    history: History
    outcomes: list[Outcome]
    arrivals: list[Arrival]
    memory: dict[str, tuple[float, float]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def problems(self) -> list[tuple[str, Outcome]]:
        """Every wrong answer, with what is wrong about it, in their order."""
        judged = ((verdict(self.bounds, self.history, outcome), outcome) for outcome in self.outcomes)
        return sorted(((what, outcome) for what, outcome in judged if what), key=lambda pair: pair[1].begin)


def length(phases: Sequence[Phase], bounds: Bounds) -> float:
    """Seconds that the phases take, with a recovery after each trouble."""
    return sum(phase.seconds + (_rest(bounds) if phase.is_trouble else 0) for phase in phases) + 0.5


def play(
    phases: Sequence[Phase],
    redis: Redis,
    *,
    apps: Sequence[str],
    requests: int,
    say: Callable[[str], object] = lambda text: None,
) -> Run:
    """Play the phases against a fleet.

    Args:
        redis: runs, and nobody else uses it.
        apps: the names of the applications, once for each process.
        requests: how many to make at most.
        say: gets the timeline, a line at a time.
    """
    with contextlib.ExitStack() as stack:
        sandbox, history = Sandbox(), History()
        api = stack.enter_context(sandbox.serve())
        config = dataclasses.replace(sandbox.config, **SETTINGS)
        bounds = Bounds(config)
        cast = Cast(sandbox, history)
        foreign = key_set(cast.foreign, cast.foreign.config.project_id)
        proxy = stack.enter_context(Proxy(api, foreign, key_set(cast.forger, config.project_id)))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        names = [f"{name}-{number}" for number, name in enumerate(apps, 1)]
        environs = [_environ(config, proxy.url, redis.url) | proxy.environ_for(name) for name in names]
        processes = stack.enter_context(fleet(apps, environs, directory))
        stack.callback(proxy.play, RECOVERY)  # before the servers end: one that hangs on us would take its time
        endpoint = sandbox.deliver_webhooks_to(_receiver(cast, processes[0]), retries=(0.2,) * 100)
        stack.enter_context(endpoint)
        stage = _Stages(history, proxy, redis)
        load = Load(processes, cast, lambda: stage.phase, requests, length(phases, bounds))
        run = Run(bounds, history, load.outcomes, proxy.arrivals)
        early: list[float] = []

        def ask_all(ticket: Ticket) -> None:
            load.outcomes.extend(send(process, ticket) for process in processes)

        cast.begin()
        _prime(
            cast, lambda ticket: [send(process, ticket) for process in processes]
        )  # unjudged: they load what they need
        say(f"{len(processes)} processes: {', '.join(names)}; {requests} requests in {length(phases, bounds):.0f} s")
        with load:
            start = time.monotonic()
            for number, phase in enumerate(phases):
                following = phases[number + 1] if number + 1 < len(phases) else None
                say(f"{time.monotonic() - start:6.1f} s  {phase.name}, {phase.seconds:g} s")
                with stage.playing(phase):
                    if phase.rotates:
                        cast.rotate()
                    cast.begin()
                    time.sleep(phase.seconds / 4)
                    cast.strike()
                    time.sleep(max(0.0, phase.seconds * 3 / 4 - (0 if phase.is_trouble else _HEAD_START)))
                    if not phase.is_trouble and following is not None:
                        _prime(cast, ask_all)
                cast.end()
                early = early or [process.memory() for process in processes]
                if phase.is_trouble:
                    with stage.playing(RECOVERY):
                        time.sleep(_rest(bounds) - _HEAD_START)
                        if following is not None:
                            _prime(cast, ask_all)
        say(f"{time.monotonic() - start:6.1f} s  over")
        run.memory = {p.name: (first, p.memory()) for p, first in zip(processes, early, strict=True)}
        run.complaints = [line for process in processes for line in _complaints(process)]
        return run


def _rest(bounds: Bounds) -> float:
    """A recovery: what the oracle grants, and half a second in which everything has to be right."""
    return bounds.settle + 0.5


def _prime(cast: Cast, ask: Callable[[Ticket], object]) -> None:
    begin = time.monotonic()
    cast.prime(ask)
    time.sleep(max(0.0, _HEAD_START - (time.monotonic() - begin)))


class _Stages:
    """Lets the trouble of a phase begin and end, and keeps the history."""

    def __init__(self, history: History, proxy: Proxy, redis: Redis) -> None:
        self._history, self._proxy, self._redis = history, proxy, redis
        self.phase = CALM

    @contextlib.contextmanager
    def playing(self, phase: Phase) -> Iterator[None]:
        """A phase, from before its trouble until after it."""
        stage = Stage(phase, time.time())
        self._history.stages.append(stage)
        self.phase = phase
        self._proxy.play(phase)
        if phase.redis == "pauses":
            self._redis.pause()
        elif phase.redis == "stops":
            self._redis.stop()
        try:
            yield
        finally:
            self.phase = RECOVERY
            if phase.redis == "pauses":
                self._redis.resume()
            elif phase.redis == "stops":
                self._redis.start()
            self._proxy.play(RECOVERY)
            stage.end = time.time()


def _environ(config: HexclaveConfig, api_url: str, redis_url: str) -> dict[str, str]:
    values = {
        **SETTINGS,
        "project_id": config.project_id,
        "secret_server_key": config.secret_server_key,
        "api_url": api_url,
        "issuer_urls": config.api_url,
        "webhook_secret": config.webhook_secrets[0],
        "redis_url": redis_url,
    }
    return {f"HEXCLAVE_{name.upper()}": str(value) for name, value in values.items()}


def _receiver(cast: Cast, process: Process) -> Callable[[bytes, Mapping[str, str]], int]:
    """Takes webhooks: revocations that are to be heard of go to one process of the fleet, the rest to nobody."""

    def receive(body: bytes, headers: Mapping[str, str]) -> int:
        event: dict[str, Any] = json.loads(body)
        fate = cast.heard.get(event["data"].get("user_id", ""))
        if event["type"] != "team_permission.deleted" or fate is None:
            return 200
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", "/webhooks/hexclave", body, dict(headers))
            status = connection.getresponse().status
        if status == 200:
            fate.heard = time.time()
        return status

    return receive


def _complaints(process: Process) -> Iterator[str]:
    for number, line in enumerate(process.log.read_text(errors="replace").splitlines(), 1):
        for word in _TELLTALES:
            if word in line:
                yield f"{process.name} logged {word!r}, line {number}"
        for word in _SECRETS:
            if word in line:
                yield f"{process.name} logged something that begins like a secret, {word!r}, line {number}"
