"""The warning about a memory that other processes do not share."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from hexclave_integrations.stores import MemoryStore
from hexclave_integrations.webhooks import Webhooks
from hexclave_integrations.webhooks._workers import sign_of_several

from ._webhooks import RUNNER_IDS, RUNNERS, SECRET, Runner, event

WARNING = "remembered in the memory of this process alone"


@pytest.mark.parametrize(
    ("environ", "argv", "others", "is_told"),
    [
        ({}, ["app.py"], {}, False),
        ({}, [], {}, False),
        ({"WEB_CONCURRENCY": "4"}, ["app.py"], {}, True),
        ({"WEB_CONCURRENCY": " 2 "}, ["app.py"], {}, True),
        ({"WEB_CONCURRENCY": "1"}, ["app.py"], {}, False),
        ({"WEB_CONCURRENCY": "auto"}, ["app.py"], {}, False),
        ({"WEB_CONCURRENCY": "9" * 5000}, ["app.py"], {}, False),
        ({"UVICORN_WORKERS": "2"}, ["app.py"], {}, True),
        ({"GRANIAN_WORKERS": "2"}, ["app.py"], {}, True),
        ({"GUNICORN_CMD_ARGS": "--bind=:80 --workers=3"}, ["/usr/bin/gunicorn", "app"], {}, True),
        ({"GUNICORN_CMD_ARGS": "--threads=3 'open"}, ["/usr/bin/gunicorn", "app"], {}, False),
        ({}, ["/usr/bin/gunicorn", "-w", "3", "app"], {}, True),
        ({}, ["/usr/bin/gunicorn", "-w3", "app"], {}, True),
        ({}, ["/usr/bin/gunicorn", "-w", "1", "app"], {}, False),
        ({}, ["/usr/bin/gunicorn", "app", "-w"], {}, False),
        ({}, ["/lib/uvicorn/__main__.py", "app:app", "--workers", "2"], {}, True),
        ({}, ["/usr/bin/hypercorn", "--workers=2", "app:app"], {}, True),
        ({}, ["/usr/bin/fastapi", "run", "--workers", "2"], {}, True),
        ({}, ["C:\\\\Scripts\\\\uvicorn.exe", "--workers", "0"], {}, False),
        ({}, ["report.py", "--workers", "8"], {}, False),
        ({}, ["app.py"], {"multiprocess": True}, True),
        ({}, ["app.py"], {"multiprocess": False}, False),
        ({}, ["app.py"], {"was_forked": True}, True),
        ({}, ["app.py"], {"was_forked": True, "multiprocess": False}, False),
    ],
)
def test_signs(environ: dict[str, str], argv: list[str], others: Any, is_told: bool) -> None:
    """What speaks for several processes, and what does not."""
    found = sign_of_several(environ, argv, **{"multiprocess": None, "was_forked": False, **others})
    assert (found is not None) is is_told


@pytest.mark.parametrize("make_runner", RUNNERS, ids=RUNNER_IDS)
def test_once(make_runner: type[Runner], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is written once, says what to do, and the delivery is handled."""
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    webhooks, runner = Webhooks([SECRET]), make_runner()
    assert [runner.receive(webhooks, event()) for _ in range(3)] == [200] * 3
    runner.close()
    found = [record.getMessage() for record in caplog.records if WARNING in record.getMessage()]
    assert len(found) == 1
    assert "WEB_CONCURRENCY is above 1" in found[0]
    assert "RedisStore(url)" in found[0]


@pytest.mark.parametrize("use", ["handle", "ahandle"])
def test_an_endpoint_of_the_applications_own(
    use: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an adapter it is the same."""
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    webhooks = Webhooks([SECRET])
    if use == "handle":
        webhooks.handle(*event())
    else:
        asyncio.run(webhooks.ahandle(*event()))
    assert WARNING in caplog.text


def test_a_forger_makes_no_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What is no delivery says nothing about how many receive them."""
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    body, headers = event()
    assert Webhooks([SECRET]).receive(body + b" ", headers)[0] == 400
    assert WARNING not in caplog.text


def test_a_store_that_is_shared(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A store of another kind is taken for a shared one."""
    monkeypatch.setenv("WEB_CONCURRENCY", "4")

    class Shared:
        def __init__(self) -> None:
            own = MemoryStore()
            self.claim, self.done, self.release = own.claim, own.done, own.release

    assert Webhooks([SECRET], Shared()).receive(*event())[0] == 200
    assert WARNING not in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_fork(tmp_path: Any) -> None:
    """A child that was given the application by its parent warns; the parent does not."""
    import logging

    webhooks = Webhooks([SECRET])
    logger, lines = logging.getLogger("hexclave_integrations"), list[str]()
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        assert webhooks.receive(*event())[0] == 200
        assert not any(WARNING in line for line in lines)
        child = os.fork()
        if child == 0:
            webhooks.receive(*event())
            os._exit(0 if any(WARNING in line for line in lines) else 1)
    finally:
        logger.removeHandler(handler)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
