"""The fuzzer's targets, by themselves: they keep quiet about our readers, and notice those that are too lax."""

from __future__ import annotations

import base64
import importlib.util
import random
import re
import sys
from collections import Counter

import pytest

from . import _lax
from .__main__ import main
from ._seeds import seeds
from ._target import Finding, Target, run
from .targets import TARGETS

MUTATIONS = 1500
MORE = 20_000
NEEDS_ATHERIS = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")


def mutated(target: Target, rng: random.Random) -> bytes:
    """A seed, changed up to four times."""
    data = rng.choice(seeds_of(target.name))
    for _ in range(rng.choice([1, 1, 2, 4])):
        data = target.mutate(data, rng)[: target.max_len]
    return data


_seeds: dict[str, list[bytes]] = {}


def seeds_of(name: str) -> list[bytes]:
    """The seeds, made once: a sandbox stands behind them."""
    if name not in _seeds:
        _seeds[name] = seeds(name)
    return _seeds[name]


def checked(target: Target, data: bytes) -> bool:
    """As `run`; a failure says how to see it again."""
    try:
        return run(target, data)
    except Exception as error:
        error.add_note(f"python -m tests.fuzz --reproduce {target.name} {base64.b64encode(data).decode()}")
        raise


each_target = pytest.mark.parametrize("name", TARGETS)


@each_target
def test_every_seed_keeps_the_laws(name: str) -> None:
    """What real clients send breaks no law, and some of it is accepted."""
    seen = Counter(checked(TARGETS[name], seed) for seed in seeds_of(name))

    assert seen[True] >= 3
    assert all(len(seed) <= TARGETS[name].max_len for seed in seeds_of(name))


@each_target
def test_mutated_seeds_keep_the_laws(name: str) -> None:
    """Mutations break no law; they are accepted and refused, so that both sides are seen."""
    rng = random.Random(2026)

    seen = Counter(checked(TARGETS[name], mutated(TARGETS[name], rng)) for _ in range(MUTATIONS))

    assert min(seen[True], seen[False]) >= 5


@each_target
def test_random_bytes_keep_the_laws(name: str) -> None:
    """Bytes that nobody made with care are read without a failure."""
    rng = random.Random(2026)

    for _ in range(300):
        checked(TARGETS[name], rng.randbytes(rng.choice([0, 1, 2, 8, 100])))


@each_target
def test_a_reader_that_is_too_lax_is_found(name: str) -> None:
    """Each target notices a reader with a known weakness."""
    target, rng = _lax.TARGETS[name], random.Random(2026)

    with pytest.raises(Finding):
        all(run(target, mutated(target, rng)) is not None for _ in range(MORE))


def test_a_slow_reader_is_found() -> None:
    """An input may not take long, whatever the answer."""

    def slow(data: bytes) -> bool:
        return sum(range(10_000_000)) > 0

    with pytest.raises(Finding, match="takes more than 50 ms"):
        run(Target("slow", "", slow, lambda data, rng: data, []), b"")


def test_without_atheris_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the fuzzer is not installed, the command says how to get it, and fails."""
    monkeypatch.setitem(sys.modules, "atheris", None)

    assert main([]) == 2
    assert "make fuzz" in capsys.readouterr().err


def test_an_input_can_be_reproduced_without_atheris(capsys: pytest.CaptureFixture[str]) -> None:
    """A reproducer says what becomes of it, and whether a law is broken."""
    padded = base64.b64encode(b"AQ==").decode()

    assert main(["--reproduce", "base64url", padded]) == 0
    assert main(["--reproduce", "base64url", padded], module=_lax.__name__) == 1
    assert capsys.readouterr().out.splitlines() == [
        "base64url: refused, and no law is broken",
        "base64url: a text is accepted that is not canonical",
    ]


@NEEDS_ATHERIS
def test_a_run_counts_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    """A target without findings ends with 0 and a row of numbers above zero."""
    assert main(["--only", "ids", "--seconds", "1"]) == 0

    row = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(
        r"\| ids +\| UUIDs and API keys +\| +[1-9][\d,]+ \| +[1-9]\d* \| +[1-9]\d* \| +[1-9]\d* \| +0 \|", row
    )


@NEEDS_ATHERIS
def test_a_run_with_a_finding_fails_and_prints_the_input(capsys: pytest.CaptureFixture[str]) -> None:
    """A finding ends with 1, names the law, and can be shown again with the command that is printed."""
    assert main(["--only", "base64url", "--seconds", "30"], module=_lax.__name__) == 1

    law, command = capsys.readouterr().out.splitlines()[-2:]
    assert law == "base64url: a text is accepted that is not canonical"
    assert main(command.split()[3:], module=_lax.__name__) == 1
    assert main(command.split()[3:]) == 0
