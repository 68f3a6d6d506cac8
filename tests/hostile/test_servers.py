"""The corpus and bent HTTP as raw bytes on real sockets, through every framework under its real servers."""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
from collections.abc import Iterator

import pytest

from .. import _server
from .cast import FORGED, GENUINE, JWKS, NOBODY, PROJECT, USER, VICTIM, Case, genuine
from .corpus import CASES, GROUPS
from .handshakes import HANDSHAKES
from .limits import ATTEMPTS, TIME_LIMIT
from .raw import REQUESTS, STRIPPED
from .serve import SERVERS, WEBSOCKETS, Fleet, running
from .signatures import bits
from .wire import Answer, exchange, leaks, request

# Each server gets every fifth case, and each case two servers; the clients see all of them.
SAMPLE = (*bits(29), *(case for case in CASES if case not in GROUPS["signature bits"]))
STRIDE = 5
marks = itertools.count()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """All servers, on one key set."""
    with _server.Server(_server.fixed(200, JWKS)) as keys:
        settings = {
            "HEXCLAVE_PROJECT_ID": PROJECT,
            "HEXCLAVE_API_URL": keys.url,
            "HEXCLAVE_ISSUER_URLS": "https://api.hexclave.com",
        }
        with running(tmp_path_factory.mktemp("hostile"), settings) as fleet:
            yield fleet


@pytest.fixture
def session(fleet: Fleet, server: str) -> Iterator[Session]:
    """A conversation with one server."""
    port = fleet.port(server)
    if port is None:
        pytest.skip("httptools is not installed")
    # gunicorn listens before it has imported the application.
    assert _server.eventually(lambda: exchange(port, request()).verdicts() == [NOBODY])
    session = Session(fleet, server, port)
    session.end_with_good_tokens()  # the keys are there from now on
    yield session
    session.end_with_good_tokens()
    session.expect_no_leak()


class Session:
    """What is sent to one server in a test, and all that it says meanwhile."""

    def __init__(self, fleet: Fleet, server: str, port: int) -> None:
        self._fleet = fleet
        self._server = server
        self.port = port
        self._before = len(fleet.output(server))
        self._said: set[bytes] = set()
        self._sent: list[str] = []
        self.findings: list[str] = []

    def expect(self, name: str, data: bytes, allowed: frozenset[str], *sent: str) -> None:
        """Note a finding unless every response is allowed, and the best attempt comes in time."""
        self._sent += sent
        seconds = []
        for _ in range(ATTEMPTS):
            answer = exchange(self.port, data)
            seconds.append(answer.seconds)
            verdicts = self._verdicts(answer)
            if verdicts != ["server"]:  # before any application: the websockets library says what it does not like
                self._said.add(answer.raw)
            if not allowed.issuperset(verdicts):
                self.findings.append(f"{name}: {verdicts} instead of {sorted(allowed)}")
                return
            # What a server refuses by itself takes as long as it takes.
            if answer.seconds < TIME_LIMIT or verdicts == ["server"]:
                return
        self.findings.append(f"{name}: took {min(seconds) * 1000:.0f} ms")

    def _verdicts(self, answer: Answer) -> list[str]:
        if VICTIM.encode() in answer.raw:
            return ["the forged identity"]
        return answer.verdicts()

    def expect_nothing_found(self) -> None:
        if self.findings:
            pytest.fail("\n".join(self.findings), pytrace=False)

    def end_with_good_tokens(self) -> None:
        """The honest user is let in as before, with a token known to the server and with a new one."""
        for token in (GENUINE, genuine(next(marks))):
            answer = exchange(self.port, request(b"x-stack-access-token: " + token.encode()))
            assert self._verdicts(answer) == ["genuine"]

    def expect_no_leak(self) -> None:
        """Nothing of what was sent is in any response, log record or other output."""
        mark = f"/mark-{next(marks)}-{time.monotonic_ns()}"
        exchange(self.port, request(target=mark.encode()))
        assert _server.eventually(lambda: mark in self._fleet.output(self._server)), "the log is not where it was"
        output = self._fleet.output(self._server)[self._before :]
        responses = "\n".join(raw.decode("latin-1") for raw in self._said)
        assert leaks([*self._sent, GENUINE, FORGED], output) == set()
        assert leaks([*self._sent, GENUINE, FORGED], responses) == set()
        assert VICTIM not in output + responses
        assert USER not in output
        assert [text for text in _tracebacks(output) if "hexclave_integrations" in text] == []


def _tracebacks(output: str) -> list[str]:
    """The errors in a log that servers do not make by themselves.

    uvicorn answers 400 when h11 refuses a body under way, and then fails to send what the application answers.
    """
    found = re.findall(r"^Traceback .*?^\S[^\n]*", output, re.DOTALL | re.MULTILINE)
    return [text for text in found if "h11._util.LocalProtocolError" not in text]


every_server = pytest.mark.parametrize("server", SERVERS)


def carried(case: Case, number: int) -> tuple[str, bytes, str | None]:
    """The name of a way to send a case's token, a header that does, and the code that is then expected."""
    token, code = case.token, case.code
    envelope = json.dumps({"accessToken": token, "refreshToken": "r"}).encode()
    if not token:
        code = NOBODY  # an envelope without a token says "signed out"
    ways = {
        "envelope": b"x-stack-auth: " + envelope,
        "bearer envelope": b"authorization: bearer hexclave_" + base64.b64encode(envelope),
    }
    if case.in_header and token:
        plain = token.encode("utf-8", "surrogatepass")
        ways |= {"header": b"X-Stack-Access-Token: " + plain, "bearer": b"Authorization: Bearer " + plain}
    name = sorted(ways)[number % len(ways)]
    return name, ways[name], code


@every_server
def test_every_credential_meets_its_answer(session: Session, server: str) -> None:
    """A share of the corpus is answered as by the clients, in one form of transport or another, and in time."""
    share = SAMPLE[SERVERS.index(server) % STRIDE :: STRIDE]
    for number, case in enumerate(share):
        way, line, code = carried(case, number)
        allowed = {"genuine" if code is None else code}
        if len(line) > 7500 or not line.isascii() or b"\0" in line:
            allowed.add("server")
        session.expect(f"{case.name}, in a {way}", request(line), frozenset(allowed), case.token)
    session.expect_nothing_found()


@every_server
def test_every_request_meets_its_answer(session: Session, server: str) -> None:
    """However HTTP is bent, a forged token lets nobody in, and what reaches the application is answered by it."""
    for bent in REQUESTS:
        by_server = {"genuine"} if "runserver" in server and bent.name in STRIPPED else set()
        session.expect(bent.name, bent.data, bent.allowed | by_server)
    session.expect_nothing_found()


@every_server
def test_options_tells_nothing(session: Session) -> None:
    """A question for the methods is answered by framework or guard, and names nobody."""
    for token in (GENUINE, FORGED):
        answer = exchange(session.port, request(b"x-stack-access-token: " + token.encode(), method=b"OPTIONS"))
        assert answer.raw.split(b" ", 2)[1] in (b"200", b"204", b"401", b"405")
        assert FORGED[-40:].encode() not in answer.raw
        assert VICTIM.encode() not in answer.raw


@pytest.mark.parametrize("server", WEBSOCKETS)
def test_every_handshake_meets_its_answer(session: Session) -> None:
    """A websocket opens for the honest user alone; everybody else gets the refusal, and the server no token to log."""
    for bent in HANDSHAKES:
        session.expect(bent.name, bent.data, bent.allowed)
    session.expect_nothing_found()
