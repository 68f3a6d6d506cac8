"""The hook for Sentry: no credential leaves the process, whatever came in which form, and the rest of an event does."""

from __future__ import annotations

import base64
import copy
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from hexclave_integrations.sentry import FILTERED, before_send, scrub
from hexclave_integrations.testing import Sandbox

from .hostile.wire import leaks

FRAMEWORKS = ("fastapi", "starlette", "flask", "django")
ROOT = Path(__file__).parents[1]

SANDBOX = Sandbox()
ALICE = SANDBOX.create_user()
TOKEN = SANDBOX.token(ALICE)
REFRESH = SANDBOX.new_session(ALICE).refresh_token
KEY = SANDBOX.create_api_key(ALICE).value
SESSION = json.dumps({"refresh_token": REFRESH, "updated_at_millis": 1})
PAIR = json.dumps({"accessToken": TOKEN, "refreshToken": REFRESH})
ESCAPED = "".join(f"%{ord(character):02X}" for character in TOKEN)
ENVELOPE = base64.b64encode(PAIR.encode()).decode()


@pytest.fixture(scope="module")
def told() -> dict[str, list[Any]]:
    """What Sentry was told of each failing view, by framework."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "tests._sentry_apps"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: [line for line in lines if line["framework"] == name] for name in FRAMEWORKS}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_no_credential_reaches_sentry(told: dict[str, list[Any]], framework: str) -> None:
    """Headers, cookies, locals, breadcrumbs, spans, extras and messages of a failing view hold none, in any form."""
    assert len(told[framework]) >= 16
    for line in told[framework]:
        leaked = leaks(line["secrets"], json.dumps(line["raw"]))
        assert len(leaked) >= len(set(line["secrets"])) / 2, f"{line['form']}: they were there before"
        assert leaks(line["secrets"], json.dumps(line["sent"])) == set(), line["form"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_event_stays_useful(told: dict[str, list[Any]], framework: str) -> None:
    """Which exception, where, with which lines of source and which request: all that is still there."""
    for line in told[framework]:
        (before,) = (event for event in line["raw"] if event.get("type") != "transaction")
        (after,) = (event for event in line["sent"] if event.get("type") != "transaction")
        assert after["event_id"] == before["event_id"]
        assert after["request"]["url"] == before["request"]["url"]
        assert after["request"]["headers"].keys() == before["request"]["headers"].keys()
        frames = [event["exception"]["values"][-1]["stacktrace"]["frames"] for event in (before, after)]
        for one, other in zip(*frames, strict=True):
            for name in ("filename", "function", "module", "lineno", "context_line", "pre_context", "post_context"):
                assert one[name] == other[name]
            assert one["vars"].keys() == other["vars"].keys()


PLACES: dict[str, Any] = {
    "header": {"request": {"headers": {"X-Stack-Access-Token": TOKEN}}},
    "header of WSGI": {"request": {"env": {"HTTP_X_HEXCLAVE_REFRESH_TOKEN": REFRESH}}},
    "bearer": {"request": {"headers": {"Authorization": f"Bearer {TOKEN}"}}},
    "envelope": {"extra": {"said": f"Bearer stackauth_{ENVELOPE}"}},
    "envelope, encoded": {"request": {"query_string": f"a=hexclave_{quote(ENVELOPE, safe='')}"}},
    "envelope in a URL in a URL": {"request": {"url": f"https://a.test/?next={quote(quote(PAIR))}"}},
    "every character encoded": {"request": {"query_string": f"token={ESCAPED}&page=2"}},
    "token in base64": {"extra": {"said": base64.b64encode(TOKEN.encode()).decode()}},
    "cookies": {"request": {"cookies": {"theme": "dark", f"stack-refresh-{ALICE.id}": REFRESH}}},
    "cookie header": {"request": {"headers": {"Cookie": f"a=b; stack-refresh={REFRESH}; c=d"}}},
    "structured cookie": {"extra": {"said": f"__Host-hexclave-refresh-{ALICE.id}--default={quote(SESSION)}"}},
    "structured cookie in a repr": {"vars": {"cookies": repr({f"hexclave-refresh-{ALICE.id}--default": SESSION})}},
    "access cookie": {"extra": {"said": f'hexclave-access=["{REFRESH}","{TOKEN}"]'}},
    "query": {"request": {"query_string": f"refresh_token={REFRESH}&page=2"}},
    "subprotocol": {"request": {"headers": {"Sec-WebSocket-Protocol": f"hexclave, hexclave.access-token.{TOKEN}"}}},
    "list of headers": {"vars": {"headers": [["b'x-stack-refresh-token'", f"b'{REFRESH}'"]]}},
    "list of headers in a repr": {"vars": {"scope": repr([(b"x-stack-refresh-token", REFRESH.encode())])}},
    "JSON in JSON": {"extra": {"said": json.dumps(json.dumps({"a": PAIR}))}},
    "bytes": {"extra": {"said": TOKEN.encode()}},
    "a key of a dict": {"vars": {"tokens": {TOKEN: 1, f"'{KEY}'": {TOKEN: 2}}}},
    "a cut token": {"vars": {"header": f"{TOKEN[:200]}..."}},
    "a cut API key": {"vars": {"text": f"{KEY[:40]}..."}},
    "a signature": {"vars": {"signature": repr(TOKEN.rpartition(".")[2])}},
    "an API key in a repr": {"vars": {"ask": f"functools.partial(<function check>, '{KEY}')"}},
    "an API key with a prefix of one's own": {"vars": {"text": KEY.replace("sk_", "shop_live_", 1)}},
    "server key": {"vars": {"config": repr({"key": SANDBOX.config.secret_server_key})}},
    "webhook secret": {"vars": {"secrets": repr(SANDBOX.config.webhook_secrets)}},
    "breadcrumb": {"breadcrumbs": {"values": [{"message": f"GET /?access_token={TOKEN}"}]}},
    "span": {"spans": [{"description": "GET", "data": {"http.request.header.x-stack-auth": PAIR}}]},
    "log": {"body": f"token {TOKEN}", "attributes": {"key": {"value": KEY}}},
    "elsewhere, once it is known": {"request": {"headers": {"x-stack-refresh-token": REFRESH}}, "message": REFRESH},
    "elsewhere, from an envelope": {"extra": {"a": f"stackauth_{ENVELOPE}", "b": f"value: {REFRESH}"}},
    "very deep": {"vars": json.loads('{"a":' * 60 + json.dumps(TOKEN) + "}" * 60)},
}
SECRETS = [
    TOKEN,
    ESCAPED,
    REFRESH,
    KEY[:48],
    ENVELOPE,
    str(SANDBOX.config.secret_server_key),
    *SANDBOX.config.webhook_secrets,
]


@pytest.mark.parametrize("place", PLACES)
def test_wherever_a_credential_stands(place: str) -> None:
    """It is found by the name it has, by its shape, or because it was found elsewhere."""
    event = PLACES[place]
    before = copy.deepcopy(event)

    cleaned = before_send(event, {})

    assert leaks(SECRETS, repr(before)) != set()
    assert leaks(SECRETS, repr(cleaned)) == set()
    assert event == before, "the event that was handed over is left as it is"


def test_what_is_no_credential_stays() -> None:
    """Ids, names of modules, prose about tokens, other cookies and the application's own fields are left alone."""
    event = {
        "event_id": "0123456789abcdef0123456789abcdef",
        "level": "error",
        "timestamp": 1795603140.5,
        "user": {"id": ALICE.id, "email": "alice@example.test"},
        "request": {
            "url": "https://shop.test/teams/42?page=2%2B3",
            "headers": {"Accept": "*/*", "Cookie": "theme=dark"},
            "cookies": {"theme": "dark"},
        },
        "message": "The authorization header is missing; access token expired. See hexclave_integrations.fastapi.",
        "exception": {
            "values": [
                {
                    "module": "hexclave_integrations.errors",
                    "stacktrace": {
                        "frames": [
                            {
                                "filename": "hexclave_integrations/_token/find.py",
                                "context_line": 'refresh_token = request.headers["x-stack-refresh-token"]',
                                "vars": {"accept_cookies": True, "count": "3", "path": "'/reports/2026'"},
                            }
                        ]
                    },
                }
            ]
        },
    }

    assert before_send(event, {}) == event


def test_names_of_ones_own() -> None:
    """A header that the application chose for API keys is one of the credentials, in any spelling."""
    event = {"headers": {"X-Partner-Key": "short"}, "env": {"HTTP_X_PARTNER_KEY": "short"}, "other": "short"}

    filtered = {"headers": {"X-Partner-Key": FILTERED}, "env": {"HTTP_X_PARTNER_KEY": FILTERED}, "other": "short"}
    assert scrub(event, names=["x-partner-key"]) == filtered
    assert scrub(event) == event


def test_nothing_makes_it_fail() -> None:
    """What cannot be scrubbed is left out, and the rest is sent."""

    class Bad(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError

    class Opaque:
        def __repr__(self) -> str:
            return TOKEN

    loop: dict[str, Any] = {"token": TOKEN}
    loop["itself"] = loop

    assert scrub({"bad": Bad(a=TOKEN), "message": "fine"}) == {"message": "fine"}
    assert scrub({"extra": Opaque(), "message": "fine"}) == {"extra": FILTERED, "message": "fine"}
    assert leaks([TOKEN], repr(scrub({"loop": loop}))) == set()
    assert scrub({1: TOKEN, None: 2}) == {1: FILTERED, None: 2}
    event: Any
    for event in (None, 5, [], {}):
        assert scrub(event) == event


@pytest.mark.parametrize(
    "unit",
    [
        *("eyJ", "a", "-", "_", ".", "%25", "%", "=", " ", '"', "sk_", "whsec_", "stackauth_", "hexclave_"),
        *("574ck4u7h", "authorization:", "authorization: Bearer ", "stack-refresh-", "stack-refresh=", "a" * 85 + "!"),
        *("refresh_token%22%3A", "access_token': b'", "stack-refresh" + '"' * 24, "api_key" + "-" * 15 + "!"),
    ],
)
def test_hostile_text_takes_time_in_proportion(unit: str) -> None:
    """A quarter of a megabyte of anything is scrubbed in a moment; four times more of it is not even read."""
    text = unit * (250_000 // len(unit))
    seconds = []
    for _ in range(5):
        start = time.process_time()
        scrub({"message": text, "extra": {"text": text * 4}})
        seconds.append(time.process_time() - start)
        if seconds[-1] < 1:
            break

    assert min(seconds) < 1


def test_a_flood_of_secrets_is_bounded() -> None:
    """However many credentials an event has, the work stays in proportion to its size, and all go by shape and name."""
    tokens = [SANDBOX.token(ALICE, claims={"name": str(number)}) for number in range(200)]
    refresh_tokens = [SANDBOX.new_session(ALICE).refresh_token for _ in range(200)]
    event = {
        "vars": {str(number): token for number, token in enumerate(tokens)},
        "all": " ".join(tokens),
        "refresh": " ".join(f"refresh_token={token}" for token in refresh_tokens),
    }
    start = time.process_time()

    cleaned = scrub(event)

    assert time.process_time() - start < 2
    assert leaks(tokens + refresh_tokens, json.dumps(cleaned)) == set()
