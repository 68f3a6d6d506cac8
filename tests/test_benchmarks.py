"""The benchmarks run, name what they measure, and are held against the whole budget; no test says how fast."""

from __future__ import annotations

import importlib
import math

import pytest

from benchmarks import __main__ as entry
from benchmarks import _budget, _report, inside, instructions, requests
from benchmarks._measure import Scale, Table

TINY = Scale(0.002)

# What each part measures, by the titles of its tables.
ROWS: dict[str, dict[str, set[str]]] = {
    "verify": {
        "Verification": {
            "raw ES256 verification (cryptography)",
            "jwt.decode, key in hand",
            "documented snippet (PyJWKClient + jwt.decode)",
            "hexclave: first sight of a token",
            "hexclave: repeated token",
            "hexclave: repeated token, verify_token alone",
            "hexclave: garbage refused",
            "hexclave: wrong project refused",
            "hexclave: unknown key refused",
            "hexclave: expired token refused",
            "hexclave: forged signature refused",
        }
    },
    "telemetry": {
        f"Telemetry: {what}": {
            "raw ES256 verification (cryptography)",
            "OpenTelemetry: one addition to a counter",
            "hexclave: no observer",
            "hexclave: an observer that does nothing",
            "hexclave: OpenTelemetry",
        }
        for what in ("a repeated token", "a remembered permission")
    },
    "refresh": {"Waiting for keys": {"the first request of a process", "the longest request while keys are refreshed"}},
    "permissions": {
        "Permissions and API keys": {
            "one REST call (httpx, connection kept)",
            "hexclave: permission, asked",
            "hexclave: permission, remembered",
            "hexclave: a whole request with it, remembered",
            "one REST call for an API key (httpx)",
            "hexclave: API key and its owner, asked",
            "hexclave: API key, remembered",
        },
        "Permissions and API keys, on an event loop": {
            "one REST call (httpx, connection kept)",
            "hexclave: permission, asked",
            "hexclave: permission, remembered",
            "hexclave: API key, remembered",
        },
    },
    "webhooks": {
        f"Webhooks of {kilobytes} KB": {
            "bare HMAC-SHA256",
            "json.loads",
            "svix library",
            "svix library, then json.loads",
            "hexclave: verified",
            "hexclave: received and dispatched",
            "hexclave: forgery refused",
        }
        for kilobytes in (1, 10, 100)
    },
    "imports": {
        "Imports": {
            "jwt (the documented snippet)",
            "hexclave_integrations",
            "starlette",
            "+ hexclave_integrations.starlette",
            "fastapi",
            "+ hexclave_integrations.fastapi",
            "flask",
            "+ hexclave_integrations.flask",
            "django",
            "+ hexclave_integrations.django",
            "svix (verifies webhooks)",
            "hexclave_integrations.webhooks",
        }
    },
    "memory": {
        "Memory": {
            "50 tokens, token_cache_size=500",
            "500 tokens, token_cache_size=500",
            "50 tokens, token_cache_size=25",
            "500 tokens, token_cache_size=25",
        }
    },
    "growth": {
        "Growth: a repeated token": {"1 remembered", "5 remembered", "50 remembered", "500 remembered"},
        "Growth: a remembered permission": {"1 asked about", "5 asked about", "500 asked about"},
        "Growth: keys of a project": {"1 key", "6 keys", "64 keys"},
    },
    "timing": {
        "Constant time": {
            "control: a comparison that stops at the first difference",
            "webhook signature: first or last byte wrong",
            "access token: first or last byte of its signature wrong",
            "API key: its id unknown, or its secret wrong",
        }
    },
}
DIFFERENCES = {"added us", "kit over floor", "x raw", "Welch's t"}
REQUESTS = {
    "unprotected",
    "written by hand, repeated tokens",
    "hexclave, repeated tokens",
    "hexclave, every token new",
    "documented snippet, repeated tokens",
}


def check(tables: list[Table], expected: dict[str, set[str]]) -> None:
    """Hold tables against the rows they must have; every number is finite, and all but differences are positive."""
    assert {table.title: set(table.rows) for table in tables} == expected
    for table in tables:
        for numbers in table.rows.values():
            for heading, number in zip(table.columns, numbers, strict=True):
                assert math.isfinite(number), (table.title, heading)
                assert number > 0 or heading in DIFFERENCES, (table.title, heading)


@pytest.mark.parametrize("name", ROWS)
def test_a_part_measures_what_it_names(name: str) -> None:
    """Each part gives its tables, with every row it promises and usable numbers."""
    check(importlib.import_module(f"benchmarks.{name}").tables(TINY), ROWS[name])


@pytest.mark.parametrize("framework", ["FastAPI", "Django WSGI"])
def test_requests_are_measured_under_the_real_server(framework: str) -> None:
    """The applications of a framework answer under its server, one of each kind, in all five ways."""
    check(requests.tables(TINY, [framework]), {f"One request through {framework}": REQUESTS})


@pytest.mark.parametrize("framework", inside.FRAMEWORKS)
def test_requests_are_measured_without_a_server(framework: str) -> None:
    """The applications of a framework answer in process as well, in all four ways."""
    check(inside.tables(TINY, [framework]), {inside.TITLE: {framework}})


def test_instructions_need_valgrind(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it the part says so, and nothing is counted."""
    monkeypatch.setattr("shutil.which", lambda name: None)

    assert instructions.tables(TINY) == []
    assert "valgrind is not installed" in capsys.readouterr().err


def test_every_part_is_tested() -> None:
    """No part of a run is left out here."""
    assert {*ROWS, "requests", "inside"} == set(entry.PARTS)
    assert entry.SLOW == ("instructions",)


def test_quick_runs_print_numbers_and_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    """One part alone prints its table and the budget lines it speaks of, and writes nothing."""
    before = _report.RESULTS.read_bytes()

    assert entry.main(["--only", "refresh", "--quick"]) == 0

    printed = capsys.readouterr().out
    assert "WAITING FOR KEYS" in printed
    assert "no request waits for a key refresh" in printed
    assert _report.RESULTS.read_bytes() == before


def test_results_are_written_of_whole_runs_only(capsys: pytest.CaptureFixture[str]) -> None:
    """A part alone cannot replace the results of all."""
    with pytest.raises(SystemExit):
        entry.main(["--only", "refresh", "--write"])
    assert "needs all parts" in capsys.readouterr().err


def test_verdicts_say_by_how_much_an_aim_is_missed() -> None:
    """Too slow and too little are misses by their share of the limit; what is better than the limit is met."""
    speed, throughput = _budget.AIMS[0], _budget.AIMS[2]
    tables = [
        Table(
            speed.table, {speed.column: ".1f"}, {aim.row: (1.8,) for aim in _budget.AIMS if aim.table == speed.table}
        ),
        Table(throughput.table, {throughput.column: ".1f"}, {throughput.row: (0.855,)}),
    ]
    assert math.isclose(speed.miss(tables[0]), 0.2)
    assert math.isclose(throughput.miss(tables[1]), 0.1)

    met = Table(throughput.table, {throughput.column: ".1f"}, {throughput.row: (0.96,)})
    assert _budget.verdicts([met]) == [(throughput.name, "0.96 x", "met", "")]


def test_reasons_belong_to_aims() -> None:
    """No reason is kept for an aim that is not there any more."""
    assert set(_budget.WHY) <= {aim.name for aim in _budget.AIMS}


def test_results_name_every_aim() -> None:
    """The results in the repository hold the last run against every line of the budget, and say how it was made."""
    text = _report.RESULTS.read_text()
    for aim in _budget.AIMS:
        assert f"| {aim.name} | " in text
    for fact in ("date", "command", "Python", "packages", "processor"):
        assert f"\n- {fact}: " in text
