"""Why a delivery is refused: each defect has its reason, and the log is not filled with them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

import pytest

from hexclave_integrations import RequestRefused
from hexclave_integrations import _reasons as reasons
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from . import _server

SECRET_PARTS = ("svix-id", "svix-timestamp", "svix-signature")
Delivery = tuple[bytes, dict[str, str]]


def without(*names: str) -> Callable[[Delivery], Delivery]:
    return lambda given: (given[0], {name: value for name, value in given[1].items() if name not in names})


def header(name: str, value: str) -> Callable[[Delivery], Delivery]:
    return lambda given: (given[0], {**given[1], name: value})


def renamed(*names: str) -> Callable[[Delivery], Delivery]:
    def bend(given: Delivery) -> Delivery:
        return given[0], {
            name.replace("svix-", "webhook-") if name in names else name: value for name, value in given[1].items()
        }

    return bend


def body(change: Callable[[bytes], bytes]) -> Callable[[Delivery], Delivery]:
    return lambda given: (change(given[0]), given[1])


BENT: dict[str, tuple[Callable[[Delivery], Delivery], str]] = {
    "no headers": (without(*SECRET_PARTS), reasons.WEBHOOK_NO_HEADERS),
    "no id": (without("svix-id"), reasons.WEBHOOK_HEADER_MISSING),
    "no timestamp": (without("svix-timestamp"), reasons.WEBHOOK_HEADER_MISSING),
    "no signature": (without("svix-signature"), reasons.WEBHOOK_HEADER_MISSING),
    "mixed": (renamed("svix-id"), reasons.WEBHOOK_HEADERS_MIXED),
    "repeated": (header("SVIX-ID", "x"), reasons.WEBHOOK_HEADER_REPEATED),
    "id": (header("svix-id", "a b"), reasons.WEBHOOK_ID),
    "timestamp": (header("svix-timestamp", "soon"), reasons.WEBHOOK_TIMESTAMP),
    "timestamp with a zero": (header("svix-timestamp", "01"), reasons.WEBHOOK_TIMESTAMP),
    "old": (header("svix-timestamp", "1"), reasons.WEBHOOK_TOO_OLD),
    "future": (header("svix-timestamp", "999999999999"), reasons.WEBHOOK_IN_FUTURE),
    "no comma": (header("svix-signature", "x"), reasons.WEBHOOK_SIGNATURE_HEADER),
    "no base64": (header("svix-signature", "v1,!"), reasons.WEBHOOK_SIGNATURE_HEADER),
    "stray bits": (header("svix-signature", "v1,eB=="), reasons.WEBHOOK_SIGNATURE_HEADER),
    "many": (header("svix-signature", " ".join(["v1,eA=="] * 17)), reasons.WEBHOOK_SIGNATURE_HEADER),
    "other version": (header("svix-signature", "v2,eA=="), reasons.WEBHOOK_NO_V1),
    "large": (body(lambda raw: raw + b" " * 2_000_000), reasons.WEBHOOK_TOO_LARGE),
    "empty": (body(lambda raw: b""), reasons.WEBHOOK_EMPTY),
    "no UTF-8": (body(lambda raw: b"\xff" + raw), reasons.WEBHOOK_NOT_UTF8),
    "rewritten": (body(lambda raw: json.dumps(json.loads(raw)).encode()), reasons.WEBHOOK_REWRITTEN),
    "indented": (body(lambda raw: json.dumps(json.loads(raw), indent=1).encode()), reasons.WEBHOOK_REWRITTEN),
    "new line": (body(lambda raw: b"\n" + raw), reasons.WEBHOOK_REWRITTEN),
    "altered": (body(lambda raw: raw.replace(b"secret-name", b"another")), reasons.WEBHOOK_SIGNATURE),
}


@pytest.fixture
def clock() -> _server.Clock:
    return _server.Clock()


@pytest.fixture
def delivery(clock: _server.Clock) -> tuple[Webhooks, Delivery]:
    sandbox = Sandbox(clock=clock)
    webhooks = Webhooks(secrets=sandbox.config.webhook_secrets, clock=clock)
    return webhooks, sandbox.webhook("user.created", {"id": "x", "display_name": "secret-name"})


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in BENT])
def test_each_defect_has_its_reason(
    delivery: tuple[Webhooks, Delivery], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In the error and in the log, with nothing of the delivery, and never in the answer."""
    bend, expected = BENT[name]
    webhooks, genuine = delivery
    raw, headers = bend(genuine)
    with pytest.raises(RequestRefused) as refused:
        webhooks.verify(raw, headers)
    answers = [webhooks.receive(raw, headers), asyncio.run(webhooks.areceive(raw, headers))]

    assert refused.value.reason == expected
    assert answers[0] == answers[1] == (400, refused.value.headers(), refused.value.body())
    assert expected not in str(answers)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"A webhook delivery was refused: {expected}")
    ]


def test_a_genuine_delivery_that_is_no_event(clock: _server.Clock) -> None:
    """The signature is right, so the reason speaks of the body."""
    sandbox = Sandbox(clock=clock)
    webhooks = Webhooks(secrets=sandbox.config.webhook_secrets, clock=clock)
    with pytest.raises(RequestRefused) as refused:
        webhooks.verify(*sandbox.webhook("user.created", None))

    assert refused.value.reason == reasons.WEBHOOK_NO_EVENT


def test_a_reason_is_logged_once_a_minute(
    delivery: tuple[Webhooks, Delivery], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the number of those that were left out, each reason by itself: strangers cannot fill the log."""
    webhooks, (raw, headers) = delivery
    seconds = _server.Clock()
    webhooks._log._clock = seconds
    caplog.set_level(logging.DEBUG)
    for pause in (0, 1, 58, 1):
        seconds.advance(pause)
        webhooks.receive(b"x" + raw, headers)
        webhooks.receive(raw, {})

    first, other = (
        f"A webhook delivery was refused: {one}" for one in (reasons.WEBHOOK_SIGNATURE, reasons.WEBHOOK_NO_HEADERS)
    )
    more = " (and 2 times more since this was last written)"
    assert [record.getMessage() for record in caplog.records] == [first, other, first + more, other + more]
