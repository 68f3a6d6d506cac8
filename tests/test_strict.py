"""The strict readers: one spelling a value, and nothing but ValueError for anything else."""

from __future__ import annotations

import base64
import inspect
import json
import sys
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexclave_integrations._base import strict

T = TypeVar("T")


def at_depth(depth: int, function: Callable[[], T]) -> T:
    """Call `function` with `depth` more frames on the stack."""
    return function() if depth == 0 else at_depth(depth - 1, function)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b"{}", {}, id="empty"),
        pytest.param(b'  {"a" : 1 }\r\n\t', {"a": 1}, id="whitespace-of-the-grammar"),
        pytest.param(b'{"a":{"a":1}}', {"a": {"a": 1}}, id="same-key-on-two-levels"),
        pytest.param('{"a":"é😀"}'.encode(), {"a": "é😀"}, id="utf-8"),
        pytest.param(b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}, id="surrogate-pair"),
        pytest.param(b'{"a":"\\\\ud800"}', {"a": "\\ud800"}, id="escaped-backslash-is-no-surrogate"),
        pytest.param(b'{"a":-1.5e3}', {"a": -1500.0}, id="number"),
        pytest.param(b'{"a":123456789012345678901234567890}', {"a": 123456789012345678901234567890}, id="long-integer"),
        pytest.param(b'{"a":true,"b":null}', {"a": True, "b": None}, id="literals"),
    ],
)
def test_an_object_is_read(text: bytes, expected: object) -> None:
    """Plain RFC 8259 objects are read as json would."""
    assert expected == strict.json_object(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" ", id="blank"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"a"', id="string"),
        pytest.param(b"1", id="number"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{", id="open"),
        pytest.param(b"{}{}", id="two-objects"),
        pytest.param(b"{}\x00", id="trailing-nul"),
        pytest.param(b"{'a':1}", id="single-quotes"),
        pytest.param(b'{"a":1,}', id="trailing-comma"),
        pytest.param(b'{"a":01}', id="leading-zero"),
        pytest.param(b'{"a":1/*c*/}', id="comment"),
        pytest.param(b'{"a":"\n"}', id="control-character-in-string"),
        pytest.param(b'{"a":1,"a":1}', id="duplicate-key-same-value"),
        pytest.param(b'{"a":1,"a":2}', id="duplicate-key"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="duplicate-key-spelled-otherwise"),
        pytest.param(b'{"x":{"a":1,"a":2}}', id="duplicate-key-inside"),
        pytest.param(b'{"a":NaN}', id="nan"),
        pytest.param(b'{"a":Infinity}', id="infinity"),
        pytest.param(b'{"a":-Infinity}', id="minus-infinity"),
        pytest.param(b'{"a":1e400}', id="overflow-to-infinity"),
        pytest.param(b'{"a":[-1e999]}', id="overflow-to-minus-infinity"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="five-thousand-digits"),
        pytest.param(b'{"a":"\\ud800"}', id="lone-high-surrogate"),
        pytest.param(b'{"a":"\\udc00x"}', id="lone-low-surrogate"),
        pytest.param(b'{"\\ud800":1}', id="lone-surrogate-in-key"),
        pytest.param(b'{"a":{"b":["\\udfff"]}}', id="lone-surrogate-inside"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', id="utf-8-bom"),
        pytest.param('{"a":1}'.encode("utf-16"), id="utf-16"),
        pytest.param('{"a":1}'.encode("utf-32"), id="utf-32"),
        pytest.param(b'{"a":"\xff"}', id="not-utf-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="surrogate-in-utf-8"),
        pytest.param(b'{"a":"\xc0\xaf"}', id="overlong-utf-8"),
        pytest.param(b'{"a":' * 513 + b"1" + b"}" * 513, id="deep-objects"),
        pytest.param(b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", id="deep-arrays"),
        pytest.param(b"[" * 100_000, id="open-brackets"),
    ],
)
def test_anything_else_is_a_value_error(text: bytes) -> None:
    """What two parsers could read differently, or what no genuine sender writes, is refused."""
    with pytest.raises(ValueError):  # noqa: PT011 (the contract names no message)
        strict.json_object(text)


PADDING = "x" * 4096


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"p":"%s","a":1,"a":1}', id="at-the-top"),
        pytest.param('{"p":"%s","x":[{"a":1,"b":2},{"a":1,"a":2}]}', id="inside"),
        pytest.param('{"p":"%s","a":1,"\\u0061":2}', id="spelled-otherwise"),
        pytest.param('{"p":"%s","a" :1,"a" :2}', id="blank-before-the-colon"),
        pytest.param('{"p":"%s","a"\t:1,"a"\r\n:2}', id="other-blanks-before-the-colon"),
        pytest.param('{"p":"%s","a"\n\n:1,"a":2}', id="several-blanks-before-the-colon"),
        pytest.param('{"p":"%s","a":"x:y","a":":"}', id="colons-in-texts"),
        pytest.param('{"p":"%s","a":"\\":","a":"\\": :"}', id="quotation-marks-and-colons-in-texts"),
        pytest.param('{"p":"%s","":0,"":0}', id="empty-names"),
        pytest.param('{"p":"%s","x:":1,"x:":2}', id="colon-in-the-name"),
        pytest.param('{"p":"%s","a":NaN}', id="nan"),
        pytest.param('{"p":"%s","a":-1e999}', id="overflow"),
        pytest.param('{"p":"%s","a":"\\uD800"}', id="lone-surrogate"),
        pytest.param('{"p":"%s","a":"\\udfffx"}', id="lone-low-surrogate"),
        pytest.param('{"p":"%s"}null', id="two-values"),
        pytest.param('[{"p":"%s"}]', id="array"),
        pytest.param("null" + " " * 4096 + "%.0s", id="null"),
    ],
)
def test_long_texts_are_held_to_the_same(text: str) -> None:
    """A long text is read in another way, and refused for the same faults, a repeated name above all."""
    with pytest.raises(ValueError):  # noqa: PT011
        strict.json_object((text % PADDING).encode(), max_brackets=None)


@settings(max_examples=300, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "a:", ' "', "\t", ""]), st.sampled_from(["", ":", '":', " :", "x"]))),
    st.sampled_from(["", " ", "\t", "\r\n", "  "]),
    st.booleans(),
)
def test_a_repeated_name_never_hides_in_a_long_text(pairs: list[tuple[str, str]], blank: str, is_nested: bool) -> None:
    """However colons, quotation marks and blanks lie, a long text is refused exactly if a name is repeated."""
    inner = "{" + ",".join(f"{json.dumps(name)}{blank}:{json.dumps(value)}" for name, value in pairs) + "}"
    text = '{"p":"' + PADDING + '","x":' + (f"[{inner},{{}}]" if is_nested else inner) + "}"

    try:
        found = strict.json_object(text.encode(), max_brackets=None)["x"]
    except ValueError:
        assert len(dict(pairs)) < len(pairs)
    else:
        assert len(dict(pairs)) == len(pairs)
        assert found == ([dict(pairs), {}] if is_nested else dict(pairs))


@settings(max_examples=100, deadline=None, database=None)
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=5), st.booleans())
def test_long_objects_are_read_back(value: dict[str, str], ascii_only: bool) -> None:
    """Whatever characters a long object holds, escaped or not, it comes back equal."""
    whole = {"padding": PADDING, "value": value}

    assert whole == strict.json_object(json.dumps(whole, ensure_ascii=ascii_only).encode())


def test_many_brackets_are_allowed_where_asked_for() -> None:
    """A long list from a trusted server may be read without the bracket limit."""
    text = json.dumps({"items": [{}] * 1000}).encode()

    assert len(strict.json_object(text, max_brackets=None)["items"]) == 1000


@pytest.mark.parametrize("nested", [pytest.param(100, id="100-levels"), pytest.param(500, id="500-levels")])
def test_a_deep_stack_of_the_caller_never_shows_as_a_recursion_error(nested: int) -> None:
    """However little stack is left, hostile nesting with escapes is read or is a ValueError."""
    text = b'{"a":' + b"[" * nested + b'"\\u0041"' + b"]" * nested + b"}"

    def outcome() -> str:
        try:
            strict.json_object(text)
        except ValueError:
            return "refused"
        return "read"

    free = sys.getrecursionlimit() - len(inspect.stack(0))
    outcomes = {at_depth(depth, outcome) for depth in range(free - nested - 60, free - 40)}
    assert outcomes <= {"read", "refused"}


@settings(max_examples=150, deadline=None, database=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_value_error(text: bytes) -> None:
    """No other exception leaves the JSON reader."""
    try:
        strict.json_object(text)
    except ValueError:
        return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, database=None)
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5), st.booleans())
def test_what_json_writes_is_read_back(value: dict[str, object], ascii_only: bool) -> None:
    """Every object that json can write, escaped or not, comes back equal."""
    assert value == strict.json_object(json.dumps(value, ensure_ascii=ascii_only).encode())


@settings(max_examples=200, deadline=None, database=None)
@given(st.binary(max_size=100))
def test_base64url_reads_what_is_encoded(raw: bytes) -> None:
    """Canonical base64url without padding comes back."""
    assert raw == strict.base64url(base64.urlsafe_b64encode(raw).rstrip(b"="))


@settings(max_examples=300, deadline=None, database=None)
@given(st.binary(max_size=12) | st.text("ABab01-_+/= \n", max_size=12).map(str.encode))
def test_base64url_has_one_spelling_a_value(segment: bytes) -> None:
    """What is read would be written exactly so."""
    try:
        raw = strict.base64url(segment)
    except ValueError:
        return

    assert segment == base64.urlsafe_b64encode(raw).rstrip(b"=")


@pytest.mark.parametrize(
    "segment",
    [
        pytest.param(b"QQ==", id="padding"),
        pytest.param(b"QUI=", id="one-padding"),
        pytest.param(b"Q", id="impossible-length"),
        pytest.param(b"QUJDQ", id="impossible-length-later"),
        pytest.param(b"QR", id="four-stray-bits"),
        pytest.param(b"QUJ", id="two-stray-bits"),
        pytest.param(b"-_8+", id="plus"),
        pytest.param(b"-_8/", id="slash"),
        pytest.param(b"QU JD", id="space"),
        pytest.param(b"QUJD\n", id="line-feed"),
        pytest.param(b"\nQUJD", id="leading-line-feed"),
        pytest.param(b"QU!D", id="exclamation-mark"),
        pytest.param(b"QU\x00D", id="nul"),
        pytest.param(b"QU\xffD", id="high-byte"),
        pytest.param(b"====", id="padding-only"),
    ],
)
def test_base64url_refuses_slack(segment: bytes) -> None:
    """Padding, foreign characters and stray bits are no base64url."""
    with pytest.raises(ValueError):  # noqa: PT011
        strict.base64url(segment)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("e0b52f4d-dece-408c-af49-d23061bb0f8d", True, id="usual"),
        pytest.param("E0B52F4D-DECE-408C-AF49-D23061BB0F8D", True, id="upper-case"),
        pytest.param("00000000-0000-0000-0000-000000000000", True, id="nil"),
        pytest.param("e0b52f4d-dece-408c-af49-d23061bb0f8d\n", False, id="line-feed"),
        pytest.param(" e0b52f4d-dece-408c-af49-d23061bb0f8d", False, id="space"),
        pytest.param("e0b52f4ddece408caf49d23061bb0f8d", False, id="no-dashes"),
        pytest.param("{e0b52f4d-dece-408c-af49-d23061bb0f8d}", False, id="braces"),
        pytest.param("e0b52f4d-dece-408c-af49-d23061bb0f8", False, id="short"),
        pytest.param("٠0b52f4d-dece-408c-af49-d23061bb0f8d", False, id="foreign-digit"),  # noqa: RUF001
        pytest.param("e0b52f4d-dece-408c-af49-d23061bb0f8d/..", False, id="path"),
        pytest.param(None, False, id="none"),
        pytest.param(0xE0B52F4DDECE408CAF49D23061BB0F8D, False, id="integer"),
        pytest.param(b"e0b52f4d-dece-408c-af49-d23061bb0f8d", False, id="bytes"),
    ],
)
def test_a_uuid_has_its_usual_spelling(value: object, expected: bool) -> None:
    """Ids are compared and put into paths, so only the 36-character form counts."""
    assert expected is strict.is_uuid(value)
