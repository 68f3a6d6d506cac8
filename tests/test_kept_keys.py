"""`jwks_file`: a process that starts while Hexclave is away knows the keys, within a bound, and from no other place."""

from __future__ import annotations

import dataclasses
import json
import logging
import multiprocessing
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hexclave_integrations import HexclaveClient, HexclaveConfig, InvalidToken, Unavailable
from hexclave_integrations._adapter.check import check
from hexclave_integrations._memory.key_file import FileUnusable, KeyFile
from hexclave_integrations._token.kept_keys import MAX_TEXT, KeptKeys
from hexclave_integrations._token.keys import KeySet, parse_key_set
from hexclave_integrations.testing import Sandbox

from ._minting import NOW, PROJECT, jwk, key_set, new_key
from ._server import DRIVE_IDS, DRIVES, Clock, Drive, core_of, error_of, eventually, wait_for_refresh

DAY = 86400
KEY, OTHER_KEY = new_key(), new_key()


@pytest.fixture(params=DRIVES, ids=DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    driving: Drive = request.param()
    yield driving
    driving.end()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Sandbox:
    return Sandbox(clock=clock)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def config(sandbox: Sandbox, file: Path) -> HexclaveConfig:
    return dataclasses.replace(sandbox.config, jwks_file=file)


def comes_true(drive: Drive, client: Any, condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true while the client's loop, if it has one, goes on."""

    def look() -> bool:
        drive.run(client, "authenticate", {})
        return condition()

    return eventually(look)


def warmed(drive: Drive, config: HexclaveConfig, clock: Clock, file: Path) -> Any:
    """A client that has fetched the keys; the file has been written."""
    before = file.stat().st_ino if file.exists() else None
    client = drive.client(config, clock=clock)
    assert drive.run(client, "warm")
    assert comes_true(drive, client, lambda: file.exists() and file.stat().st_ino != before)
    return client


def fetches(sandbox: Sandbox) -> int:
    return sum("jwks.json" in request.path for request in sandbox.requests)


# --- what it is for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["regular", "restricted", "anonymous"])
def test_a_start_during_an_outage(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, file: Path, kind: Any
) -> None:
    """A new process knows the users of every kind while Hexclave is away, and nobody whose key it does not know."""
    user = sandbox.create_user(kind)
    warmed(drive, config, clock, file)
    clock.advance(3600)
    stranger = Sandbox(project_id=sandbox.config.project_id, clock=clock)
    with sandbox.outage():
        client = drive.client(config, clock=clock)

        assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id
        forged = error_of(drive, client, "verify_token", stranger.token(stranger.create_user()))
        assert isinstance(forged, Unavailable)
        without = drive.client(sandbox.config, clock=clock)
        assert isinstance(error_of(drive, without, "verify_token", sandbox.token(user)), Unavailable)


def test_a_fresh_file_makes_a_fetch_needless(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, file: Path
) -> None:
    """Processes on one machine share a fetch, until the set is due for a refresh."""
    user = sandbox.create_user()
    warmed(drive, config, clock, file)
    for _ in range(3):
        client = drive.client(config, clock=clock)
        assert drive.run(client, "warm")
        assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id
    assert fetches(sandbox) == 1
    clock.advance(config.jwks_max_age)
    assert drive.run(drive.client(config, clock=clock), "warm")
    assert fetches(sandbox) == 2


def test_a_withdrawn_key_ends_with_the_start(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, file: Path
) -> None:
    """While Hexclave can be asked, an old file lets nobody in with a key that was withdrawn since it was written."""
    user = sandbox.create_user()
    warmed(drive, config, clock, file)
    clock.advance(config.jwks_max_age)
    old = sandbox.token(user)
    sandbox.rotate_keys()

    assert isinstance(error_of(drive, drive.client(config, clock=clock), "verify_token", old), InvalidToken)


def test_a_rotation_is_noticed_in_spite_of_a_fresh_file(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, file: Path
) -> None:
    """A key that is not in the file is looked for at Hexclave, and kept."""
    user = sandbox.create_user()
    warmed(drive, config, clock, file)
    sandbox.rotate_keys()
    client = drive.client(config, clock=clock)
    assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id

    def knows() -> bool:
        kept = KeptKeys(config).read(file.read_text(), clock())
        return kept.keys.keys() == core_of(client).ring.current.keys.keys()

    assert comes_true(drive, client, knows)


def test_the_bound_counts_from_the_fetch(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, file: Path
) -> None:
    """However often processes start, a set ends `jwks_max_stale` after it was fetched."""
    user = sandbox.create_user()
    warmed(drive, config, clock, file)
    with sandbox.outage():
        clock.advance(DAY / 2)
        first = drive.client(config, clock=clock)
        assert drive.run(first, "verify_token", sandbox.token(user)).id == user.id
        wait_for_refresh()
        clock.advance(DAY / 2 - 1)
        assert drive.run(drive.client(config, clock=clock), "verify_token", sandbox.token(user)).id == user.id
        clock.advance(1)
        for client in (first, drive.client(config, clock=clock)):
            assert isinstance(error_of(drive, client, "verify_token", sandbox.token(user)), Unavailable)


def test_a_running_process_takes_what_another_one_fetched(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, file: Path
) -> None:
    """Where one process cannot reach Hexclave, and another one on the same machine can, both know the new keys."""
    user = sandbox.create_user()
    lonely = warmed(drive, config, clock, file)
    clock.advance(config.jwks_max_age)
    sandbox.rotate_keys()
    warmed(drive, config, clock, file)
    with sandbox.outage():
        assert drive.run(lonely, "verify_token", sandbox.token(user)).id == user.id


def test_which_users_a_key_is_for_is_kept(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, file: Path
) -> None:
    """What Hexclave said about its keys by themselves is kept with them."""
    warmed(drive, config, clock, file)
    original = KeptKeys(config).read(file.read_text(), clock())
    kinds: Any = dict.fromkeys(original.keys, "anonymous")
    certain = dataclasses.replace(original, kinds=kinds, kinds_are_certain=True)
    file.write_text(KeptKeys(config).write(certain))
    client = drive.client(config, clock=clock)
    drive.run(client, "warm")

    assert core_of(client).ring.current.kinds_are_certain
    assert isinstance(error_of(drive, client, "verify_token", sandbox.token(sandbox.create_user())), InvalidToken)


# --- what is no file ----------------------------------------------------------------------------------------


def _other_owner(path: Path, config: HexclaveConfig) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, 12345)


def _link(path: Path, config: HexclaveConfig) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _pipe(path: Path, config: HexclaveConfig) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _socket(path: Path, config: HexclaveConfig) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def _seal_of(change: Callable[[HexclaveConfig], HexclaveConfig]) -> Callable[[Path, HexclaveConfig], object]:
    def spoil(path: Path, config: HexclaveConfig) -> None:
        found = KeptKeys(config).read(path.read_text(), _fetched(path) + 1)
        path.write_text(KeptKeys(change(config)).write(found))

    return spoil


def _fetched(path: Path) -> float:
    return float(json.loads(path.read_text().splitlines()[1])["fetched_at"])


def _text(change: Callable[[str], str]) -> Callable[[Path, HexclaveConfig], object]:
    def spoil(path: Path, config: HexclaveConfig) -> None:
        path.write_text(change(path.read_text()))

    return spoil


def _forged(path: Path, config: HexclaveConfig) -> None:
    """The keys of an attacker who can write the file, and knows this source and the format."""
    forger = Sandbox(project_id=config.project_id)
    keys = HexclaveClient(forger.config)
    keys.warm()
    record = core_of(keys).ring.current
    without_seal = KeptKeys(dataclasses.replace(config, secret_server_key=None))
    path.write_text(without_seal.write(dataclasses.replace(record, fetched_at=_fetched(path))))


def _future(path: Path, config: HexclaveConfig) -> None:
    found = KeptKeys(config).read(path.read_text(), _fetched(path))
    path.write_text(KeptKeys(config).write(dataclasses.replace(found, fetched_at=_fetched(path) + 7200)))


SPOILED: dict[str, Callable[[Path, HexclaveConfig], object]] = {
    "truncated": _text(lambda text: text[: len(text) // 2]),
    "without its last character": _text(lambda text: text[:-1]),
    "empty": _text(lambda text: ""),
    "with more behind it": _text(lambda text: text + text),
    "garbage": lambda path, _: path.write_bytes(os.urandom(2000)),
    "a bare key set": lambda path, _: path.write_bytes(key_set(jwk(KEY.public_key()))),
    "an altered moment": _text(lambda text: text.replace('"fetched_at":', '"fetched_at":1')),
    "oversized": lambda path, _: path.write_bytes(b"x" * (MAX_TEXT + 1)),
    "of another project": _seal_of(
        lambda config: dataclasses.replace(config, project_id="6fbbf22e-f4b2-4c6e-95a1-beab6fa41063")
    ),
    "of another server": _seal_of(lambda config: dataclasses.replace(config, api_url="https://api.hexclave.com")),
    "sealed with another key": _seal_of(lambda config: dataclasses.replace(config, secret_server_key="ssk_other")),
    "from the future": _future,
    "forged": _forged,
    "writable by its group": lambda path, _: path.chmod(0o620),
    "writable by everybody": lambda path, _: path.chmod(0o602),
    "of another user": _other_owner,
    "a symbolic link": _link,
    "a pipe": _pipe,
    "a socket": _socket,
}


@pytest.mark.parametrize("what", [pytest.param(name, id=name) for name in SPOILED])
def test_a_bad_file_is_no_file(
    drive: Drive,
    sandbox: Sandbox,
    config: HexclaveConfig,
    clock: Clock,
    file: Path,
    what: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It lets nobody in, is said once and without its contents, and is replaced when Hexclave is back."""
    user = sandbox.create_user()
    warmed(drive, config, clock, file)
    text = file.read_text()
    SPOILED[what](file, config)
    client = drive.client(config, clock=clock)
    with sandbox.outage(), caplog.at_level(logging.WARNING, "hexclave_integrations"):
        for _ in range(3):
            assert isinstance(error_of(drive, client, "verify_token", sandbox.token(user)), Unavailable)
            clock.advance(config.jwks_cooldown)
    said = [record.getMessage() for record in caplog.records if "jwks_file is not used" in record.getMessage()]
    assert len(said) == 1, said
    secrets = [config.project_id, *KeptKeys(config).read(text, clock()).keys, str(file)]
    assert not [part for part in secrets if part in caplog.text]

    assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id

    def is_whole() -> bool:
        try:
            return bool(KeptKeys(config).read(KeyFile(file, MAX_TEXT).read() or "", clock()).keys)
        except (FileUnusable, ValueError):
            return False

    assert comes_true(drive, client, is_whole)


HOSTILE: dict[str, Any] = {
    "no list": {"keys": 5},
    "no keys": {"keys": []},
    "an RSA key": {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "x"}]},
    "a private key": {"keys": [{**jwk(KEY.public_key()), "d": "AAAA"}]},
    "too many": {"keys": [jwk(KEY.public_key())] * 65},
    "off the curve": {"keys": [{**jwk(KEY.public_key()), "x": "A" * 43}]},
    "two under one name": {"keys": [jwk(KEY.public_key()), jwk(OTHER_KEY.public_key())]},
    "kinds of other keys": {"kinds": {"x": "regular"}},
    "kinds that are no list": {"kinds": 5},
    "an unknown kind": {"kinds": {jwk(KEY.public_key())["kid"]: []}},
    "no moment": {"fetched_at": None},
    "a moment that is no number": {"fetched_at": "1"},
    "a moment that is a truth value": {"fetched_at": True},
    "a moment before all others": {"fetched_at": -(10**400)},
    "a moment after all others": {"fetched_at": 10**400},
    "another version": {"version": 2},
}


@pytest.mark.parametrize("what", [pytest.param(name, id=name) for name in HOSTILE])
def test_whatever_the_record_says(what: str) -> None:
    """Without a server key nothing is sealed, and a record passes the parser of fetched sets, or is none."""
    config = HexclaveConfig(project_id=PROJECT)
    keys = parse_key_set(key_set(jwk(KEY.public_key())))
    kept = KeptKeys(config)
    seal, body = kept.write(KeySet(keys, fetched_at=NOW)).splitlines()
    assert kept.read(f"{seal}\n{body}\n", NOW + 1).keys == keys
    record = json.loads(body) | HOSTILE[what]

    with pytest.raises(ValueError, match=r"\w") as caught:
        kept.read(f"{seal}\n{json.dumps(record)}\n", NOW + 1)
    assert jwk(KEY.public_key())["kid"] not in str(caught.value)


def test_a_clock_that_is_a_little_slow_is_no_future() -> None:
    """What was fetched a moment ahead of this machine's clock counts as fetched now, within `leeway`."""
    config = HexclaveConfig(project_id=PROJECT)
    kept = KeptKeys(config)
    text = kept.write(KeySet(parse_key_set(key_set(jwk(KEY.public_key()))), fetched_at=NOW))

    assert kept.read(text, NOW + config.jwks_max_stale - 1).fetched_at == NOW
    with pytest.raises(ValueError, match="older"):
        kept.read(text, NOW + config.jwks_max_stale)
    assert kept.read(text, NOW - config.leeway).fetched_at == NOW - config.leeway
    with pytest.raises(ValueError, match="future"):
        kept.read(text, NOW - config.leeway - 1)


def test_the_seal_says_nothing_of_the_server_key() -> None:
    """The key is not in the text, nor in the name that tells seals apart, and another key makes others."""
    first, second = (KeptKeys(HexclaveConfig(project_id=PROJECT, secret_server_key=key)) for key in ("ssk_a", "ssk_b"))
    keys = KeySet(parse_key_set(key_set(jwk(KEY.public_key()))), fetched_at=NOW)

    assert first.name != second.name
    assert first.write(keys) != second.write(keys)
    assert "ssk_a" not in first.write(keys) + str(first.name)


def test_hexclave_check_looks_at_it(sandbox: Sandbox, file: Path) -> None:
    """One line where the setting is set: not there yet, good, or what is wrong with it."""
    config = dataclasses.replace(sandbox.config, jwks_file=file)

    def line(settings: HexclaveConfig) -> list[tuple[str, str]]:
        found = check(settings, core_of(HexclaveClient(settings)).clock)
        return [(one.state, one.text) for one in found if one.what == "jwks_file"]

    assert line(sandbox.config) == []
    assert line(config)[0][0] == "skipped"
    HexclaveClient(config).warm()
    wait_for_refresh()
    assert line(config) == [("ok", "it has 6 public keys for an outage.")]
    file.chmod(0o666)
    assert line(config)[0][0] == "wrong"


# --- writing ------------------------------------------------------------------------------------------------


def test_nobody_else_can_read_or_write_it(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, file: Path
) -> None:
    """Mode 0600, whatever the umask says, and nothing else is left in the folder."""
    before = os.umask(0)
    try:
        warmed(drive, config, clock, file)
    finally:
        os.umask(before)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_place_that_cannot_be_written_is_said_once(
    drive: Drive, sandbox: Sandbox, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests go on, and the log names the problem and not the path."""
    config = dataclasses.replace(sandbox.config, jwks_file=tmp_path / "missing" / "keys")
    client = drive.client(config, clock=clock)
    user = sandbox.create_user()
    with caplog.at_level(logging.WARNING, "hexclave_integrations"):
        for _ in range(3):
            assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id
            clock.advance(config.jwks_max_age)
            drive.run(client, "warm")
    assert comes_true(drive, client, lambda: bool(caplog.records))
    wait_for_refresh()
    assert [record.getMessage() for record in caplog.records] == [
        "jwks_file cannot be written: No such file or directory"
    ]


def test_a_read_only_folder(tmp_path: Path) -> None:
    """As above; root writes everywhere but where the system itself does not."""
    place = Path("/proc") if os.geteuid() == 0 else tmp_path
    if place is tmp_path:
        tmp_path.chmod(0o500)

    with pytest.raises(FileUnusable):
        KeyFile(place / "keys", MAX_TEXT).write("x")


def test_nobody_waits_for_the_disk(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a disk takes its time, the request that fetched the keys is answered."""
    disk, arrived = threading.Event(), threading.Event()

    def slow(number: int) -> None:
        arrived.set()
        disk.wait(20)

    monkeypatch.setattr(os, "fsync", slow)
    try:
        client = drive.client(config, clock=clock)
        user = sandbox.create_user()
        assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id
        assert comes_true(drive, client, arrived.is_set)
        assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id
        assert not (config.jwks_file and Path(config.jwks_file).exists())
    finally:
        disk.set()
        wait_for_refresh()


def _write_often(path: str, number: int) -> None:
    file = KeyFile(path, MAX_TEXT)
    for _ in range(60):
        file.write(str(number) * 20_000)


def test_processes_that_write_at_once(tmp_path: Path) -> None:
    """Whoever reads meanwhile finds what one of them wrote, whole."""
    path = str(tmp_path / "keys")
    KeyFile(path, MAX_TEXT).write("0" * 20_000)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_often, args=(path, number)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    found = set()
    while any(writer.is_alive() for writer in writers):
        text = KeyFile(path, MAX_TEXT).read()
        assert text is not None
        assert (len(text), len(set(text))) == (20_000, 1)
        found.add(text[0])
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert found
    assert [one.name for one in tmp_path.iterdir()] == ["keys"]


def test_a_child_of_a_fork_reads_and_writes(sandbox: Sandbox, config: HexclaveConfig, file: Path) -> None:
    """A worker that was forked from a master which knows the keys keeps them too."""
    client = HexclaveClient(config)
    client.warm()
    wait_for_refresh()
    file.unlink()
    child = os.fork()
    if child == 0:
        try:
            core_of(client).ring.failed(0)
            fresh = HexclaveClient(config)
            fresh.warm()
            wait_for_refresh()
        finally:
            os._exit(0 if file.exists() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert KeptKeys(config).read(file.read_text(), core_of(client).clock()).keys
