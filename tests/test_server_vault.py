"""The data vault: the same bytes as Hexclave's own SDK, and a secret that nobody sees."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hexclave_integrations import (
    AsyncHexclaveClient,
    ConfigurationError,
    HexclaveClient,
    NotFound,
    Unavailable,
    VaultValueDamaged,
)
from hexclave_integrations._drivers import AsyncDriver, SyncDriver
from hexclave_integrations._policy.effects import Compute, Flow
from hexclave_integrations.server import _vault_crypto
from hexclave_integrations.testing import Sandbox

from ._server_calls import COLOURS, Calls

VECTORS = json.loads((Path(__file__).parent / "data" / "data_vault_vectors.json").read_text(encoding="utf-8"))
SECRET, KEY, VALUE = "correct horse battery staple", "openai-key-of-ada", "sk-proj-very-private"
VARIABLES = ("HEXCLAVE_DATA_VAULT_SECRET", "STACK_DATA_VAULT_SECRET")


@pytest.fixture(params=COLOURS)
def calls(request: pytest.FixtureRequest, hexclave_sandbox: Sandbox) -> Iterator[Calls]:
    hexclave_sandbox.define_vault_store("keys")
    with hexclave_sandbox.serve():
        calls = Calls(request.param, hexclave_sandbox.config)
        yield calls
        calls.close()


def stored(sandbox: Sandbox) -> dict[str, str]:
    """What Hexclave keeps."""
    return sandbox._project.vault_stores["keys"]


class TestCrypto:
    @pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
    def test_vectors(self, vector: dict[str, str]) -> None:
        """Key, hash and ciphertext are those of the JavaScript SDK."""
        secret, key, value = (vector[name].encode() for name in ("secret", "key", "value"))
        derived = _vault_crypto.derived_key(secret, key)
        salt, nonce = bytes.fromhex(vector["salt_hex"]), bytes.fromhex(vector["iv_hex"])

        assert base64.b64encode(derived).decode() == vector["derived_key_base64"]
        assert _vault_crypto.hashed_key(secret, derived) == vector["hashed_key"]
        assert _vault_crypto.encrypt(derived, value, salt=salt, nonce=nonce) == vector["encrypted_value"]
        assert _vault_crypto.decrypt(derived, vector["encrypted_value"]) == value

    def test_no_two_ciphertexts_are_alike(self) -> None:
        """Salt and nonce are new each time."""
        found = {_vault_crypto.encrypt(b"k" * 32, b"value") for _ in range(20)}

        assert len({text[:20] for text in found}) == 20

    def test_every_changed_bit_is_noticed(self) -> None:
        """A value that was tampered with is not read, wherever that was."""
        whole = base64.b64decode(_vault_crypto.encrypt(b"k" * 32, b"value"))
        for index in range(len(whole)):
            bent = whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :]
            with pytest.raises(VaultValueDamaged):
                _vault_crypto.decrypt(b"k" * 32, base64.b64encode(bent).decode())
        for length in range(len(whole)):
            with pytest.raises(VaultValueDamaged):
                _vault_crypto.decrypt(b"k" * 32, base64.b64encode(whole[:length]).decode())


class TestOutcomes:
    @pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
    def test_what_the_sdk_wrote_is_read(self, calls: Calls, hexclave_sandbox: Sandbox, vector: dict[str, str]) -> None:
        """A value that JavaScript has put there."""
        stored(hexclave_sandbox)[vector["hashed_key"]] = vector["encrypted_value"]

        assert calls.do(lambda server: server.vault("keys", vector["secret"]).get(vector["key"])) == vector["value"]

    def test_set_and_get(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """What was kept comes back, the last one; Hexclave has seen neither key nor value."""

        def vault(server: Any) -> Any:
            return server.vault("keys", SECRET)

        assert calls.do(lambda server: vault(server).get(KEY)) is None
        for value in (VALUE, "", "日本\0🎉", VALUE * 1000):
            assert calls.do(lambda server, value: vault(server).set(KEY, value), value) is None
            assert calls.do(lambda server: vault(server).get(KEY)) == value

        (entry,) = stored(hexclave_sandbox).items()
        for text in (KEY, VALUE, SECRET):
            assert text not in str(entry) + base64.b64decode(entry[1]).decode("latin-1")

    def test_a_wrong_secret_finds_nothing(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """Another secret makes another key of it: what is there under the first one stays as it was."""
        calls.do(lambda server: server.vault("keys", SECRET).set(KEY, VALUE))

        assert calls.do(lambda server: server.vault("keys", f"{SECRET} ").get(KEY)) is None
        calls.do(lambda server: server.vault("keys", "another").set(KEY, "other"))
        assert calls.do(lambda server: server.vault("keys", SECRET).get(KEY)) == VALUE

    @pytest.mark.parametrize(
        "bend",
        [
            pytest.param(lambda text: text[:-8], id="cut"),
            pytest.param(lambda text: "", id="empty"),
            pytest.param(lambda text: f"{text}!", id="no base64"),
            pytest.param(lambda text: "é", id="no ASCII"),
            pytest.param(lambda text: f"AgA{text[3:]}", id="another version"),
            pytest.param(lambda text: VECTORS[0]["encrypted_value"], id="another key's"),
        ],
    )
    def test_a_damaged_value(self, calls: Calls, hexclave_sandbox: Sandbox, bend: Callable[[str], str]) -> None:
        """It is neither missing nor a value."""
        calls.do(lambda server: server.vault("keys", SECRET).set(KEY, VALUE))
        ((name, text),) = stored(hexclave_sandbox).items()
        stored(hexclave_sandbox)[name] = bend(text)
        with pytest.raises(VaultValueDamaged):
            calls.do(lambda server: server.vault("keys", SECRET).get(KEY))

    def test_a_value_of_other_bytes(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """Genuine, and no text."""
        calls.do(lambda server: server.vault("keys", SECRET).set(KEY, VALUE))
        derived = _vault_crypto.derived_key(SECRET.encode(), KEY.encode())
        ((name, _),) = stored(hexclave_sandbox).items()
        stored(hexclave_sandbox)[name] = _vault_crypto.encrypt(derived, b"\xff")
        with pytest.raises(VaultValueDamaged):
            calls.do(lambda server: server.vault("keys", SECRET).get(KEY))

    def test_no_store(self, calls: Calls) -> None:
        """A store that was not made is an error, for reading too."""
        for call in (
            lambda server: server.vault("nope", SECRET).get(KEY),
            lambda server: server.vault("nope", SECRET).set(KEY, VALUE),
        ):
            with pytest.raises(NotFound) as caught:
                calls.do(call)
            assert caught.value.code == "DATA_VAULT_STORE_DOES_NOT_EXIST"

    def test_an_outage(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """Not "no such key"; a value that is written is sent once, one that is read may be asked for again."""
        with hexclave_sandbox.outage("error"):
            with pytest.raises(Unavailable):
                calls.do(lambda server: server.vault("keys", SECRET).get(KEY))
            with pytest.raises(Unavailable):
                calls.do(lambda server: server.vault("keys", SECRET).set(KEY, VALUE))
        assert (hexclave_sandbox.count("/get"), hexclave_sandbox.count("/set")) == (3, 1)


class TestSecret:
    def test_from_the_environment(self, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
        """The argument, then the new variable, then the legacy one; blank ones count as unset."""

        def writer() -> str:
            """Which secret a vault without an argument has."""
            calls.do(lambda server: server.vault("keys").set(KEY, VALUE))
            known = ("new", "legacy")
            (found,) = [
                name for name in known if calls.do(lambda server, name: server.vault("keys", name).get(KEY), name)
            ]
            return found

        monkeypatch.setenv("STACK_DATA_VAULT_SECRET", "legacy")
        monkeypatch.setenv("HEXCLAVE_DATA_VAULT_SECRET", " ")
        assert writer() == "legacy"
        monkeypatch.setenv("HEXCLAVE_DATA_VAULT_SECRET", "new")
        assert calls.do(lambda server: server.vault("keys").get(KEY)) is None

    @pytest.mark.parametrize("given", [None, "", 7])
    def test_without_one(
        self, calls: Calls, hexclave_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, given: Any
    ) -> None:
        """An error of the configuration, which names both variables."""
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(ConfigurationError) as caught:
            calls.do(lambda server: server.vault("keys", given).get(KEY))

        assert all(name in str(caught.value) for name in VARIABLES)
        assert list(hexclave_sandbox.requests) == []

    @pytest.mark.parametrize("colour", COLOURS)
    @pytest.mark.parametrize("trouble", ["outage", "refused", "damaged", "no store", "too large", "a bent secret"])
    def test_nobody_sees_it(
        self, hexclave_sandbox: Sandbox, caplog: pytest.LogCaptureFixture, colour: str, trouble: str
    ) -> None:
        """Neither secret, key nor value are in a repr, a log, or a local variable that an error report would show."""
        sandbox = hexclave_sandbox
        caplog.set_level(logging.DEBUG)
        sandbox.define_vault_store("keys")
        calls = Calls(colour, sandbox.config)
        holder: dict[str, str] = {"secret": SECRET, "key": KEY, "value": VALUE}
        calls.do(lambda server: server.vault("keys", holder["secret"]).set(holder["key"], holder["value"]))
        store, writes = "keys", True
        if trouble in ("outage", "refused"):
            sandbox.outage("error" if trouble == "outage" else "refused")
        elif trouble == "damaged":
            ((name, _),) = stored(sandbox).items()
            stored(sandbox)[name], writes = "AAAA", False
        elif trouble == "no store":
            store = "nope"
        elif trouble == "too large":
            holder["value"] *= 100_000
        else:
            holder["secret"] += "\ud800"

        def fail() -> Any:
            def call(server: Any) -> Any:
                vault = server.vault(store, holder["secret"])
                assert all(text not in repr(vault) + str(vars(vault)) for text in (SECRET, KEY, VALUE))
                return vault.set(holder["key"], holder["value"]) if writes else vault.get(holder["key"])

            return calls.do(call)

        with pytest.raises(Exception) as caught:  # noqa: PT011  # each of them
            fail()
        error = caught.value
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        ours = [frame for frame in frames if "hexclave_integrations" in frame.f_code.co_filename]
        assert ours
        shown = str([[repr(value) for value in frame.f_locals.values()] for frame in ours])
        shown += caplog.text + str(error) + repr(error) + repr(error.__context__)
        assert [text for text in (SECRET, KEY, VALUE) if text in shown] == []


def test_a_loop_does_not_stand_still() -> None:
    """The hash takes long: on an event loop a thread computes it, without one nobody else has to."""

    def where() -> Flow[int]:
        found: int = yield Compute(threading.get_ident)
        return found

    sandbox = Sandbox()
    assert SyncDriver(sandbox.config).run(where()) == threading.get_ident()
    assert asyncio.run(AsyncDriver(sandbox.config).run(where())) != threading.get_ident()


@pytest.mark.parametrize("kind", [HexclaveClient, AsyncHexclaveClient])
def test_a_vault_is_made_without_a_question(hexclave_sandbox: Sandbox, kind: Any) -> None:
    """Nothing is asked, and nothing computed, before a key is."""
    kind(hexclave_sandbox.config).server.vault("keys", SECRET)

    assert list(hexclave_sandbox.requests) == []
