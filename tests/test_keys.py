"""The key ring: the table of decisions with explicit times, and the reader of key sets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, SECP384R1, generate_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from hexclave_integrations import HexclaveConfig
from hexclave_integrations._token.keys import MAX_KEYS, Decision, KeyRing, parse_key_set

from ._minting import ABSENT, PROJECT, P, data, encode, jwk, key_set, new_key

MAX_AGE, MAX_STALE, COOLDOWN = 600.0, 86400.0, 30.0
T = 1_767_225_600.0
ONE, TWO, THREE = (new_key().public_key() for _ in range(3))
SET = key_set(jwk(ONE, "one"), jwk(TWO, "two"))


def ring(**changes: Any) -> KeyRing:
    """An empty ring."""
    return KeyRing(HexclaveConfig(project_id=PROJECT, **changes))


def filled(now: float = T, **changes: Any) -> KeyRing:
    """A ring that took `SET` at `now`."""
    made = ring(**changes)
    made.accept(SET, now)
    return made


# --- decisions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "known", "unknown"),
    [
        pytest.param(0.0, Decision.USE, Decision.FETCH, id="just-fetched"),
        pytest.param(MAX_AGE - 0.001, Decision.USE, Decision.FETCH, id="last-fresh-moment"),
        pytest.param(MAX_AGE, Decision.USE_AND_REFRESH, Decision.FETCH, id="first-old-moment"),
        pytest.param(MAX_STALE - 0.001, Decision.USE_AND_REFRESH, Decision.FETCH, id="last-usable-moment"),
        pytest.param(MAX_STALE, Decision.FETCH, Decision.FETCH, id="too-old"),
        pytest.param(MAX_STALE * 10, Decision.FETCH, Decision.FETCH, id="much-too-old"),
        pytest.param(-0.001, Decision.FETCH, Decision.FETCH, id="from-the-future"),
    ],
)
def test_age_decides_what_to_do_for_a_key(age: float, known: Decision, unknown: Decision) -> None:
    """Fresh keys are used, old ones used and refreshed behind, too old ones fetched first."""
    assert known is filled().decide("one", T + age)
    assert unknown is filled().decide("nine", T + age)


@pytest.mark.parametrize(
    ("age", "unknown"),
    [
        pytest.param(0.0, Decision.REFUSE, id="fresh"),
        pytest.param(MAX_AGE, Decision.REFUSE, id="old"),
        pytest.param(MAX_STALE, Decision.CANNOT_TELL, id="too-old"),
    ],
)
def test_a_request_that_has_waited_does_not_fetch_again(age: float, unknown: Decision) -> None:
    """After its one fetch a request is refused, or told that nothing can be told."""
    assert unknown is filled().decide("nine", T + age, may_fetch=False)


def test_an_empty_ring_fetches_once_and_then_cannot_tell() -> None:
    """Without keys nobody is refused and nobody is let in: one attempt a cool-down."""
    made = ring()

    assert Decision.FETCH is made.decide("one", T)
    made.failed(T)
    assert Decision.CANNOT_TELL is made.decide("one", T)
    assert Decision.CANNOT_TELL is made.decide("one", T + COOLDOWN - 0.001)
    assert Decision.FETCH is made.decide("one", T + COOLDOWN)
    assert Decision.CANNOT_TELL is made.decide("one", T + COOLDOWN, may_fetch=False)


def test_a_flood_of_unknown_keys_fetches_once_a_cooldown() -> None:
    """The first unknown key fetches; whatever comes in the next 30 s is refused without."""
    made = filled()

    assert Decision.FETCH is made.decide("unknown-0", T + 1)
    made.accept(SET, T + 1, wanted="unknown-0")
    decisions = {made.decide(f"unknown-{n}", T + 1 + n * COOLDOWN / 1000) for n in range(1000)}

    assert {Decision.REFUSE} == decisions
    assert Decision.FETCH is made.decide("unknown-0", T + 1 + COOLDOWN)


def test_known_keys_serve_during_a_flood_of_unknown_ones() -> None:
    """The cool-down for unknown keys delays nobody else."""
    made = filled()
    made.accept(SET, T + 1, wanted="unknown")

    assert Decision.USE is made.decide("one", T + 1)


def test_a_rotated_key_is_found_by_the_first_token_that_names_it() -> None:
    """A fetch that brings the wanted key arms no cool-down: the next new key is fetched as well."""
    made = filled()

    assert Decision.FETCH is made.decide("three", T + 5)
    made.accept(key_set(jwk(ONE, "one"), jwk(THREE, "three")), T + 5, wanted="three")

    assert Decision.USE is made.decide("three", T + 5)
    assert Decision.FETCH is made.decide("two", T + 5)


def test_old_keys_start_one_refresh_a_cooldown() -> None:
    """One request starts the refresh, the others use what is there."""
    made, now = filled(), T + MAX_AGE

    assert Decision.USE_AND_REFRESH is made.decide("one", now)
    assert {Decision.USE} == {made.decide("one", now + n) for n in range(int(COOLDOWN))}
    assert Decision.USE_AND_REFRESH is made.decide("one", now + COOLDOWN)


def test_a_failed_refresh_keeps_the_keys_and_starts_the_cooldown() -> None:
    """Through an outage known keys go on serving; an unknown key is then no proof of forgery."""
    made, now = filled(), T + MAX_AGE
    before = made.current

    made.failed(now)

    assert before is made.current
    assert Decision.USE is made.decide("one", now)
    assert Decision.CANNOT_TELL is made.decide("nine", now)
    assert Decision.USE_AND_REFRESH is made.decide("one", now + COOLDOWN)
    assert Decision.FETCH is made.decide("nine", now + COOLDOWN)


def test_an_outage_is_survived_up_to_the_bound() -> None:
    """Failures every cool-down for a day: the keys serve until 24 h, then nothing can be told."""
    made = filled()
    now = T + MAX_AGE
    while now < T + MAX_STALE:
        assert made.decide("one", now) in (Decision.USE, Decision.USE_AND_REFRESH)
        made.failed(now)
        now += COOLDOWN * 10

    made.failed(T + MAX_STALE)
    assert Decision.CANNOT_TELL is made.decide("one", T + MAX_STALE)
    made.accept(SET, T + MAX_STALE + COOLDOWN)
    assert Decision.USE is made.decide("one", T + MAX_STALE + COOLDOWN)


def test_a_success_ends_the_doubt_about_unknown_keys() -> None:
    """After a good fetch an unknown key is refused again, not "cannot tell"."""
    made = filled()
    made.failed(T + 1)
    assert Decision.CANNOT_TELL is made.decide("nine", T + 2)

    made.accept(SET, T + 2, wanted="nine")
    assert Decision.REFUSE is made.decide("nine", T + 3)


def test_a_clock_set_back_makes_the_age_unknown_and_does_not_block_fetching() -> None:
    """Neither keys nor cool-downs from the future count; the next fetch sets all right."""
    made = filled()
    made.failed(T + 10)
    earlier = T - 3600

    assert not made.is_fresh(earlier)
    assert Decision.FETCH is made.decide("one", earlier)
    made.accept(SET, earlier)
    assert Decision.USE is made.decide("one", earlier)
    assert made.is_fresh(earlier)


def test_a_clock_set_back_during_an_outage_still_has_a_cooldown() -> None:
    """Failures count from the clock as it is now."""
    made = filled()
    earlier = T - 3600
    made.failed(earlier)

    assert Decision.CANNOT_TELL is made.decide("one", earlier + 1)
    assert Decision.FETCH is made.decide("one", earlier + COOLDOWN)


def test_a_fetch_with_no_usable_key_changes_nothing() -> None:
    """`accept` raises before it touches the ring; the caller then notes the failure."""
    made = filled()
    before = made.current

    with pytest.raises(ValueError, match="no usable key"):
        made.accept(b'{"keys":[]}', T + 5)

    assert before is made.current
    assert Decision.USE is made.decide("one", T + 5)


@pytest.mark.parametrize(
    ("document", "generation"),
    [
        pytest.param(SET, 1, id="same-bytes"),
        pytest.param(key_set(jwk(TWO, "two"), jwk(ONE, "one")), 1, id="another-order"),
        pytest.param(key_set(jwk(ONE, "one", use="sig"), jwk(TWO, "two"), {"kty": "RSA"}), 1, id="same-usable-keys"),
        pytest.param(key_set(jwk(ONE, "one")), 2, id="one-less"),
        pytest.param(key_set(jwk(ONE, "one"), jwk(TWO, "two"), jwk(THREE, "three")), 2, id="one-more"),
        pytest.param(key_set(jwk(ONE, "one"), jwk(THREE, "two")), 2, id="another-key-under-the-name"),
        pytest.param(key_set(jwk(TWO, "one"), jwk(ONE, "two")), 2, id="names-exchanged"),
        pytest.param(key_set(jwk(ONE, "One"), jwk(TWO, "two")), 2, id="another-name"),
    ],
)
def test_the_generation_changes_only_when_keys_change(document: bytes, generation: int) -> None:
    """What was proved by a key set stays proved while the keys are the same; its age starts anew."""
    made = filled()
    first = made.current

    made.accept(document, T + 100)

    assert generation == made.current.generation
    assert made.current.fetched_at == T + 100
    assert (generation == 1) is (first.keys is made.current.keys)
    assert (first.generation, first.fetched_at) == (1, T)


def test_a_withdrawn_key_is_gone_at_once() -> None:
    """Key ids that the new set lacks are unknown."""
    made = filled()
    made.accept(key_set(jwk(ONE, "one")), T + 10)

    assert Decision.FETCH is made.decide("two", T + 10)
    assert "two" not in made.current.keys


def test_a_snapshot_cannot_be_changed() -> None:
    """Readers take no lock because nobody writes into what they read."""
    with pytest.raises(TypeError):
        filled().current.keys["x"] = ONE  # type: ignore[index]  # that is the point
    with pytest.raises(AttributeError):
        filled().current.generation = 9  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("now", "armed", "expected"),
    [
        pytest.param(T, False, False, id="fresh"),
        pytest.param(T + MAX_AGE, False, True, id="old"),
        pytest.param(T + MAX_AGE, True, False, id="old-and-cooling"),
        pytest.param(T + MAX_AGE + COOLDOWN, True, True, id="cooled"),
        pytest.param(T - 1, False, True, id="from-the-future"),
    ],
)
def test_a_background_refresh_looks_before_it_fetches(now: float, armed: bool, expected: bool) -> None:
    """Whoever comes late finds nothing to do."""
    made = filled()
    if armed:
        made.failed(T + MAX_AGE)

    assert expected is made.wants_refresh(now)


def test_an_empty_ring_wants_a_refresh() -> None:
    """Start-up may fetch before the first request."""
    assert ring().wants_refresh(T)
    assert not ring().is_fresh(T)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(T, 30.0, id="just-failed"),
        pytest.param(T + 20, 10.0, id="cooling"),
        pytest.param(T + 30, 0.0, id="cooled"),
        pytest.param(T + 1000, 0.0, id="long-ago"),
    ],
)
def test_retry_after_is_the_rest_of_the_cooldown(now: float, expected: float) -> None:
    """A 503 tells when asking again makes sense."""
    made = ring()
    assert made.retry_after(now) == 0.0

    made.failed(T)
    assert expected == made.retry_after(now)


def test_the_limits_come_from_the_configuration() -> None:
    """Each of the three times is the setting of its name."""
    made = filled(jwks_max_age=5, jwks_max_stale=10, jwks_cooldown=2)

    assert Decision.USE is made.decide("one", T + 4)
    assert Decision.USE_AND_REFRESH is made.decide("one", T + 5)
    assert Decision.USE is made.decide("one", T + 6)
    assert Decision.USE_AND_REFRESH is made.decide("one", T + 7)
    assert Decision.FETCH is made.decide("one", T + 10)


@settings(max_examples=100, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["accept", "failed", "decide"]),
            st.sampled_from(["one", "two", "nine"]),
            st.floats(-50, 90_000),
        ),
        max_size=30,
    )
)
def test_no_history_makes_an_unknown_or_outdated_key_usable(steps: list[tuple[str, str, float]]) -> None:
    """Whatever happens in whatever order: USE is said only of a key that is there and within its bound."""
    made = filled()
    for action, kid, offset in steps:
        now = T + offset
        if action == "accept":
            made.accept(SET, now, wanted=kid)
        elif action == "failed":
            made.failed(now)
        else:
            fetched_at = made.current.fetched_at
            assert fetched_at is not None
            usable = kid != "nine" and 0 <= now - fetched_at < MAX_STALE
            assert usable is (made.decide(kid, now) in (Decision.USE, Decision.USE_AND_REFRESH))


# --- key sets -----------------------------------------------------------------------------------------------


def test_a_published_key_set_is_read() -> None:
    """The recorded documents give their keys by name, equal to what was published."""
    documents = data("tokens.json")
    for name, count in (("jwks_plain", 2), ("jwks_include_anonymous", 6)):
        published = documents[name]["keys"]
        keys = parse_key_set(json.dumps(documents[name]).encode())

        assert count == len(keys)
        assert published == [jwk(keys[entry["kid"]], entry["kid"]) for entry in published]


GOOD = jwk(ONE, "good")
P384 = generate_private_key(SECP384R1()).public_key().public_numbers()
K256 = generate_private_key(SECP256K1()).public_key().public_numbers()
NUMBERS = TWO.public_numbers()


def stray_bits(segment: str) -> str:
    """A second, not canonical spelling of the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) | 1]


UNSUITABLE: list[Any] = [
    pytest.param(jwk(TWO, "bad", kty="RSA"), id="kty-rsa"),
    pytest.param(jwk(TWO, "bad", kty="ec"), id="kty-case"),
    pytest.param(jwk(TWO, "bad", kty="OKP"), id="kty-okp"),
    pytest.param(jwk(TWO, "bad", kty="oct", k="c2VjcmV0"), id="kty-secret"),
    pytest.param(jwk(TWO, "bad", kty=ABSENT), id="no-kty"),
    pytest.param(jwk(TWO, "bad", crv="P-384"), id="crv-384"),
    pytest.param(jwk(TWO, "bad", crv="secp256k1"), id="crv-k1"),
    pytest.param(jwk(TWO, "bad", crv="p-256"), id="crv-case"),
    pytest.param(jwk(TWO, "bad", crv=ABSENT), id="no-crv"),
    pytest.param(jwk(TWO, "bad", crv=["P-256"]), id="crv-list"),
    pytest.param(jwk(TWO, "bad", alg="ES384"), id="alg-es384"),
    pytest.param(jwk(TWO, "bad", alg="HS256"), id="alg-hs256"),
    pytest.param(jwk(TWO, "bad", alg="none"), id="alg-none"),
    pytest.param(jwk(TWO, "bad", alg="ECDH-ES"), id="alg-ecdh"),
    pytest.param(jwk(TWO, "bad", alg=None), id="alg-null"),
    pytest.param(jwk(TWO, "bad", use="enc"), id="use-enc"),
    pytest.param(jwk(TWO, "bad", use=None), id="use-null"),
    pytest.param(jwk(TWO, "bad", key_ops=["sign"]), id="key-ops-sign"),
    pytest.param(jwk(TWO, "bad", key_ops=[]), id="key-ops-empty"),
    pytest.param(jwk(TWO, "bad", key_ops="verify"), id="key-ops-string"),
    pytest.param(jwk(TWO, "bad", key_ops=None), id="key-ops-null"),
    pytest.param(jwk(TWO, "bad", key_ops=[["verify"]]), id="key-ops-nested"),
    pytest.param(jwk(TWO, "bad", d=encode(b"\x01" * 32)), id="private-part"),
    pytest.param(jwk(TWO, "bad", d=None), id="private-part-null"),
    pytest.param(jwk(TWO, ""), id="kid-empty"),
    pytest.param(jwk(TWO, kid=ABSENT), id="no-kid"),  # type: ignore[arg-type]  # leaves it out
    pytest.param(jwk(TWO, "bad") | {"kid": 1}, id="kid-number"),
    pytest.param(jwk(TWO, "bad") | {"kid": None}, id="kid-null"),
    pytest.param(jwk(TWO, "bad") | {"kid": ["bad"]}, id="kid-list"),
    pytest.param(jwk(TWO, "bad", x=ABSENT), id="no-x"),
    pytest.param(jwk(TWO, "bad", y=ABSENT), id="no-y"),
    pytest.param(jwk(TWO, "bad", x=None), id="x-null"),
    pytest.param(jwk(TWO, "bad", x=7), id="x-number"),
    pytest.param(jwk(TWO, "bad", x=""), id="x-empty"),
    pytest.param(jwk(TWO, "bad", x="ü" * 43), id="x-not-ascii"),
    pytest.param(jwk(TWO, "bad", x=encode(NUMBERS.x.to_bytes(32)) + "="), id="x-padded"),
    pytest.param(jwk(TWO, "bad", x=encode(NUMBERS.x.to_bytes(33))), id="x-33-bytes"),
    pytest.param(jwk(TWO, "bad", x=encode(NUMBERS.x.to_bytes(32)[1:])), id="x-31-bytes"),
    pytest.param(jwk(TWO, "bad", x=encode(NUMBERS.x.to_bytes(32)) + "\n"), id="x-line-feed"),
    pytest.param(jwk(TWO, "bad", x=stray_bits(encode(NUMBERS.x.to_bytes(32)))), id="x-stray-bits"),
    pytest.param(jwk(TWO, "bad", x="A" * 100_000), id="x-huge"),
    pytest.param(jwk(TWO, "bad", x=encode(bytes(32)), y=encode(bytes(32))), id="zero-point"),
    pytest.param(jwk(TWO, "bad", y=encode((NUMBERS.y ^ 1).to_bytes(32))), id="off-the-curve"),
    pytest.param(jwk(TWO, "bad", x=encode(NUMBERS.y.to_bytes(32)), y=encode(NUMBERS.x.to_bytes(32))), id="swapped"),
    pytest.param(jwk(TWO, "bad", x=encode(P.to_bytes(32))), id="x-is-the-prime"),
    pytest.param(jwk(TWO, "bad", x=encode(b"\xff" * 32)), id="x-all-ones"),
    pytest.param(jwk(TWO, "bad", x=encode(K256.x.to_bytes(32)), y=encode(K256.y.to_bytes(32))), id="point-of-k1"),
    pytest.param(jwk(TWO, "bad", x=encode(P384.x.to_bytes(48)), y=encode(P384.y.to_bytes(48))), id="point-of-p384"),
    pytest.param({}, id="empty-object"),
    pytest.param(None, id="null"),
    pytest.param([], id="array"),
    pytest.param("key", id="string"),
    pytest.param(5, id="number"),
    pytest.param({"keys": [GOOD]}, id="set-in-a-set"),
    pytest.param({"kty": "RSA", "kid": "bad", "n": "AQAB", "e": "AQAB"}, id="rsa-key"),
]


@pytest.mark.parametrize("entry", UNSUITABLE)
def test_what_is_no_es256_verification_key_is_skipped(entry: object) -> None:
    """Junk beside a good key costs nothing but itself."""
    assert parse_key_set(key_set(entry, GOOD, entry)) == {"good": ONE}


@pytest.mark.parametrize("entry", UNSUITABLE)
def test_a_set_of_unsuitable_keys_alone_is_refused(entry: object) -> None:
    """A set with no usable key never replaces one with keys."""
    with pytest.raises(ValueError, match="no usable key"):
        parse_key_set(key_set(entry))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(jwk(ONE, "good", alg=ABSENT), id="no-alg"),
        pytest.param(jwk(ONE, "good", use="sig"), id="use-sig"),
        pytest.param(jwk(ONE, "good", key_ops=["verify"]), id="key-ops-verify"),
        pytest.param(jwk(ONE, "good", key_ops=["sign", "verify"]), id="key-ops-both"),
        pytest.param(jwk(ONE, "good", x5c=["MIIB"], new={"a": 1}), id="unknown-members"),
    ],
)
def test_optional_members_may_be_there_or_not(entry: object) -> None:
    """`alg`, `use` and `key_ops` are optional (RFC 7517 section 4), unknown members ignored."""
    assert parse_key_set(key_set(entry)) == {"good": ONE}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([jwk(ONE, "a"), jwk(ONE, "a")], {"a": ONE}, id="same-key-twice"),
        pytest.param([jwk(ONE, "a"), jwk(ONE, "b")], {"a": ONE, "b": ONE}, id="one-key-two-names"),
        pytest.param([jwk(ONE, "a"), jwk(TWO, "a"), jwk(TWO, "b")], {"b": TWO}, id="two-keys-one-name"),
        pytest.param([jwk(ONE, "a"), jwk(TWO, "a"), jwk(ONE, "a"), jwk(TWO, "b")], {"b": TWO}, id="there-and-back"),
        pytest.param([jwk(ONE, "a"), jwk(TWO, "a", use="enc")], {"a": ONE}, id="the-other-is-unsuitable"),
    ],
)
def test_a_name_stands_for_one_key(entries: list[object], expected: dict[str, object]) -> None:
    """Two keys under one name: neither is trusted."""
    assert expected == parse_key_set(key_set(*entries))


def test_a_set_of_nothing_but_ambiguous_keys_is_refused() -> None:
    """Nothing remains, so the old set stays."""
    with pytest.raises(ValueError, match="no usable key"):
        parse_key_set(key_set(jwk(ONE, "a"), jwk(TWO, "a")))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="empty-object"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"keys"', id="string"),
        pytest.param(b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", id="html"),
        pytest.param(b"Project not found", id="plain-text"),
        pytest.param(b'{"keys":[]}', id="no-keys"),
        pytest.param(b'{"keys":null}', id="keys-null"),
        pytest.param(b'{"keys":{}}', id="keys-object"),
        pytest.param(b'{"keys":"x"}', id="keys-string"),
        pytest.param(json.dumps({"Keys": [GOOD]}).encode(), id="keys-case"),
        pytest.param(json.dumps([GOOD]).encode(), id="bare-list"),
        pytest.param(json.dumps(GOOD).encode(), id="bare-key"),
        pytest.param(key_set(GOOD)[:-1], id="truncated"),
        pytest.param(key_set(GOOD) + b"x", id="trailing-text"),
        pytest.param(b"\xef\xbb\xbf" + key_set(GOOD), id="bom"),
        pytest.param(key_set(GOOD).decode().encode("utf-16"), id="utf-16"),
        pytest.param(b"\xff" + key_set(GOOD), id="not-utf-8"),
        pytest.param(key_set(GOOD)[:-1] + b',"keys":[]}', id="keys-twice"),
        pytest.param(key_set(GOOD).replace(b'"good"', b'"good","kid":"b"'), id="kid-twice"),
        pytest.param(key_set(GOOD).replace(b'"good"', b'"\\ud800"'), id="lone-surrogate"),
        pytest.param(key_set(*[jwk(ONE, str(n)) for n in range(MAX_KEYS + 1)]), id="one-too-many"),
        pytest.param(key_set(*[GOOD] * 10_000), id="ten-thousand"),
        pytest.param(key_set(*[None] * 10_000, GOOD), id="ten-thousand-nulls"),
        pytest.param(b'{"keys":' + b"[" * 5000 + b"]" * 5000 + b"}", id="nested"),
        pytest.param(b'{"keys":' + b'[{"a":' * 200_000, id="nested-and-open"),
    ],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    """Error pages, truncations and floods raise ValueError and nothing else."""
    with pytest.raises(ValueError):  # noqa: PT011
        parse_key_set(document)


def test_as_many_keys_as_the_bound_are_read() -> None:
    """The bound itself is allowed."""
    assert len(parse_key_set(key_set(*[jwk(ONE, str(n)) for n in range(MAX_KEYS)]))) == MAX_KEYS


@settings(max_examples=150, deadline=None, database=None)
@given(
    st.dictionaries(
        st.sampled_from(["kty", "crv", "alg", "kid", "x", "y", "use", "key_ops", "d"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=50) | st.lists(st.text(max_size=5), max_size=2),
        max_size=4,
    )
)
def test_an_entry_of_any_shape_is_read_or_skipped(changes: dict[str, Any]) -> None:
    """No entry, however typed, raises anything or costs the good key its place."""
    assert parse_key_set(key_set(jwk(TWO, "bad") | changes, jwk(ONE, "the good one")))["the good one"] == ONE
