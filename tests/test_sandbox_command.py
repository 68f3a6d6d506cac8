"""`hexclave sandbox` as a process: what it prints, runs, keeps and refuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from hexclave_integrations import HexclaveClient, HexclaveConfig, HexclaveError
from hexclave_integrations._tools.console import main
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.testing._mailbox import SandboxEmail
from hexclave_integrations.testing._project import Project
from hexclave_integrations.testing._records import CliLogin, ContactChannel
from hexclave_integrations.testing._stored import KEPT, TRANSIENT, Unreadable, dump_project, restore_project

from ._sandbox_command import COMMAND, LIMIT, NAMES, PLAIN, environment, running
from ._services import free_port

posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups of POSIX")
PYTHON: Final = sys.executable


def run(*options: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *options],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
        check=False,
        env=environment(extra),
    )


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_here(capfd: pytest.CaptureFixture[str]) -> Run:
    """`run` within this process, since another takes a second to start; what is not refused ends with its command."""

    def run_to_the_end(*options: str) -> subprocess.CompletedProcess[str]:
        command = () if "--" in options else ("--", PYTHON, "-c", "")
        code: Any
        try:
            code = main(["sandbox", *options, *command])
        except SystemExit as ended:
            code = ended.code
        return subprocess.CompletedProcess(options, code, *capfd.readouterr())

    return run_to_the_end


def wait_for(done: Any) -> None:
    end = time.monotonic() + LIMIT
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def judge(config: HexclaveConfig, token: str) -> str:
    """Who the kit says a token's user is."""
    with HexclaveClient(config) as client:
        user = client.authenticate({"x-stack-access-token": token})
        assert user is not None
        return user.id


# --- what it prints -------------------------------------------------------------------------------------------


def test_prints_five_variables_that_lead_to_it() -> None:
    """Standard output is five lines for a shell or .env file; an application that has them works."""
    with running() as sandbox:
        assert list(sandbox.variables) == NAMES
        assert all(value and value.isprintable() and " " not in value for value in sandbox.variables.values())
        user = sandbox.act("create-user", kind="regular")["id"]
        sandbox.act("grant", user=user, permission="zoom")

        with HexclaveClient(sandbox.config) as client:
            found = client.authenticate({"x-stack-access-token": sandbox.act("token", user=user)["token"]})
            assert found is not None
            assert found.id == user
            assert client.has_permission(found.id, "zoom")


def test_project_id_can_be_chosen(run_here: Run) -> None:
    """The project is the one that was named, in any case."""
    project = str(uuid.uuid4())
    done = run_here("--port", "0", "--project-id", project.upper())

    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"HEXCLAVE_PROJECT_ID={project}"


def test_refusal_is_the_exit_code_of_the_process() -> None:
    """What this process does for most of these tests is what the command does."""
    done = run("--project-id", "nonsense")

    assert (done.returncode, done.stdout) == (2, "")
    assert "--project-id" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--project-id", "nonsense"), "--project-id"),
        (("--webhook-url", "ftp://localhost/x"), "--webhook-url"),
        (("--webhook-url", "localhost:8000"), "--webhook-url"),
        (("--port", "65536"), "a port is a number"),
        (("--port", "-1"), "--port"),
        (("--state", "/no/such/folder/state.json"), "/no/such/folder/state.json"),
        (("--state", ""), "state"),
    ],
)
def test_wrong_settings_are_told_in_words(options: tuple[str, ...], words: str, run_here: Run) -> None:
    """Nothing is served, the exit code is 2, and the message names the setting."""
    done = run_here(*options)

    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_taken_port_is_told_in_words(host: str, run_here: Run) -> None:
    """A port that somebody else listens on, for either family of addresses, is refused and the fix is named."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family)) as other:
        try:
            other.bind((host, 0))
        except OSError:
            pytest.skip(f"there is no {host} here")
        other.listen()
        port = other.getsockname()[1]

        done = run_here("--port", str(port))

    assert done.returncode == 2
    assert f"Port {port} is taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_webhooks_are_delivered() -> None:
    """What happens in the sandbox is sent to the URL, signed with the secret that was printed."""
    from hexclave_integrations.webhooks import Webhooks

    received: list[str] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        with running("--webhook-url", url) as sandbox:
            sandbox.act("create-user", kind="regular")
            connection, _ = server.accept()
            with connection:
                connection.settimeout(LIMIT)
                head, body = _read_request(connection)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            webhooks = Webhooks(secrets=[sandbox.variables["HEXCLAVE_WEBHOOK_SECRET"]])
            webhooks.on("user.created")(lambda event: received.append(event.type))
            assert webhooks.receive(body, head)[0] == 200

    assert received == ["user.created"]


def _read_request(connection: socket.socket) -> tuple[dict[str, str], bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")[1:]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return headers, body


# --- a command after -- ---------------------------------------------------------------------------------------

SHOW: Final = "import json, os; print(json.dumps(dict(os.environ)))"


def test_command_gets_the_variables() -> None:
    """The command has the five, and the public ones as JavaScript reads them; settings that outrank them are gone."""
    foreign = {
        "HEXCLAVE_WEBHOOK_SECRETS": "whsec_x",
        "NEXT_PUBLIC_SERVER_STACK_API_URL": "https://cloud.example",
        "HEXCLAVE_API_URL_SERVER": "https://cloud.example",
        "VITE_STACK_PROJECT_ID": "p",
        "STACK_SECRET_SERVER_KEY": "ssk_real",
        "HEXCLAVE_PERMISSION_TTL": "5",
        "UNRELATED": "kept",
    }
    done = run("--port", "0", "--", PYTHON, "-c", SHOW, **foreign)
    *lines, shown = done.stdout.splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    found = json.loads(shown)

    assert done.returncode == 0
    assert list(variables) == NAMES
    assert variables == {name: found[name] for name in NAMES}
    for prefix in ("NEXT_PUBLIC_", "VITE_"):
        assert {name: variables[name] for name in NAMES[:3]} == {name: found[prefix + name] for name in NAMES[:3]}
        assert not any(f"{prefix}{name}" in found for name in NAMES[3:])
    assert set(foreign) & set(found) == {"HEXCLAVE_PERMISSION_TTL", "UNRELATED"}


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_code_is_the_commands(code: int, run_here: Run) -> None:
    """The sandbox ends with its command, as the command did."""
    done = run_here("--port", "0", "--", PYTHON, "-c", f"raise SystemExit({code})")

    assert done.returncode == code


def test_words_of_the_command_arrive_as_they_are(run_here: Run) -> None:
    """Options and a second -- are the command's own."""
    show = "import sys; print(sys.argv[1:])"
    done = run_here("--port", "0", "--", PYTHON, "-c", show, "--port", "1", "--", "--state", "a b", "")

    assert done.stdout.splitlines()[-1] == str(["--port", "1", "--", "--state", "a b", ""])


@posix
def test_signal_that_ended_the_command_is_told() -> None:
    """128 and its number, as in a shell."""
    done = run("--port", "0", "--", PYTHON, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

    assert done.returncode == 128 + signal.SIGKILL


def test_command_that_is_not_found(tmp_path: Path, run_here: Run) -> None:
    """127 and words; 126 for a file that is no program."""
    done = run_here("--port", "0", "--", "no-such-command-here")
    assert done.returncode == 127
    assert "no-such-command-here: command not found" in done.stderr
    assert "Traceback" not in done.stderr

    text = tmp_path / "text"
    text.write_text("hello")
    done = run_here("--port", "0", "--", str(text))
    assert done.returncode == 126
    assert "Traceback" not in done.stderr


PARENT: Final = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
time.sleep(600)
"""


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return state != "Z"  # nobody may be left to take notice of its end


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_command_and_what_it_started(number: int) -> None:
    """It is passed on, nothing is orphaned, and there is no traceback of ours."""
    with running("--", PYTHON, "-c", PARENT) as sandbox:
        assert sandbox.process.stdout is not None
        child = int(sandbox.process.stdout.readline().split()[1])
        code, err = sandbox.end(number)

    # Python itself ends as SIGINT would have ended it, after words of its own about the interrupt.
    assert code == 128 + number
    assert "hexclave_integrations" not in err.partition("Traceback")[2]
    wait_for(lambda: not _is_alive(child))


@posix
def test_what_the_command_leaves_behind_ends_too() -> None:
    """A server that it started in the background does not outlive the sandbox."""
    leave = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
    )
    with running("--", PYTHON, "-c", leave) as sandbox:
        assert sandbox.process.stdout is not None
        child = int(sandbox.process.stdout.readline())
        assert sandbox.process.wait(LIMIT) == 0
    wait_for(lambda: not _is_alive(child))


@posix
def test_command_that_ignores_the_signal_is_killed_when_it_comes_again() -> None:
    """A second SIGTERM does not wait any longer."""
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    with running("--", PYTHON, "-c", stubborn) as sandbox:
        assert sandbox.process.stdout is not None
        sandbox.process.stdout.readline()
        sandbox.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        code, _ = sandbox.end(signal.SIGTERM)

    assert code == 128 + signal.SIGKILL


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_sandbox_without_a_command(number: int) -> None:
    """It ends in order, with 0, and says nothing more."""
    with running() as sandbox:
        code, err = sandbox.end(number)

    assert code == 0
    assert "Traceback" not in err


TERMINAL: Final = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)  # a new session's first terminal is the one that controls it
for number in (0, 1, 2):
    os.dup2(terminal, number)
os.execv(sys.argv[2], sys.argv[2:])
"""
INTERRUPTS: Final = """
import os, select, signal, sys
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)  # a byte for each signal, however close they come
signal.signal(signal.SIGINT, lambda number, frame: None)
print("ready", sys.stdin.isatty(), flush=True)
count, pause = 0, 20
while select.select([reader], [], [], pause)[0]:
    count, pause = count + len(os.read(reader, 100)), 0.5
sys.exit(count + 40)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a session takes its terminal in another way elsewhere")
def test_interrupt_at_a_terminal_reaches_the_command_once() -> None:
    """Ctrl-C is the terminal's: the command, which may read keys, gets it once, and the sandbox waits for it."""
    master, slave = os.openpty()
    try:
        command = [PYTHON, "-c", TERMINAL, os.ttyname(slave), *COMMAND, "--port", "0", "--", PYTHON, "-c", INTERRUPTS]
        process = subprocess.Popen(command, start_new_session=True, env=environment())
        try:
            shown = b""
            while b"ready True" not in shown:
                shown += os.read(master, 4096)
            os.kill(process.pid, signal.SIGINT)  # what is sent to the sandbox alone is not passed on
            time.sleep(0.2)
            os.write(master, b"\x03")
            assert process.wait(LIMIT) == 41
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(slave)
        os.close(master)


# --- state ----------------------------------------------------------------------------------------------------


def test_state_survives_a_restart(tmp_path: Path) -> None:
    """Keys, users, sessions, address and secrets are the same, and a token from before is genuine."""
    file = tmp_path / "state.json"
    options = ("--port", str(free_port()), "--state", str(file))
    with running(*options) as first:
        user = first.act("create-user", kind="regular", display_name="Ada")["id"]
        team = first.act("create-team", display_name="Engines", creator=user)["id"]
        first.act("grant", user=user, permission="export_reports", team=team)
        key = first.act("create-api-key", owner=f"user:{user}")["value"]
        token = first.act("token", user=user)["token"]
        before = first.state()
        code, _ = first.end(signal.SIGTERM)
        assert code == 0

    with running("--state", str(file)) as second:
        assert first.variables == second.variables
        after = second.state()
        for part in ("project", "users", "teams", "permissions", "signing_keys", "api_keys", "sessions"):
            assert before[part] == after[part], part
        assert judge(second.config, token) == user
        with HexclaveClient(second.config) as client:
            found = client.authenticate({"x-stack-access-token": token})
            assert found is not None
            assert client.has_permission(found.id, "export_reports", team)
            assert client.check_api_key(key).user_id == user


def test_last_change_before_the_end_is_kept(tmp_path: Path) -> None:
    """What was answered was stored when the process has ended, also where a large state is written seldom."""
    file = tmp_path / "state"
    large = Sandbox()
    for _ in range(1000):
        large.create_user()
    file.write_text(json.dumps(_valid() | {"project": dump_project(large._project)}))
    with running("--port", "0", "--state", str(file)) as sandbox:
        users = [sandbox.act("create-user", kind="regular")["id"] for _ in range(20)]
        sandbox.end(signal.SIGTERM)

    assert list(json.loads(file.read_text())["project"]["users"])[1000:] == users


def test_refresh_token_survives_a_restart(tmp_path: Path) -> None:
    """A page that stayed open renews its access token with the refresh token it has."""
    options = ("--port", str(free_port()), "--state", str(tmp_path / "state"))
    with running(*options) as first:
        user = first.act("create-user", kind="regular")["id"]
        headers = {
            "x-stack-access-type": "server",
            "x-stack-project-id": first.variables["HEXCLAVE_PROJECT_ID"],
            "x-stack-secret-server-key": first.variables["HEXCLAVE_SECRET_SERVER_KEY"],
        }
        answer = httpx.post(f"{first.url}/api/v1/auth/sessions", json={"user_id": user}, headers=headers, **PLAIN)
        refresh_token = answer.json()["refresh_token"]
        first.end(signal.SIGTERM)

    with running(*options) as second:
        headers |= {"x-stack-refresh-token": refresh_token}
        answer = httpx.post(f"{second.url}/api/v1/auth/sessions/current/refresh", headers=headers, **PLAIN)
        assert answer.status_code == 200
        assert judge(second.config, answer.json()["access_token"]) == user


def test_items_need_no_definition_and_balances_survive_a_restart(tmp_path: Path) -> None:
    """A server names an item and gives of it; what is left is there the next time, and the vault's values are."""
    options = ("--port", str(free_port()), "--state", str(tmp_path / "state"))
    with running(*options) as first:
        user = first.act("create-user", kind="regular")["id"]
        headers = {
            "x-stack-access-type": "server",
            "x-stack-project-id": first.variables["HEXCLAVE_PROJECT_ID"],
            "x-stack-secret-server-key": first.variables["HEXCLAVE_SECRET_SERVER_KEY"],
        }
        item, key = f"/api/v1/payments/items/user/{user}/credits", {"hashed_key": "h"}
        store = "/api/v1/data-vault/stores/secrets"
        with httpx.Client(base_url=first.url, headers=headers, **PLAIN) as client:
            for delta in (10, -3):
                changed = client.post(f"{item}/update-quantity?allow_negative=false", json={"delta": delta})
                assert changed.status_code == 200
            assert client.post(f"{store}/set", json=key | {"encrypted_value": "v"}).status_code == 200
        first.end(signal.SIGTERM)

    with running(*options) as second, httpx.Client(base_url=second.url, headers=headers, **PLAIN) as client:
        assert client.get(item).json() == {"id": "credits", "display_name": "credits", "quantity": 7}
        assert client.post(f"{store}/get", json=key).json() == {"encrypted_value": "v"}


def test_state_is_written_soon_after_each_change(tmp_path: Path) -> None:
    """A process that is killed has lost nothing that was there for a moment; the file is its owner's alone."""
    file = tmp_path / "state.json"
    options = ("--port", "0", "--state", str(file))
    with running(*options) as sandbox:
        user = sandbox.act("create-user", kind="anonymous")["id"]
        wait_for(lambda: file.exists() and user in file.read_text())
        sandbox.process.kill()

    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json", "state.json.lock"]
    with running(*options) as again:
        assert [one["id"] for one in again.state()["users"]["items"]] == [user]


def test_state_that_cannot_be_written_is_told_and_tried_again(tmp_path: Path) -> None:
    """The sandbox goes on, says so once, and what was stored before is still there."""
    file = tmp_path / "state"
    with running("--port", "0", "--state", str(file)) as sandbox:
        user = sandbox.act("create-user", kind="regular")["id"]
        wait_for(lambda: file.exists() and user in file.read_text())
        headers = {
            "x-stack-access-type": "server",
            "x-stack-project-id": sandbox.variables["HEXCLAVE_PROJECT_ID"],
            "x-stack-secret-server-key": sandbox.variables["HEXCLAVE_SECRET_SERVER_KEY"],
            "content-type": "application/json",
        }
        deep = b"[" * 600 + b"]" * 600
        url = f"{sandbox.url}/api/v1/users/{user}"
        with httpx.Client(headers=headers, **PLAIN) as client:
            client.patch(url, content=b'{"client_metadata":' + deep + b"}")
            client.patch(url, content=b'{"display_name":"Ada"}')
            time.sleep(0.3)
            stored = json.loads(file.read_text())
            assert user in stored["project"]["users"]
            assert client.patch(url, content=b'{"client_metadata":null}').status_code == 200
            wait_for(lambda: '"Ada"' in file.read_text())
        code, err = sandbox.end(signal.SIGTERM)

    assert code == 0
    assert "Traceback" not in err
    assert err.count("the state cannot be written") == err.count("the state is written again") == 1


def _valid() -> dict[str, Any]:
    sandbox = Sandbox()
    project = dump_project(sandbox._project)
    return {
        "kind": "hexclave-sandbox",
        "format": 1,
        "port": free_port(),
        "webhook_secret": sandbox.config.webhook_secrets[0],
        "project": project,
    }


def _without(name: str) -> dict[str, Any]:
    value = _valid()
    del value[name]
    return value


def _with_project(**changes: object) -> dict[str, Any]:
    value = _valid()
    value["project"] |= changes
    return value


BROKEN: Final = {
    "empty": b"",
    "cut-off": json.dumps(_valid()).encode()[:-200],
    "no-text": b"\xff\xfe\x00",
    "another-json": b'{"name": "my-app", "version": "1.0.0"}',
    "a-list": b"[]",
    "deep": b"[" * 100_000,
    "an-env-file": b"HEXCLAVE_PROJECT_ID=x\n",
    "newer": json.dumps(_valid() | {"format": 2}).encode(),
    "format-is-true": json.dumps(_valid() | {"format": True}).encode(),
    "no-port": json.dumps(_without("port")).encode(),
    "no-secret": json.dumps(_without("webhook_secret")).encode(),
    "bad-secret": json.dumps(_valid() | {"webhook_secret": "x"}).encode(),
    "secret-is-no-text": json.dumps(_valid() | {"webhook_secret": [1]}).encode(),
    "no-project": json.dumps(_without("project")).encode(),
    "newer-field": json.dumps(_with_project(passkeys={})).encode(),
    "bad-id": json.dumps(_with_project(id="../../x")).encode(),
    "bad-keys": json.dumps(_with_project(keys={"regular": []})).encode(),
    "users-are-a-list": json.dumps(_with_project(users=[1])).encode(),
    "user-without-fields": json.dumps(_with_project(users={"a": {"id": "a"}})).encode(),
    "member-of-nothing": json.dumps(_with_project(members=[[["a", "b"], None]])).encode(),
    "session-of-nobody": json.dumps(_with_project(project_grants=[["a", "b"]])).encode(),
}


@pytest.mark.parametrize("name", BROKEN)
def test_file_that_cannot_be_used_is_refused_by_name_and_left_alone(name: str, tmp_path: Path, run_here: Run) -> None:
    """Broken, foreign and newer files: exit 2, words with the file's name, and not a byte changed."""
    file = tmp_path / "precious.json"
    file.write_bytes(BROKEN[name])

    done = run_here("--state", str(file))

    assert (done.returncode, done.stdout) == (2, "")
    assert "precious.json" in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_bytes() == BROKEN[name]


def test_second_process_on_one_file_is_refused(tmp_path: Path, run_here: Run) -> None:
    """The first goes on, and its file is its own until it ends."""
    file = str(tmp_path / "state")
    with running("--port", "0", "--state", file) as first:
        done = run_here("--port", "0", "--state", file)
        assert done.returncode == 2
        assert file in done.stderr
        assert "another sandbox uses it" in done.stderr
        first.act("create-user", kind="regular")
    with running("--port", "0", "--state", file) as second:
        assert second.state()["users"]["total"] == 1


def test_another_projects_file_is_refused(tmp_path: Path, run_here: Run) -> None:
    """A project id that contradicts the file changes nothing in it."""
    file = tmp_path / "state"
    assert run_here("--port", "0", "--state", str(file)).returncode == 0
    before = file.read_bytes()

    done = run_here("--port", "0", "--state", str(file), "--project-id", str(uuid.uuid4()))

    assert done.returncode == 2
    assert str(file) in done.stderr
    assert file.read_bytes() == before


@posix
def test_symbolic_link_to_the_state_stays_one(tmp_path: Path, run_here: Run) -> None:
    """The file that it leads to is replaced, and not the link."""
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there" / "state")
    assert run_here("--port", "0", "--state", str(link)).returncode == 0

    assert link.is_symlink()
    assert (tmp_path / "there" / "state").is_file()


def test_every_attribute_of_a_project_has_its_place() -> None:
    """A new attribute is kept, with its type in the table KEPT, or named in TRANSIENT: it is not forgotten."""
    project = Project(str(uuid.uuid4()), "http://127.0.0.1:1", time.time)

    assert set(KEPT) & TRANSIENT == set()
    assert set(vars(project)) == set(KEPT) | TRANSIENT, "place the new attribute in testing/_stored.py"


def test_everything_in_a_sandbox_is_restored() -> None:
    """What was stored as JSON comes back equal, in its types and order; there is something of everything in it."""
    sandbox = Sandbox(require_email_verification=True, domains=["https://app.example.com"])
    ada = sandbox.create_user(display_name="Ada", primary_email="ada@example.com", client_metadata={"a": [1, None]})
    bob = sandbox.create_user("restricted", restricted_reason="restricted_by_administrator")
    sandbox.create_user("anonymous")
    teams = [sandbox.create_team(f"Team {number}", creator=ada) for number in range(3)]
    sandbox.add_member(teams[1], bob)
    sandbox.select_team(bob, teams[1])
    sandbox.define_permission("all", ["some"], scope="project")
    sandbox.grant(ada, "all")
    sandbox.new_session(ada)
    sandbox.revoke_api_key(sandbox.create_api_key(team=teams[0]))
    sandbox.create_api_key(user=ada, expires_in=60)
    sandbox.define_item("seats", customer_type="team")
    sandbox.define_product("pro", items={"credits": 9}, prices={"m": {"USD": "9", "interval": [1, "month"]}})
    sandbox.grant_product("pro", ada)
    sandbox.items.set("credits", ada, 7)
    sandbox.items.set("calls", "acme", -3)
    sandbox.invite(teams[0], "bob@example.com")
    sandbox.connect_account(ada, "google", access_token="gt-1", scopes=["mail"])
    sandbox.define_vault_store("store")
    sandbox.sign_up("carol@example.com", "correct horse")
    sandbox.accepts_any_item = True
    sandbox.client_user_deletion_enabled = False
    project = sandbox._project
    channel = ContactChannel(id=str(uuid.uuid4()), user_id=ada.id, value="second@example.com", created_at_millis=1)
    project.contact_channels[channel.id] = channel
    project.cli_logins.append(CliLogin(polling_code="p", login_code="l", expires_at=1, refresh_token="r", used=True))
    project.vault_stores["store"]["hash"] = "encrypted"
    project.notifications[ada.id] = {"marketing": False}
    project.member_profiles[teams[1].id] = {bob.id: {"display_name": "Bobby"}}
    project.emails.append(SandboxEmail(to="ada@example.com", kind="sign_in_code", subject="Code", code="ABCDEF"))
    restored = Project(str(uuid.uuid4()), "http://127.0.0.1:1", time.time)
    same = [name for name in KEPT if getattr(project, name) == getattr(restored, name)]
    assert same == [], "change these in the sandbox above"
    stored = json.loads(json.dumps(dump_project(project)))

    restore_project(restored, stored)

    for name in set(KEPT) - {"keys"}:
        assert getattr(project, name) == getattr(restored, name), name
        assert repr(getattr(project, name)) == repr(getattr(restored, name)) or isinstance(getattr(project, name), set)
    assert project.keys.export() == restored.keys.export()
    assert json.loads(json.dumps(dump_project(restored))) == stored


def test_what_an_older_version_did_not_store_stays_fresh() -> None:
    """A file without an attribute that came later is read; one with too much changes nothing."""
    stored = dump_project(Sandbox()._project)
    del stored["emails"]
    project = Project(str(uuid.uuid4()), "http://127.0.0.1:1", time.time)
    before = project.id

    with pytest.raises(Unreadable, match="'later'"):
        restore_project(project, stored | {"later": 1})
    assert project.id == before
    restore_project(project, stored)
    assert (project.id, project.emails) == (stored["id"], [])


# --- whom it answers ------------------------------------------------------------------------------------------


def ask(address: str, port: int, host: str | None, path: str = "/_sandbox/emails", count: int = 1) -> int:
    """The status of a request with exactly this `Host`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    lines = "" if host is None else f"Host: {host}\r\n" * count
    with closing(socket.socket(family)) as connection:
        connection.settimeout(LIMIT)
        connection.connect((address, port))
        connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return int(answer.split(b" ", 2)[1])


def test_only_requests_to_a_name_of_loopback_are_answered() -> None:
    """A page of another site whose name leads to 127.0.0.1 sends its own name, and gets nothing."""
    with Sandbox().serve() as url:
        port = int(url.rpartition(":")[2])
        for host in ("127.0.0.1", "localhost", "[::1]", "LocalHost"):
            for name in (f"{host}:{port}", host, f"{host}:{port + 1}"):  # a tunnel may end at another port
                assert ask("127.0.0.1", port, name) == 200
        rebound = ["evil.com", f"evil.com:{port}", f"localhost.evil.com:{port}", f"evil-localhost:{port}"]
        rebound += [
            f"127.0.0.2:{port}",
            f"0.0.0.0:{port}",
            f"127.0.0.1.:{port}",
            "",
            f"[::]:{port}",
        ]
        rebound += [f"evil.com@localhost:{port}", f"localhost:{port}, evil.com", f"localhost:0{port}"]
        for host in rebound:
            for path in ("/", "/_sandbox/state", "/api/v1/projects/current"):
                assert ask("127.0.0.1", port, host, path) == 421, host
        assert ask("127.0.0.1", port, None) == 421
        assert ask("127.0.0.1", port, f"localhost:{port}", count=2) == 421


def test_nothing_but_loopback_is_served() -> None:
    """No other address of this machine answers."""
    with Sandbox().serve() as url:
        port = int(url.rpartition(":")[2])
        for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
            if not str(address).startswith("127."):
                with pytest.raises(ConnectionError):
                    ask(str(address), port, f"localhost:{port}")
        with pytest.raises(ConnectionError):
            ask("127.0.0.2", port, f"localhost:{port}")


def test_all_three_names_answer_and_the_kit_takes_them_for_one() -> None:
    """An application that calls the sandbox by any name accepts its tokens, which name 127.0.0.1."""
    sandbox = Sandbox()
    user = sandbox.create_user()
    with sandbox.serve() as url:
        port = int(url.rpartition(":")[2])
        token = sandbox.token(user)
        names = ["127.0.0.1", "localhost"]
        try:
            assert ask("::1", port, f"[::1]:{port}") == 200
            names.append("[::1]")
        except OSError:
            assert not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists()
        for name in names:
            config = HexclaveConfig(project_id=sandbox.config.project_id, api_url=f"http://{name}:{port}")
            assert judge(config, token) == user.id


@pytest.mark.parametrize(
    "base",
    [
        "http://127.0.0.1:{other}",
        "https://127.0.0.1:{port}",
        "https://localhost:{port}",
        "http://127.0.0.1",
        "http://127.0.0.2:{port}",
        "http://localhost.evil.com:{port}",
        "http://evil.com:{port}",
        "http://localhost:{port}.evil.com",
        "http://localhost.:{port}",
        "http://localhost:{port}/x",
        "http://[::]:{port}",
        "http://LOCALHOST:{port}",
        "https://api.hexclave.com",
    ],
)
def test_any_other_issuer_is_kept_out(base: str) -> None:
    """Genuinely signed tokens whose issuer is another host, port, scheme or path than a name of the API's address."""
    sandbox = Sandbox()
    user = sandbox.create_user()
    with sandbox.serve() as url:
        port = int(url.rpartition(":")[2])
        project = sandbox.config.project_id
        config = HexclaveConfig(project_id=project, api_url=f"http://localhost:{port}")
        good = sandbox.token(user, claims={"iss": f"http://[::1]:{port}/api/v1/projects/{project}"})
        base = base.format(port=port, other=port + 1)
        bad = sandbox.token(user, claims={"iss": f"{base}/api/v1/projects/{project}"})

        with HexclaveClient(config) as client:
            found = client.authenticate({"x-stack-access-token": good})
            assert found is not None
            assert found.id == user.id
            with pytest.raises(HexclaveError) as refused:
                client.authenticate({"x-stack-access-token": bad})
    assert getattr(refused.value, "code", None) == "UNPARSABLE_ACCESS_TOKEN"


def test_loopback_issuer_is_kept_out_elsewhere() -> None:
    """An application that asks a public host, or another loopback address, accepts no token of localhost."""
    from hexclave_integrations._token.verify import Verifier

    project = str(uuid.uuid4())
    for url in (
        "https://auth.example",
        "https://api.hexclave.com",
        "http://127.0.0.2:8102",
        "https://localhost.evil.com",
    ):
        issuers = Verifier(HexclaveConfig(project_id=project, api_url=url))._issuers
        assert not any(name in one for one in issuers for name in ("//localhost:", "//127.0.0.1", "//[::1]"))


# --- the page's own requests ----------------------------------------------------------------------------------

ACT: Final = "/_sandbox/do/create-user"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "{url}"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"origin": "{url}", "sec-fetch-site": "same-origin"}, 200),
        ({}, 403),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://{host}"}, 403),
        ({"origin": "http://localhost:{port}"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"origin": "{url}", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://evil.com", "sec-fetch-site": "same-origin"}, 403),
        ({"origin": "{url}", "content-type": "text/plain"}, 415),
        ({"origin": "{url}", "content-type": "application/x-www-form-urlencoded"}, 415),
        ({"origin": "{url}", "content-type": ""}, 415),
    ],
)
def test_actions_are_the_pages_own(headers: dict[str, str], status: int) -> None:
    """Another site's page cannot do one: its origin is another, and a form cannot send JSON."""
    sandbox = Sandbox()
    with sandbox.serve() as url:
        host = url.removeprefix("http://")
        port = host.rpartition(":")[2]
        filled = {name: value.format(url=url, host=host, port=port) for name, value in headers.items()}
        answer = httpx.post(
            url + ACT, content=b'{"kind":"regular"}', headers={"content-type": "application/json"} | filled, **PLAIN
        )

    assert answer.status_code == status
    assert len(sandbox._project.users) == (status == 200)
    assert not any(name.startswith("access-control-") for name in answer.headers)


def test_page_has_no_cors_and_a_strict_policy() -> None:
    """No other origin reads it, a preflight gets no leave, and scripts come from the sandbox alone."""
    with (
        Sandbox().serve() as url,
        httpx.Client(base_url=url, headers={"origin": "http://localhost:3000"}, **PLAIN) as client,
    ):
        for path in ("/", "/_sandbox/state", "/_sandbox/emails", "/_sandbox/page.js", "/_sandbox/nothing"):
            answer = client.get(path)
            assert not any(name.startswith("access-control-") for name in answer.headers), path
            assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
        for path in ("/_sandbox/state", ACT):
            asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
            answer = client.options(path, headers=asked)
            assert answer.status_code == 405
            assert not any(name.startswith("access-control-") for name in answer.headers)
        for path in ("/_sandbox/state", "/_sandbox/emails"):
            assert client.get(path, headers={"sec-fetch-site": "same-site"}).status_code == 403
        assert client.get(ACT).status_code == 405
        assert client.get("/_sandbox/../_sandbox/page.js/..%2f..%2fsandbox.py").status_code == 404


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("nothing", "{}"),
        ("create-user", "{}"),
        ("create-user", '{"kind":"admin"}'),
        ("create-user", '{"kind":"regular","id":"x"}'),
        ("create-user", '{"kind":["regular"]}'),
        ("create-user", '{"kind":"regular","display_name":"' + "x" * 2001 + '"}'),
        ("create-user", "[]"),
        ("create-user", "{"),
        ("create-user", "[" * 100_000),
        ("token", '{"user":"nobody"}'),
        ("grant", '{"user":"nobody","permission":"zoom"}'),
        ("revoke-api-key", '{"id":"nothing"}'),
        ("end-session", '{"id":"nothing"}'),
        ("begin-outage", '{"kind":"earthquake"}'),
        ("create-api-key", '{"owner":"nobody"}'),
        ("__class__", "{}"),
    ],
)
def test_wrong_actions_are_told_in_words(name: str, body: str) -> None:
    """400 and a sentence."""
    with Sandbox().serve() as url:
        headers = {"origin": url, "content-type": "application/json"}
        answer = httpx.post(f"{url}/_sandbox/do/{name}", content=body, headers=headers, **PLAIN)

    assert answer.status_code == 400
    assert answer.json()["error"].endswith((".", "'anonymous'."))


def test_state_holds_no_secret() -> None:
    """Tokens, keys and codes that let somebody in are told by an action only; e-mails are what they are."""
    sandbox = Sandbox()
    user = sandbox.create_user()
    session, key = sandbox.new_session(user), sandbox.create_api_key(user=user)
    with sandbox.serve() as url:
        text = httpx.get(f"{url}/_sandbox/state", **PLAIN).text
        again = httpx.get(f"{url}/_sandbox/state", headers={"if-none-match": '"x"'}, **PLAIN)
        same = httpx.get(f"{url}/_sandbox/state", headers={"if-none-match": again.headers["etag"]}, **PLAIN)

    project = sandbox._project
    secrets = [session.refresh_token, key.value, project.secret_server_key, project.super_secret_admin_key]
    for secret in [*secrets, sandbox.config.webhook_secrets[0], "PRIVATE KEY", "eyJ"]:
        assert secret not in text
    assert (again.status_code, same.status_code, same.content) == (200, 304, b"")


def test_emails_are_listed_newest_last() -> None:
    """Address, kind, subject, code and link of each."""
    sandbox = Sandbox()
    emails = sandbox._project.emails
    emails.append(SandboxEmail(to="a@example.com", kind="sign_in_code", subject="Your code", code="ABCDEF"))
    emails.append(SandboxEmail(to="b@example.com", kind="team_invitation", subject="Join", link="http://localhost/x"))
    with sandbox.serve() as url:
        listed = httpx.get(f"{url}/_sandbox/emails", **PLAIN).json()

    assert listed == {
        "items": [
            {"to": "a@example.com", "kind": "sign_in_code", "subject": "Your code", "code": "ABCDEF", "link": None},
            {
                "to": "b@example.com",
                "kind": "team_invitation",
                "subject": "Join",
                "code": None,
                "link": "http://localhost/x",
            },
        ]
    }


# --- the log of requests --------------------------------------------------------------------------------------


def test_log_has_the_real_status_and_the_reason() -> None:
    """An SDK asks for 200 in place of a refusal: the log says what it was, and why."""
    sandbox = Sandbox()
    user = sandbox.create_user()
    with sandbox.serve() as url, httpx.Client(base_url=f"{url}/api/v1", **PLAIN) as client:
        headers = {"x-stack-access-type": "client", "x-stack-project-id": sandbox.config.project_id}
        headers |= {"x-stack-override-error-status": "true"}
        token = sandbox.token(user)
        for given in (token, "abc", f"{token[:-8]}AAAAAAAA", sandbox.token(user, -5)):
            assert client.get("/users/me", headers=headers | {"x-stack-access-token": given}).status_code == 200
        issuer = sandbox.token(user, claims={"iss": "https://api.hexclave.com"})
        client.get("/users/me", headers=headers | {"x-stack-access-token": issuer})
        sandbox.rotate_keys()
        client.get("/users/me", headers=headers | {"x-stack-access-token": token})
        client.get("/nothing", headers=headers)
        client.get("/users/me", headers=headers | {"x-stack-project-id": str(uuid.uuid4())})
        with sandbox.outage("error"):
            client.get("/users/me")
        shown = httpx.get(f"{url}/_sandbox/state", **PLAIN).json()["requests"]["items"]

    expected: list[tuple[int, str | None, str | None]] = [
        (200, None, None),
        (401, "UNPARSABLE_ACCESS_TOKEN", "no JWT"),
        (401, "UNPARSABLE_ACCESS_TOKEN", "signature"),
        (401, "ACCESS_TOKEN_EXPIRED", "over"),
        (401, "UNPARSABLE_ACCESS_TOKEN", "issuer"),
        (401, "UNPARSABLE_ACCESS_TOKEN", "rotated"),
        (404, None, "no such endpoint"),
        (400, "CURRENT_PROJECT_NOT_FOUND", "project id"),
        (500, None, "outage"),
    ]
    assert [(one["status"], one["code"]) for one in shown] == [(status, code) for status, code, _ in expected]
    for one, (_, _, words) in zip(shown, expected, strict=True):
        assert one["reason"] is None if words is None else words in one["reason"]
    assert [one.status for one in sandbox.requests] == [status for status, _, _ in expected]
    assert token not in repr(sandbox.requests)


def test_every_refusal_is_explained() -> None:
    """Each known error that the sandbox can answer has a sentence, its own or Hexclave's."""
    from hexclave_integrations.testing._explain import explain
    from hexclave_integrations.testing._wire import _KNOWN, json_reply

    project = Sandbox()._project
    for code, (status, _) in _KNOWN.items():
        reply = json_reply({"code": code, "error": "Words of Hexclave."}, status, {"x-stack-known-error": code})
        found, reason = explain(project, {}, reply, status, None)
        assert found == code
        assert reason is not None
        assert reason.endswith((".", "?"))


def test_page_shows_the_newest_requests() -> None:
    """A sandbox that was asked very much shows the last two hundred, and how many it remembers."""
    sandbox = Sandbox()
    with httpx.Client(transport=sandbox._transport, base_url="https://sandbox") as client:
        for number in range(205):
            client.get(f"/{number}")
    with sandbox.serve() as url:
        shown = httpx.get(f"{url}/_sandbox/state", **PLAIN).json()["requests"]

    assert (shown["total"], len(shown["items"])) == (205, 200)
    assert [shown["items"][0]["path"], shown["items"][-1]["path"]] == ["/5", "/204"]
