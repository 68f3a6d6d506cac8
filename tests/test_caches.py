"""The two memories: bounded, with times of their own, safe for threads."""

from __future__ import annotations

import threading

import pytest

from hexclave_integrations import HexclaveUser
from hexclave_integrations._memory import caches
from hexclave_integrations._memory.caches import AnswerCache, TokenCache, VerifiedToken
from hexclave_integrations._policy.state import digest

NOW = 1_800_000_000.0
USER = HexclaveUser(id="3241a285-8329-4d69-8f3d-316e08cf140c", kind="regular", project_id="internal")


def entry(generation: int = 1) -> VerifiedToken:
    return VerifiedToken(USER, 1_800_000_600, generation)


def test_token_cache_returns_what_was_put() -> None:
    """A remembered token comes back, and a later entry replaces an earlier one."""
    cache = TokenCache(2)
    cache.put(b"a", entry(1))
    cache.put(b"a", entry(2))

    assert entry(2) == cache.get(b"a")
    assert cache.get(b"b") is None
    assert len(cache) == 1


@pytest.mark.parametrize("size", [0, 1, 5])
def test_token_cache_keeps_no_more_than_its_size(size: int) -> None:
    """The oldest goes first; a cache of size 0 keeps nothing."""
    cache = TokenCache(size)
    for number in range(10):
        cache.put(bytes([number]), entry())

    assert size == len(cache)
    assert list(range(10 - size, 10)) == [number for number in range(10) if cache.get(bytes([number]))]


def test_token_cache_forgets_all() -> None:
    """`forget_all` empties, and the cache goes on working."""
    cache = TokenCache(5)
    for name in (b"a", b"b", b"c"):
        cache.put(name, entry())
    cache.forget_all()
    assert (cache.get(b"b"), len(cache)) == (None, 0)
    cache.put(b"d", entry())
    assert entry() == cache.get(b"d")


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        pytest.param(NOW, "answer", id="at once"),
        pytest.param(NOW + 59.9, "answer", id="shortly before the end"),
        pytest.param(NOW + 60, None, id="at the end"),
        pytest.param(NOW + 1e6, None, id="long after"),
        pytest.param(NOW - 1, None, id="clock set back"),
    ],
)
def test_answer_is_good_for_its_time(moment: float, expected: str | None) -> None:
    """An answer counts from its moment to its end; where the clock was set back its age is unknown."""
    cache = AnswerCache()
    cache.put("key", "answer", now=NOW, ttl=60)

    assert expected == cache.get("key", moment)


@pytest.mark.parametrize("ttl", [0.0, -1.0])
def test_answer_without_a_lifetime_is_not_kept(ttl: float) -> None:
    """A time of 0 means: ask every time."""
    cache = AnswerCache()
    cache.put("key", "answer", now=NOW, ttl=ttl)

    assert len(cache) == 0


@pytest.mark.parametrize("value", [False, 0, frozenset(), ""])
def test_empty_values_are_answers(value: object) -> None:
    """The cache itself does not judge values."""
    cache = AnswerCache()
    cache.put("key", value, now=NOW, ttl=1)

    assert value == cache.get("key", NOW)


def test_answers_are_bounded_and_the_least_recently_used_goes_first() -> None:
    """A flood of questions cannot fill the memory, and does not push out what is in use."""
    cache = AnswerCache()
    for number in range(caches.MAX_ANSWERS):
        cache.put(number, "answer", now=NOW, ttl=60)
    assert cache.get(0, NOW) == "answer"
    for number in range(100):
        cache.put(("flood", number), "answer", now=NOW, ttl=60)

    assert len(cache) == caches.MAX_ANSWERS
    assert cache.get(0, NOW) == "answer"
    assert cache.get(1, NOW) is None


def test_forgotten_tag_voids_answers_old_and_under_way() -> None:
    """What was asked before its tag was forgotten is void, also when the answer comes later; a new answer counts."""
    cache = AnswerCache()
    before = cache.sequence
    cache.put("there", "old", now=NOW, ttl=60, tags=("user:1", "team:1"))
    cache.put("other", "kept", now=NOW, ttl=60, tags=("user:2",))
    cache.forget(["user:1"])
    cache.put("late", "old", now=NOW, ttl=60, tags=("user:1",), sequence=before)

    assert tuple(cache.get(key, NOW) for key in ("there", "late", "other")) == (None, None, "kept")
    cache.put("there", "new", now=NOW, ttl=60, tags=("user:1", "team:1"), sequence=cache.sequence)
    assert cache.get("there", NOW) == "new"


def test_forgotten_tags_are_bounded() -> None:
    """A flood of webhooks cannot fill the memory, and losing count of a tag brings nothing back."""
    cache = AnswerCache()
    before = cache.sequence
    cache.put("key", "old", now=NOW, ttl=60, tags=("user:1",))
    cache.forget(["user:1"])
    for number in range(caches.MAX_ANSWERS + 10):
        cache.forget([f"team:{number}"])

    assert len(cache._forgotten) <= caches.MAX_ANSWERS + 1
    assert cache.get("key", NOW) is None
    cache.put("key", "late", now=NOW, ttl=60, tags=("user:1",), sequence=before)
    assert cache.get("key", NOW) is None
    cache.put("key", "new", now=NOW, ttl=60, tags=("user:1",), sequence=cache.sequence)
    assert cache.get("key", NOW) == "new"


def test_caches_bear_a_crowd_of_threads() -> None:
    """Readers and writers at once neither fail nor exceed the bound."""
    tokens, answers = TokenCache(16), AnswerCache()
    problems: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for number in range(2000):
                name = (seed * number) % 64
                tokens.put(bytes([name]), entry())
                tokens.get(bytes([name]))
                answers.put(name, number, now=NOW, ttl=60)
                answers.get(name, NOW)
                if number % 500 == 0:
                    tokens.forget_all()
        except BaseException as error:  # noqa: BLE001  # a thread's problem is the test's
            problems.append(error)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert problems == []
    assert len(tokens) <= 16
    assert len(answers) == 64


def test_digest_keeps_nothing_of_the_secret() -> None:
    """Secrets are remembered under SHA-256, whatever characters they have."""
    assert len(digest("a secret")) == 32
    assert digest("a") != digest("b")
    assert len(digest("\udcff")) == 32
