"""Webhooks: which deliveries are genuine, what events they become, and which handlers are called."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import copy
import dataclasses
import functools
import json
import logging
import pickle
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from svix import Webhook as SvixWebhook

from hexclave_integrations import AsyncHexclaveClient, ConfigurationError, HexclaveClient
from hexclave_integrations import _reasons as reasons
from hexclave_integrations import webhooks as package
from hexclave_integrations._base import strict
from hexclave_integrations.errors import WebhookHandlerFailed, WebhookVerificationFailed
from hexclave_integrations.stores import MemoryStore, RedisStore
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import UserCreated, UserData, WebhookEvent, Webhooks, _body

from ._webhooks import (
    EVENTS,
    EXTRA_EVENTS,
    LIMIT,
    OLD_SECRET,
    RUNNER_IDS,
    RUNNERS,
    SECRET,
    VECTOR,
    Runner,
    event,
    new_id,
    signed,
)

NOW = 1767225600
ID = "3241a285-8329-4d69-8f3d-316e08cf140c"
BODY = b'{"type":"user.deleted","data":{"id":"3241a285-8329-4d69-8f3d-316e08cf140c","teams":[]}}'
REFUSED = (
    400,
    [("Content-Type", "application/json"), ("Cache-Control", "private, no-store")],
    b'{"code":"WEBHOOK_VERIFICATION_FAILED","error":"The webhook could not be verified."}',
)


@pytest.fixture
def webhooks() -> Webhooks:
    return Webhooks([SECRET])


@pytest.fixture(params=RUNNERS, ids=RUNNER_IDS)
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    runner = request.param()
    yield runner
    runner.close()


def refuses(webhooks: Webhooks, body: bytes, headers: Any) -> bool:
    """Whether a delivery is refused in every way there is to hand it in, with the same answer."""
    with pytest.raises(WebhookVerificationFailed):
        webhooks.verify(body, headers)
    with pytest.raises(WebhookVerificationFailed):
        webhooks.handle(body, headers)
    with pytest.raises(WebhookVerificationFailed):
        asyncio.run(webhooks.ahandle(body, headers))
    answers = [webhooks.receive(body, headers), asyncio.run(webhooks.areceive(body, headers))]
    return answers == [REFUSED, REFUSED]


class TestGenuine:
    """What the real sender signs is accepted."""

    def test_the_recorded_vector(self) -> None:
        """A delivery that the official library was seen to accept is accepted at its time."""
        webhooks = Webhooks([VECTOR["secret"]], clock=lambda: NOW)

        found = webhooks.verify(VECTOR["body"].encode(), VECTOR["headers"])

        assert ("team.deleted", VECTOR["headers"]["svix-id"]) == (found.type, found.id)
        assert datetime(2026, 1, 1, tzinfo=UTC) == found.timestamp
        assert VECTOR["body"].encode() == found.body

    def test_a_wrong_signature_before_the_right_one(self) -> None:
        """One genuine signature is enough: while the sender rotates its secret there are two."""
        webhooks = Webhooks([VECTOR["secret"]], clock=lambda: NOW)

        assert webhooks.verify(VECTOR["body"].encode(), VECTOR["headers_rotated"]).type == "team.deleted"

    @pytest.mark.parametrize("family", ["svix", "webhook"])
    def test_both_families_of_headers(self, webhooks: Webhooks, family: str) -> None:
        """Headers of Svix and of Standard Webhooks are understood, in any case, as text or bytes."""
        body, headers = signed(BODY, family=family)
        shapes: list[Any] = [
            headers,
            {name.title(): value for name, value in headers.items()},
            list(headers.items()),
            [(name.encode(), value.encode()) for name, value in headers.items()],
        ]

        assert [webhooks.verify(body, shape).type for shape in shapes] == ["user.deleted"] * 4

    @pytest.mark.parametrize("svix_first", [False, True])
    def test_both_families_at_once(self, webhooks: Webhooks, svix_first: bool) -> None:
        """Svix's own names count, as in Svix's own library; what is left of the other family does no harm."""
        body, own = signed(BODY)
        _, other = signed(BODY, family="webhook", secret=OLD_SECRET)
        both = {**own, **other} if svix_first else {**other, **own}
        SvixWebhook(SECRET).verify(body, both)

        assert webhooks.verify(body, both).id == own["svix-id"]
        assert webhooks.verify(body, own | {"webhook-id": "msg_other"}).id == own["svix-id"]
        assert webhooks.verify(*signed(BODY, family="webhook")).type == "user.deleted"
        assert refuses(webhooks, body, {**other, **dict.fromkeys(own, "x")})

    @pytest.mark.parametrize(
        "secret",
        [
            pytest.param(SECRET, id="24 bytes"),
            pytest.param("whsec_" + base64.b64encode(bytes(range(32))).decode(), id="padded"),
            pytest.param("whsec_" + base64.b64encode(bytes(range(32))).decode().rstrip("="), id="unpadded"),
            pytest.param("whsec_" + base64.b64encode(bytes(range(64))).decode().rstrip("="), id="64 bytes"),
        ],
    )
    def test_secrets_in_every_spelling(self, secret: str) -> None:
        """Whatever secret the official library signs with verifies here, padded or not."""
        assert Webhooks([secret]).verify(*signed(BODY, secret=secret)).type == "user.deleted"

    def test_rotation(self) -> None:
        """With several secrets a delivery of any of them is accepted, and of no other."""
        webhooks = Webhooks([SECRET, OLD_SECRET])

        assert webhooks.verify(*signed(BODY, secret=SECRET)).type == "user.deleted"
        assert webhooks.verify(*signed(BODY, secret=OLD_SECRET)).type == "user.deleted"
        assert refuses(Webhooks([SECRET]), *signed(BODY, secret=OLD_SECRET))

    def test_the_raw_bytes_count(self, webhooks: Webhooks) -> None:
        """What was signed is verified, not what JSON makes of it: spaces, order, escapes and emoji stay."""
        text = '{ "data" : {"id":"\\u0061", "n": 1.0 , "name":"Zoë 🦊"},\r\n\t"type":"team.created"}\n'
        body, headers = signed(text)

        assert webhooks.verify(body, headers).data["name"] == "Zoë 🦊"
        assert refuses(webhooks, json.dumps(json.loads(body)).encode(), headers)

    def test_signatures_of_other_versions_are_passed_over(self, webhooks: Webhooks) -> None:
        """A signature that is for other readers does not spoil the one for us."""
        body, headers = signed(BODY)
        headers["svix-signature"] = f"v1a,b3RoZXI= v2,x {headers['svix-signature']}"

        assert webhooks.verify(body, headers).type == "user.deleted"

    @pytest.mark.parametrize("skew", [-300, -299, 0, 299, 300])
    def test_the_tolerance(self, skew: int) -> None:
        """Five minutes either way are accepted."""
        assert Webhooks([SECRET], clock=lambda: NOW).verify(*signed(BODY, timestamp=NOW + skew))

    def test_the_largest_body(self, webhooks: Webhooks) -> None:
        """One MiB is accepted, one byte more is not."""
        text = '{"type":"x","data":{"a":"' + "a" * (1024 * 1024 - 28) + '"}}'

        assert len(webhooks.verify(*signed(text)).body) == 1024 * 1024
        assert refuses(webhooks, *signed(text + " "))

    @pytest.mark.parametrize("depth", [10, 300, 1_000, 3_000, 100_000])
    @pytest.mark.parametrize("opening", ['{"a":', "[", '[1,{"b":'])
    def test_however_deep(self, webhooks: Webhooks, depth: int, opening: str) -> None:
        """What users have put into their metadata is read, however deep it is and whatever Python can recurse to."""
        closing = "".join({"{": "}", "[": "]"}.get(letter, "") for letter in reversed(opening))
        text = '{"type": "user.updated", "data": {"id": "%s", "client_metadata": %s, "x": [1.5, "\\u00e9"]}}'
        found = webhooks.verify(*signed(text % (ID, opening * depth + ' "end" ' + closing * depth)))

        assert (found.type, found.data.id, found.data["x"]) == ("user.updated", ID, [1.5, "é"])
        inner, levels = found.data.client_metadata, 0
        while inner != "end":
            inner, levels = inner["a" if "a" in inner else "b"] if isinstance(inner, dict) else inner[-1], levels + 1
        assert levels == depth * len(closing)

    def test_a_deep_stack_of_the_callers(self, webhooks: Webhooks) -> None:
        """Little room on the stack is no reason to refuse what is genuine."""
        delivery = signed('{"type":"x","data":{"a":' + "[" * 400 + "]" * 400 + "}}")

        def call(frames: int) -> WebhookEvent:
            return call(frames - 1) if frames else webhooks.verify(*delivery)

        assert call(sys.getrecursionlimit() - 300).type == "x"

    @settings(max_examples=150, deadline=None)
    @given(
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
            max_leaves=12,
        ),
        indent=st.sampled_from([None, 2]),
        spoil=st.sampled_from(["", "", "", ",", ":", "]", "}", "[", "{", '"', "1", " ", "\\", "nul", "NaN", "\ud800"]),
        place=st.integers(0, 200),
    )
    def test_two_readers_agree(self, value: Any, indent: int | None, spoil: str, place: int) -> None:
        """The reader for deep texts reads what the other one reads, and refuses what it refuses."""
        text = json.dumps({"value": value}, indent=indent)
        text = text[: place % (len(text) + 1)] + spoil + text[place % (len(text) + 1) :]
        try:
            expected = strict.json_object(text.encode())
        except ValueError:
            with pytest.raises(ValueError):  # noqa: PT011  # the class is the contract
                _body._read_deep(text.encode().decode())
        else:
            assert _body._read_deep(text) == expected

    def test_a_sandbox_signs_likewise(self) -> None:
        """The sandbox's deliveries are genuine, and the official library agrees."""
        sandbox = Sandbox()
        body, headers = sandbox.webhook("user.created", {"id": ID})

        SvixWebhook(sandbox.config.webhook_secrets[0]).verify(body, headers)
        assert Webhooks(sandbox.config.webhook_secrets).verify(body, headers).data.id == ID


def without(name: str) -> Callable[[dict[str, str]], Any]:
    return lambda headers: {key: value for key, value in headers.items() if key != name}


def with_(name: str, value: str) -> Callable[[dict[str, str]], Any]:
    return lambda headers: headers | {name: value}


def twice(name: str) -> Callable[[dict[str, str]], Any]:
    return lambda headers: [*headers.items(), (name.upper(), headers.get(name, "x")), (name, headers.get(name, "x"))]


def renamed(*names: str) -> Callable[[dict[str, str]], Any]:
    return lambda headers: {(f"webhook{key[4:]}" if key[5:] in names else key): value for key, value in headers.items()}


def resigned(change: Callable[[str], str]) -> Callable[[dict[str, str]], Any]:
    return lambda headers: headers | {"svix-signature": change(headers["svix-signature"])}


class TestForged:
    """Everything else is refused with one answer that tells nothing."""

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda _: {}, id="no headers"),
            pytest.param(without("svix-id"), id="no id"),
            pytest.param(without("svix-timestamp"), id="no timestamp"),
            pytest.param(without("svix-signature"), id="no signature"),
            pytest.param(twice("svix-id"), id="two ids"),
            pytest.param(twice("svix-timestamp"), id="two timestamps"),
            pytest.param(twice("svix-signature"), id="two signatures"),
            pytest.param(renamed("id"), id="mixed: id"),
            pytest.param(renamed("timestamp"), id="mixed: timestamp"),
            pytest.param(renamed("signature"), id="mixed: signature"),
            pytest.param(renamed("id", "signature"), id="mixed: two"),
            pytest.param(twice("webhook-id"), id="two ids of the other family"),
            pytest.param(with_("svix-id", "msg_other"), id="another id"),
            pytest.param(with_("svix-id", ""), id="empty id"),
            pytest.param(with_("svix-id", "a b"), id="space in id"),
            pytest.param(with_("svix-id", "é"), id="non-ASCII id"),
            pytest.param(with_("svix-id", "x\ny"), id="newline in id"),
            pytest.param(with_("svix-id", "x" * 257), id="long id"),
            pytest.param(with_("svix-timestamp", str(NOW + 1)), id="another timestamp"),
            *[
                pytest.param(with_("svix-timestamp", text), id=f"timestamp {text!r}")
                for text in (
                    "",
                    " ",
                    "soon",
                    "-1",
                    "+1",
                    f"{NOW}.0",
                    f" {NOW}",
                    f"0{NOW}",
                    "1e9",
                    "٣",
                    "²",
                    "nan",
                    "inf",
                )
            ],
            pytest.param(with_("svix-timestamp", "9" * 12), id="timestamp far away"),
            pytest.param(with_("svix-timestamp", "9" * 5000), id="huge timestamp"),
            *[
                pytest.param(with_("svix-signature", text), id=f"signature {text[:12]!r}")
                for text in (
                    "",
                    " ",
                    "v1",
                    "v1,",
                    ",",
                    "v1,!",
                    "v1,é",
                    "v1,\ud800",
                    "v1,AAAA",
                    "v1," + "A" * 43 + "=",
                    "v2,",
                )
            ],
            pytest.param(resigned(lambda text: text.removeprefix("v1,")), id="no version"),
            pytest.param(resigned(lambda text: "v2," + text[3:]), id="another version"),
            pytest.param(resigned(str.upper), id="upper case"),
            pytest.param(resigned(lambda text: text[:-1]), id="unpadded"),
            pytest.param(resigned(lambda text: text + "="), id="too much padding"),
            pytest.param(resigned(lambda text: text[:10] + "\n" + text[10:]), id="newline within"),
            pytest.param(resigned(lambda text: text + " nonsense"), id="nonsense after it"),
            pytest.param(resigned(lambda text: text + "  " + text), id="two spaces"),
            pytest.param(resigned(lambda text: " ".join(["v1," + "A" * 43 + "="] * 16) + " " + text), id="too many"),
        ],
    )
    def test_headers(self, change: Callable[[dict[str, str]], Any]) -> None:
        """Headers that are missing, repeated, mixed, malformed or changed are refused."""
        webhooks = Webhooks([SECRET], clock=lambda: NOW)
        body, headers = signed(BODY, timestamp=NOW)

        assert refuses(webhooks, body, change(headers))

    @pytest.mark.parametrize("skew", [-301, 301, -86400, 86400])
    def test_old_and_future(self, skew: int) -> None:
        """A delivery of another time is refused, though its signature is genuine."""
        assert refuses(Webhooks([SECRET], clock=lambda: NOW), *signed(BODY, timestamp=NOW + skew))

    def test_another_body(self, webhooks: Webhooks) -> None:
        """One changed byte is one too many."""
        body, headers = signed(BODY)

        assert refuses(webhooks, body.replace(b"user", b"xser"), headers)
        assert refuses(webhooks, body + b"\n", headers)
        assert refuses(webhooks, b"", headers)

    @pytest.mark.parametrize(
        "text",
        [
            *("", " ", "null", "[]", "1", '"x"', "{", '{"type":"user.created"', "{}", "\ufeff{}", "\x00", "{'type':1}"),
            '{"type":"x"}',
            '{"data":{}}',
            '{"type":null,"data":{}}',
            '{"type":"","data":{}}',
            '{"type":1,"data":{}}',
            '{"type":"user.created","data":null}',
            '{"type":"user.created","data":[]}',
            '{"type":"user.created","data":{}}',
            '{"type":"user.created","data":{"id":1}}',
            '{"type":"user.created","data":{"id":null}}',
            '{"type":"team_membership.created","data":{"team_id":"x"}}',
            '{"type":"x","type":"y","data":{}}',
            '{"type":"x","data":{"a":1,"a":2}}',
            '{"type":"x","data":{"a":NaN}}',
            '{"type":"x","data":{"a":1e999}}',
            '{"type":"x","data":{"a":' + "9" * 5000 + "}}",
            '{"type":"x","data":{"a":"\\ud800"}}',
            '{"type":"x","data":{"a":' + "[" * 100_000 + "]" * 99_999 + "}}",
        ],
        ids=lambda text: text[:45],
    )
    def test_signed_nonsense(self, webhooks: Webhooks, text: str) -> None:
        """A body that is no event is refused, though its signature is genuine."""
        assert refuses(webhooks, *signed(text))

    def test_bytes_that_are_no_text(self, webhooks: Webhooks) -> None:
        """Bytes that are not UTF-8 are refused."""
        _, headers = signed(BODY)

        assert refuses(webhooks, b'{"type":"\xff"}', headers)

    @settings(max_examples=150, deadline=None)
    @given(
        body=st.binary(max_size=80),
        headers=st.lists(
            st.tuples(
                st.sampled_from(["svix-id", "svix-timestamp", "svix-signature", "webhook-id", "Svix-Id", "x"]),
                st.one_of(st.text(max_size=40), st.sampled_from([str(NOW), "v1,AAAA", "msg_1"])),
            ),
            max_size=6,
        ),
    )
    def test_anything_at_all(self, body: bytes, headers: list[tuple[str, str]]) -> None:
        """Whatever comes, the refusal is ours."""
        with pytest.raises(WebhookVerificationFailed):
            Webhooks([SECRET], clock=lambda: NOW).verify(body, headers)

    @settings(max_examples=150, deadline=None)
    @given(
        body=st.one_of(
            st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace").decode()),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
                max_leaves=8,
            ).map(json.dumps),
            st.builds(
                lambda kind, data: json.dumps({"type": kind, "data": data}),
                st.sampled_from([*(known["type"] for known in EVENTS), "stack.test", "new.type"]),
                st.dictionaries(
                    st.sampled_from(["id", "team_id", "user_id", "teams", "raw", "self", "display_name"]),
                    st.one_of(st.none(), st.text(max_size=5), st.integers(), st.lists(st.integers(), max_size=2)),
                ),
            ),
        )
    )
    def test_anything_signed(self, body: str) -> None:
        """Whatever is signed, out comes an event or our refusal."""
        webhooks = Webhooks([SECRET], clock=lambda: NOW)
        try:
            found = webhooks.verify(*signed(body, timestamp=NOW))
        except WebhookVerificationFailed:
            return
        assert json.loads(body)["type"] == found.type

    def test_the_reason_alone_is_logged(self, webhooks: Webhooks, caplog: pytest.LogCaptureFixture) -> None:
        """A refusal leaves its fixed sentence, and no trace of secret, signature or body."""
        body, headers = signed(BODY, secret=OLD_SECRET)
        with caplog.at_level(logging.DEBUG):
            webhooks.receive(body, headers)

        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("WARNING", f"A webhook delivery was refused: {reasons.WEBHOOK_SIGNATURE}")
        ]


class TestNews:
    """What a genuine delivery makes untrue is forgotten, whatever else becomes of it."""

    @pytest.fixture
    def sandbox(self) -> Sandbox:
        return Sandbox()

    @pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
    @pytest.mark.parametrize(
        "more", ["NaN", '"\\ud800"', "1, " * 3 + '"x": 2', "[" * 100_000], ids=lambda text: text[:8]
    )
    def test_a_body_that_cannot_be_read(
        self, sandbox: Sandbox, is_async: bool, more: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The delivery is refused and logged; what can be read of it is forgotten, and nothing if that is nothing."""
        user, team = sandbox.create_user(), sandbox.create_team()
        sandbox.grant(user, "export", team)
        webhooks = Webhooks(sandbox.config.webhook_secrets)
        webhooks.on("*")(lambda event: pytest.fail("a handler ran"))
        text = (
            '{"type": "team_permission.deleted", "data": {"id": "export", "team_id": "%s", "user_id": "%s", "y": %s}}'
        )
        secret = sandbox.config.webhook_secrets[0]
        body, headers = signed(text % (team.id, user.id, more.replace("1, 1, 1, ", '0, "y": 1, ')), secret=secret)

        async def ask_twice() -> list[Any]:
            async with AsyncHexclaveClient(sandbox.config) as client:
                before = await client.has_permission(user.id, "export", team.id)
                sandbox.revoke(user, "export", team)
                kept = await client.has_permission(user.id, "export", team.id)
                answer = await webhooks.areceive(body, headers, client)
                return [before, kept, answer, await client.has_permission(user.id, "export", team.id)]

        def ask_twice_sync() -> list[Any]:
            with HexclaveClient(sandbox.config) as client:
                before = client.has_permission(user.id, "export", team.id)
                sandbox.revoke(user, "export", team)
                kept = client.has_permission(user.id, "export", team.id)
                answer = webhooks.receive(body, headers, client)
                return [before, kept, answer, client.has_permission(user.id, "export", team.id)]

        is_legible = not more.startswith("[")
        found = asyncio.run(ask_twice()) if is_async else ask_twice_sync()
        assert found == [True, True, REFUSED, not is_legible]
        ours = [record.getMessage() for record in caplog.records if record.name == "hexclave_integrations"]
        assert ours == ["A genuine webhook delivery was refused: its body is no event that can be read"]

    @pytest.mark.parametrize("depth", [1_000, 100_000])
    def test_deep_metadata(self, sandbox: Sandbox, depth: int) -> None:
        """Metadata deeper than Python recurses: handlers run, and what was remembered is forgotten."""
        user, seen = sandbox.create_user(), list[str]()
        webhooks = Webhooks(sandbox.config.webhook_secrets)
        webhooks.on("user.updated")(lambda event: seen.append(event.data.id))
        metadata = '{"a":' * depth + "1" + "}" * depth
        text = f'{{"type": "user.updated", "data": {{"id": "{user.id}", "client_metadata": {metadata}}}}}'
        with HexclaveClient(sandbox.config) as client:
            assert not client.has_permission(user.id, "export")
            sandbox.grant(user, "export")
            body, headers = signed(text, secret=sandbox.config.webhook_secrets[0])
            assert webhooks.receive(body, headers, client)[0] == 200
            assert client.has_permission(user.id, "export")
        assert seen == [user.id]

    def test_a_forgery(self, sandbox: Sandbox) -> None:
        """Who cannot sign can make nobody forget anything."""
        user = sandbox.create_user()
        with HexclaveClient(sandbox.config) as client:
            assert not client.has_permission(user.id, "export")
            sandbox.grant(user, "export")
            body, headers = sandbox.webhook("project_permission.created", {"id": "export", "user_id": user.id})
            webhooks = Webhooks(sandbox.config.webhook_secrets)
            assert webhooks.receive(body + b" ", headers, client) == REFUSED
            assert not client.has_permission(user.id, "export")
            assert webhooks.receive(body, headers, client)[0] == 200
            assert client.has_permission(user.id, "export")


class TestConfiguration:
    """What is wrong with the endpoint itself stops the start."""

    @pytest.mark.parametrize(
        "secrets",
        [
            *([], [""], ["whsec_"], ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], ["whsec_!!!!"], ["whsec_AAAA"], [None], [7]),
            [SECRET + "\n"],
            [SECRET.encode()],
            ["whsec_" + "é" * 32],
            ["whpk_" + SECRET[6:]],
            [SECRET, "whsec_x"],
            "whsec_x",
        ],
        ids=str,
    )
    def test_secrets(self, secrets: Any) -> None:
        """A secret of a wrong format is refused at once, and not shown."""
        with pytest.raises(ConfigurationError, match="webhook_secrets") as caught:
            Webhooks(secrets)

        shown = [text for text in secrets if isinstance(text, str) and len(text) > 6 and text in str(caught.value)]
        assert shown == []

    @pytest.mark.parametrize("secret", [SECRET + "\n", " " + SECRET, SECRET + "\r\n"], ids=repr)
    def test_a_secret_with_a_line_break(self, secret: str) -> None:
        """The text says what is wrong with a secret that was read from a file."""
        with pytest.raises(ConfigurationError, match="line break"):
            Webhooks([secret])

    @pytest.mark.parametrize(
        ("pattern", "near"),
        [("user.creatd", "user.created"), ("usr.created", "user.created"), ("teams.*", "team.*"), ("User.*", "user.*")],
    )
    def test_a_misspelt_type(self, webhooks: Webhooks, pattern: str, near: str) -> None:
        """A type that is nearly a known one is taken for a mistake, aloud; it is registered all the same."""
        seen: list[WebhookEvent] = []
        with pytest.warns(package.UnknownEventType, match=re.escape(f'did you mean "{near}"')) as caught:
            webhooks.on(pattern)(seen.append)
        assert caught[0].filename == __file__
        webhooks.handle(*signed({"type": pattern.replace("*", "x"), "data": {}}))
        assert len(seen) == 1

    @pytest.mark.parametrize(
        "pattern", ["*", *package._events.KNOWN_TYPES, "user.*", "team_permission.*", "session.ended", "user.merged"]
    )
    def test_types_that_may_be(self, webhooks: Webhooks, pattern: str) -> None:
        """Known types, and types of the future, are registered in silence."""
        webhooks.on(pattern)(print)

    @pytest.mark.parametrize("name", ["HEXCLAVE_WEBHOOK_SECRET", "STACK_WEBHOOK_SECRET", "HEXCLAVE_WEBHOOK_SECRETS"])
    def test_secrets_from_the_environment(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without secrets they come from the environment."""
        monkeypatch.setenv(name, SECRET)

        assert Webhooks().verify(*signed(BODY)).type == "user.deleted"

    @pytest.mark.parametrize("name", ["tolerance", "max_body", "claim_ttl", "done_ttl"])
    @pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "300", None], ids=str)
    def test_numbers(self, name: str, value: Any) -> None:
        """A time or size that cannot be right is refused: no time is far from NaN."""
        with pytest.raises(ConfigurationError, match=name):
            Webhooks([SECRET], **{name: value})

    @pytest.mark.parametrize(
        "store",
        ["redis://127.0.0.1", object(), {}, RedisStore, MemoryStore],
        ids=["address", "object", "dict", "class of Redis", "class of memory"],
    )
    def test_store(self, store: Any) -> None:
        """What is no store is refused."""
        with pytest.raises(ConfigurationError, match="store"):
            Webhooks([SECRET], store)

    @pytest.mark.parametrize(
        "pattern", ["", "user", "user.", ".created", "*.created", "user*", "user.cr*", "**", "*.*", None, 5], ids=str
    )
    def test_patterns(self, webhooks: Webhooks, pattern: Any) -> None:
        """A pattern that can match nothing is refused."""
        with pytest.raises(ConfigurationError):
            webhooks.on(pattern)

    def test_handlers_that_would_not_run(self, webhooks: Webhooks) -> None:
        """What is no function, or would only make a generator, is refused."""

        def generator(event: object) -> Iterator[None]:
            yield

        async def async_generator(event: object) -> Any:
            yield

        class Generates:
            def __call__(self, event: object) -> Iterator[None]:
                yield

        handlers: list[Any] = [generator, async_generator, Generates(), functools.partial(generator), None, "name"]
        for handler in handlers:
            with pytest.raises(ConfigurationError):
                webhooks.on("*")(handler)

    def test_text_instead_of_bytes(self, webhooks: Webhooks) -> None:
        """Who hands in text has lost the raw bytes already: a mistake of the caller's, not of the sender's."""
        with pytest.raises(TypeError):
            webhooks.verify("{}", {})  # type: ignore[arg-type]


class TestEvents:
    """Typed events that lose nothing."""

    @pytest.mark.parametrize("sent", EVENTS + EXTRA_EVENTS, ids=lambda sent: sent["type"])
    def test_every_type(self, webhooks: Webhooks, sent: dict[str, Any]) -> None:
        """Each type has its class, its known fields as attributes, and all fields as items."""
        family, _, what = sent["type"].partition(".")
        name = "".join(part.title() for part in f"{family}_{what}".split("_"))
        found = webhooks.verify(*signed(sent))

        expected = {"StackTest": "TestEvent"}.get(name, "IssueEvent" if family == "issue" else name)
        assert expected == type(found).__name__
        assert (sent["type"], sent["data"]) == (found.type, dict(found.data))
        known = {item.name for item in dataclasses.fields(found.data)} - {"raw"}
        assert set() < known
        assert {key: sent["data"].get(key, getattr(found.data, key)) for key in known} == {
            key: getattr(found.data, key) for key in known
        }

    @pytest.mark.parametrize("what", ["created", "regressed", "resolved", "ignored", "merged"])
    def test_the_issue_family(self, webhooks: Webhooks, what: str) -> None:
        """All five types of issues are known."""
        sent = EXTRA_EVENTS[1] | {"type": f"issue.{what}"}

        assert package.IssueEvent is type(webhooks.verify(*signed(sent)))

    @pytest.mark.parametrize("data", [{}, {"a": [1]}, {"id": 7}, [], [1], None, 1, "x", True], ids=str)
    def test_unknown_types(self, webhooks: Webhooks, data: Any) -> None:
        """A type that is not known yet is handed on with its data as it came."""
        found = webhooks.verify(*signed({"type": "new.type", "data": data, "more": 1}))

        assert (WebhookEvent, "new.type") == (type(found), found.type)
        assert data == found.data

    def test_unknown_fields(self, webhooks: Webhooks) -> None:
        """A field that is not known yet is kept, even where its name is one of ours."""
        data = {"id": ID, "shoe_size": 43, "raw": "r", "self": "s", "cls": "c", "items": 1}
        found = webhooks.verify(*signed({"type": "user.created", "data": data}))

        assert isinstance(found, UserCreated)
        assert isinstance(found.data, UserData)
        assert (ID, 43, "r", data) == (found.data.id, found.data["shoe_size"], found.data["raw"], dict(found.data))

    def test_values_that_are_frozen(self, webhooks: Webhooks) -> None:
        """Neither an event nor its data can be changed."""
        found = webhooks.verify(*signed({"type": "user.created", "data": {"id": ID}}))

        with pytest.raises(dataclasses.FrozenInstanceError):
            found.type = "other"  # type: ignore[misc]
        with pytest.raises(dataclasses.FrozenInstanceError):
            found.data.id = "other"
        with pytest.raises(TypeError):
            found.data["id"] = "other"

    def test_values_that_travel(self, webhooks: Webhooks) -> None:
        """An event can be copied, pickled for another process, and taken apart."""
        found = webhooks.verify(*signed(EVENTS[1]))

        assert [found, found] == [copy.deepcopy(found), pickle.loads(pickle.dumps(found))]
        assert found.data["oauth_providers"] == dataclasses.asdict(found)["data"]["oauth_providers"]
        assert EVENTS[1]["data"] == json.loads(json.dumps(dict(found.data)))

    def test_a_repr_without_the_body(self, webhooks: Webhooks) -> None:
        """What is only in the raw data is not shown."""
        found = webhooks.verify(*signed({"type": "user.created", "data": {"id": ID, "secret_note": "hush"}}))

        assert "hush" not in repr(found)

    @pytest.mark.parametrize("sent", [*EVENTS, *EXTRA_EVENTS, {"type": "new", "data": "hush"}], ids=lambda x: x["type"])
    def test_a_repr_shows_nobody(self, webhooks: Webhooks, sent: dict[str, Any]) -> None:
        """The repr tells which delivery it is; of the person it is about it shows neither name, address nor id."""
        name = new_id()
        found = webhooks.verify(*signed(sent, id=name))

        assert [name in repr(found), sent["type"] in repr(found)] == [True, True]
        shown = repr(found) + repr(found.data) * (sent["type"] != "new")
        values = list(sent["data"].values()) if isinstance(sent["data"], dict) else [sent["data"]]
        assert [value for value in values if isinstance(value, str) and len(value) > 12 and value in shown] == []

    def test_what_a_step_shows(self, webhooks: Webhooks) -> None:
        """Error reports show local variables, those of a delivery that is being handled among them."""
        body, headers = signed({"type": "user.created", "data": {"id": ID, "primary_email": "ada@example.com"}})
        shown: list[str] = []

        @webhooks.on("*")
        def handler(event: WebhookEvent) -> None:
            frame = sys._getframe()
            while frame.f_back is not None and frame.f_code.co_name != "receive":
                shown.extend(repr(value) for value in frame.f_locals.values() if value is not shown)
                frame = frame.f_back

        assert webhooks.receive(body, headers, call=lambda handler, event: handler(event))[0] == 200
        assert shown
        assert [
            text for text in (SECRET[6:], "ada@example.com", ID, headers["svix-signature"]) if text in str(shown)
        ] == []

    def test_the_public_names(self) -> None:
        """The package's names are sorted, and every class of event is among them."""
        assert sorted(package.__all__) == package.__all__
        assert {kind.__name__ for kind in WebhookEvent.__subclasses__()} <= set(package.__all__)


class TestDispatch:
    """Which handlers run, in which order, and on what."""

    def test_patterns_in_order(self, webhooks: Webhooks, runner: Runner) -> None:
        """Every handler that matches runs, in the order of registration, and no other does."""
        ran: list[str] = []
        for pattern in ("*", "user.deleted", "user.*", "user.created", "team.*", "user_x.*", "user.deleted"):
            webhooks.on(pattern)(lambda event, pattern=pattern: ran.append(pattern))

        assert runner.receive(webhooks, event()) == 200
        assert ran == ["*", "user.deleted", "user.*", "user.deleted"]

    def test_a_family_of_unknown_types(self, webhooks: Webhooks, runner: Runner) -> None:
        """New types reach handlers of their family."""
        found: list[WebhookEvent] = []
        webhooks.on("session.*")(found.append)

        assert runner.receive(webhooks, signed({"type": "session.ended", "data": {"id": "s"}})) == 200
        assert [(item.type, item.data["id"]) for item in found] == [("session.ended", "s")]

    def test_without_handlers(self, webhooks: Webhooks, runner: Runner) -> None:
        """A delivery that nobody waits for is done."""
        assert runner.receive(webhooks, event()) == 200

    def test_on_returns_the_function(self, webhooks: Webhooks) -> None:
        """Decorated functions stay what they were."""

        def handler(event: object) -> None: ...

        assert handler is webhooks.on("*")(handler)

    def test_every_kind_of_handler(self, webhooks: Webhooks, runner: Runner) -> None:
        """Functions, coroutine functions, partials, methods, callable objects and classes all run to their end."""
        ran: list[str] = []

        async def later(name: str, event: object = None) -> None:
            await asyncio.sleep(0)
            ran.append(name)

        class Handlers:
            def __init__(self, event: object = None) -> None:
                if event is not None:
                    ran.append("class")

            async def method(self, event: object) -> None:
                await later("async method")

            def __call__(self, event: object) -> None:
                ran.append("object")

        class Async:
            async def __call__(self, event: object) -> None:
                await later("async object")

        async def coroutine_function(event: object) -> None:
            await later("coroutine function")

        handlers: list[Any] = [
            lambda event: ran.append("function"),
            coroutine_function,
            functools.partial(later, "partial"),
            functools.partial(Async()),
            lambda event: later("lambda"),
            Handlers().method,
            Handlers(),
            Async(),
            Handlers,
        ]
        for handler in handlers:
            webhooks.on("*")(handler)

        assert runner.receive(webhooks, event()) == 200
        assert [
            *("function", "coroutine function", "partial", "async object", "lambda"),
            *("async method", "object", "async object", "class"),
        ] == ran

    @pytest.mark.parametrize(
        "result", [lambda: (number for number in [1]), lambda: _async_generator()], ids=["generator", "async generator"]
    )
    def test_a_generator_behind_a_function(self, webhooks: Webhooks, runner: Runner, result: Callable[[], Any]) -> None:
        """A handler of which nothing ran has not handled anything."""
        webhooks.on("*")(lambda event: result())

        assert runner.receive(webhooks, event()) == 500

    @pytest.mark.parametrize(
        "error",
        [ValueError("x"), StopIteration(), StopAsyncIteration(), GeneratorExit(), asyncio.CancelledError(), KeyError()],
        ids=lambda error: type(error).__name__,
    )
    @pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine function"])
    def test_every_error_of_a_handler(
        self, webhooks: Webhooks, runner: Runner, error: BaseException, is_async: bool
    ) -> None:
        """Whatever a handler raises, the answer makes the sender come back, and then the handler runs again."""
        errors: list[BaseException] = [error]

        async def coroutine_function(event: object) -> None:
            if errors:
                raise errors.pop()

        def function(event: object) -> None:
            if errors:
                raise errors.pop()

        webhooks.on("*")(coroutine_function if is_async else function)
        delivery = event()

        assert [runner.receive(webhooks, delivery) for _ in range(3)] == [500, 200, 200]

    def test_a_failure_ends_the_delivery(self, webhooks: Webhooks, runner: Runner) -> None:
        """After a handler that failed no other runs; the repetition runs all of them."""
        ran: list[str] = []

        def second(event: object) -> None:
            ran.append("second")
            if len(ran) == 2:
                raise ValueError

        webhooks.on("*")(lambda event: ran.append("first"))
        webhooks.on("*")(second)
        webhooks.on("*")(lambda event: ran.append("third"))
        delivery = event()

        assert [runner.receive(webhooks, delivery) for _ in range(2)] == [500, 200]
        assert ran == ["first", "second", "first", "second", "third"]

    def test_sync_handlers_leave_the_loop_alone(self, webhooks: Webhooks) -> None:
        """A handler that waits for something only the loop can do would wait for ever if it blocked the loop."""
        turned, threads = threading.Event(), set[int]()

        @webhooks.on("*")
        def handler(event: object) -> None:
            threads.add(threading.get_ident())
            assert turned.wait(LIMIT)

        async def main() -> str:
            delivery = asyncio.create_task(webhooks.ahandle(*event()))
            await asyncio.sleep(0.02)
            turned.set()
            return await delivery

        assert asyncio.run(main()) == "handled"
        assert {threading.get_ident()}.isdisjoint(threads)

    def test_the_sync_way_within_a_loop(self, webhooks: Webhooks) -> None:
        """Coroutines run even where a loop runs already and somebody calls the sync methods."""
        ran: list[str] = []

        @webhooks.on("*")
        async def handler(event: WebhookEvent) -> None:
            await asyncio.sleep(0)
            ran.append(event.type)

        async def main() -> str:
            return webhooks.handle(*event())

        assert asyncio.run(main()) == "handled"
        assert ran == ["user.deleted"]

    @pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine function"])
    def test_context_variables(self, webhooks: Webhooks, runner: Runner, is_async: bool) -> None:
        """Handlers see the context of whoever received the delivery."""
        variable = contextvars.ContextVar("variable", default="outer")
        seen: list[str] = []

        async def coroutine_function(event: object) -> None:
            seen.append(variable.get())

        webhooks.on("*")(coroutine_function if is_async else lambda event: seen.append(variable.get()))
        token = variable.set("inner")
        try:
            runner.receive(webhooks, event())
        finally:
            variable.reset(token)

        assert seen == ["inner"]

    def test_the_event_is_the_idempotency_key(self, webhooks: Webhooks, runner: Runner) -> None:
        """Handlers get the sender's id."""
        found: list[WebhookEvent] = []
        webhooks.on("*")(found.append)
        message_id = new_id()
        runner.receive(webhooks, event(message_id))

        assert [message_id] == [item.id for item in found]
        assert abs(time.time() - found[0].timestamp.timestamp()) < 60

    def test_what_is_logged(self, webhooks: Webhooks, runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
        """A failure is logged once, with its traceback and without body, signature or secret."""
        body, headers = signed({"type": "user.created", "data": {"id": ID, "primary_email": "ada@example.com"}})

        @webhooks.on("*")
        def handler(event: object) -> None:
            raise ValueError("the handler's own words")

        assert runner.receive(webhooks, (body, headers)) == 500
        assert [record.name for record in caplog.records] == ["hexclave_integrations"]
        assert "the handler's own words" in caplog.text
        hidden = [SECRET[6:], headers["svix-signature"], headers["svix-id"], "ada@example.com", ID]
        assert [text for text in hidden if text in caplog.text] == []

    def test_the_answer_of_a_failure(self, webhooks: Webhooks) -> None:
        """Callers who handle errors themselves get ours, without the handler's."""

        @webhooks.on("*")
        def handler(event: object) -> None:
            raise ValueError("secret")

        with pytest.raises(WebhookHandlerFailed) as caught:
            webhooks.handle(*event())
        assert (caught.value.status, caught.value.__suppress_context__) == (500, True)


async def _async_generator() -> Any:
    yield
