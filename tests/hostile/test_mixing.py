"""Several credentials in one request, and many requests at once: a handler sees whom the order of sources names."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import pytest

from hexclave_integrations.testing import Sandbox

from .cast import EXPIRED, INVALID
from .in_process import Answer
from .mixing import PERMISSION, ROUTES, Cast, Credential, Mixed, Verdict, judge, mixtures
from .mixing_apps import APPS, NONCE, WEBHOOKS, App

COUNT: Final = int(os.environ.get("HOSTILE_REQUESTS", "800"))
"""Of requests for each application; `HOSTILE_REQUESTS=10000` goes deeper."""

SEED: Final = 20261125
CAST: Final = Cast(Sandbox())
EVERYBODY: Final = (*CAST.tokens(), *CAST.tokens(), *CAST.keys, *CAST.strangers)


def target(mixed: Mixed) -> str:
    return f"/teams/{CAST.team}/reports" if mixed.route == "/reports" else mixed.route


def outcome(answer: Answer, nonce: str) -> Verdict:
    """What came of a request; whose number is another's was mixed with another request."""
    if answer.status not in (200, 101):
        code = json.loads(answer.body)["code"] if answer.body.startswith("{") else answer.body
        return Verdict(answer.status, code)
    said = json.loads(answer.body)
    assert said["nonce"] == nonce, "the answer to another request"
    return Verdict(answer.status, id=said["id"])


def expected(verdict: Verdict, *, holds: Callable[[str], bool]) -> Verdict:
    if verdict.needs_permission and not holds(str(verdict.id)):
        return Verdict(403, "TEAM_PERMISSION_REQUIRED")
    return Verdict(verdict.status, verdict.code, verdict.id)


def leaked(mixed: Mixed, answer: Answer) -> list[str]:
    return [one.name for _, one in mixed.parts if one.text and one.text[-24:] in answer.text]


def one_after_the_other(app: App) -> tuple[Callable[[str, Any], Answer], Callable[[], None]]:
    if app.call is not None:
        return app.call, lambda: None
    assert app.acall is not None
    runner, acall = asyncio.Runner(), app.acall

    async def wait(url: str, headers: Any) -> Answer:
        return await acall(url, headers)

    return lambda url, headers: runner.run(wait(url, headers)), runner.close


@pytest.mark.parametrize("accept_cookies", [False, True], ids=["headers", "cookies"])
@pytest.mark.parametrize("name", APPS)
def test_the_order_of_sources_decides(name: str, accept_cookies: bool) -> None:
    """Whatever comes together in a request, the first source that speaks says who it is, and nobody else is seen."""
    config = dataclasses.replace(CAST.sandbox.config, accept_cookies=accept_cookies)
    alice, rng, seen = CAST.users["alice"][0], random.Random(SEED), Counter[Any]()
    wrong: list[str] = []
    with APPS[name](config) as app:
        call, close = one_after_the_other(app)
        for number, mixed in enumerate(itertools.islice(mixtures(lambda: EVERYBODY, rng), COUNT // 2)):
            verdict = expected(judge(mixed, accept_cookies=accept_cookies), holds=alice.__eq__)
            answer = call(target(mixed), [*mixed.headers(config.project_id), (NONCE, str(number))])
            found = outcome(answer, str(number))
            seen[found.status, found.code] += 1
            if found != verdict or leaked(mixed, answer):
                wrong.append(f"{found} instead of {verdict}: {mixed}")
        close()
    assert wrong[:5] == [], "\n".join(wrong[:5])
    assert len(seen) >= 9, seen  # every refusal of the table, and those who were let in
    assert seen[200, None] > COUNT / 20


@pytest.mark.parametrize("name", ["fastapi", "starlette"])
def test_a_subprotocol_counts_where_nothing_else_speaks(name: str) -> None:
    """On a websocket the token among the subprotocols comes after every header and before nobody."""
    config, rng, seen = CAST.sandbox.config, random.Random(SEED), Counter[int]()
    wrong: list[str] = []
    with APPS[name](config) as app, asyncio.Runner() as runner:
        for number, mixed in enumerate(itertools.islice(mixtures(lambda: EVERYBODY, rng, ("/user",)), COUNT // 2)):
            verdict = judge(mixed, accept_cookies=False, is_websocket=True)
            answer = runner.run(app.connect("/ws", [*mixed.headers(config.project_id), (NONCE, str(number))]))
            found = outcome(answer, str(number))
            seen[found.status] += 1
            if found.id != verdict.id or (found.code != verdict.code and found.status != 101):
                wrong.append(f"{found} instead of {verdict}: {mixed}")
    assert wrong[:5] == [], "\n".join(wrong[:5])
    assert min(seen[101], seen[403]) > COUNT / 20


# --- at the same time -----------------------------------------------------------------------------------------


class Book:
    """What holds at which moment, while permissions are granted and revoked and signing keys rotate.

    Args:
        cast: whose users it is about; no other test may see what happens to them.
    """

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self._rng = random.Random(SEED)
        self.generation = 0
        self._others = (*cast.keys, *cast.strangers)
        self.credentials = self._mostly(cast.tokens(), ())
        alice, bob = (cast.users[name][0] for name in ("alice", "bob"))
        # The number of the last change, and what holds since; None while it is changing.
        self._held: dict[str, tuple[int, bool | None]] = {alice: (0, True), bob: (0, False)}

    def held(self, user_id: str | None) -> tuple[int, bool | None]:
        return self._held.get(user_id or "", (0, False))

    def change(self) -> tuple[str, bytes, list[tuple[str, str]]]:
        """Grant or revoke something; the user it is about, and the webhook that tells of it."""
        user_id = self._rng.choice(sorted(self._held))
        number, holds = self._held[user_id]
        self._held[user_id] = (number + 1, None)
        sandbox, team = self.cast.sandbox, self.cast.team
        (sandbox.revoke if holds else sandbox.grant)(user_id, PERMISSION, team=team)
        kind = "team_permission.deleted" if holds else "team_permission.created"
        body, headers = sandbox.webhook(kind, {"id": PERMISSION, "team_id": team, "user_id": user_id})
        self._next = number + 2, not holds
        return user_id, body, list(headers.items())

    def settle(self, user_id: str) -> None:
        """The webhook was answered: from here on it counts."""
        self._held[user_id] = self._next

    def rotate(self) -> None:
        """Sign with new keys; tokens of the old ones go on being sent."""
        self.cast.sandbox.rotate_keys()
        self.generation += 1
        self.credentials = self._mostly(self.cast.tokens(self.generation), self.credentials[:4])

    def _mostly(self, fresh: tuple[Credential, ...], old: tuple[Credential, ...]) -> tuple[Credential, ...]:
        """Most of all Alice and Bob, who come first."""
        return (*fresh, *(8 * fresh[:2]), *old, *self._others)


@dataclasses.dataclass
class Turn:
    """A worker's requests, one after the other: what is sent next, and what is wrong with what came back."""

    book: Book
    number: int
    count: int
    wrong: list[str]
    seen: Counter[str]

    def requests(self) -> Any:
        """Yields URL and headers, and is sent the answer."""
        book = self.book
        project_id = book.cast.sandbox.config.project_id
        routes = (*ROUTES, *(4 * ("/reports",)))
        mixed_ones = mixtures(lambda: book.credentials, random.Random(SEED + self.number), routes)
        for index, mixed in enumerate(itertools.islice(mixed_ones, self.count)):
            nonce = f"{self.number}-{index}"
            verdict = judge(mixed, accept_cookies=True)
            before = book.held(verdict.id)
            url = f"/teams/{book.cast.team}/reports" if mixed.route == "/reports" else mixed.route
            answer = yield url, [*mixed.headers(project_id), (NONCE, nonce)]
            after = book.held(verdict.id)
            found = outcome(answer, nonce)
            problem = self.judged(mixed, found, verdict, before, after)
            if problem is not None or leaked(mixed, answer):
                self.wrong.append(f"{problem}: {found} instead of {verdict}: {mixed}")

    def judged(self, mixed: Mixed, found: Verdict, verdict: Verdict, before: Any, after: Any) -> str | None:
        by = verdict.by
        is_genuine = by is not None and not by.is_key and by.code in (None, EXPIRED)
        # Where a user is optional, a cookie that cannot be used is nobody.
        nobody = mixed.route == "/optional" and by in mixed.at("cookie") and found == Verdict(200)
        if is_genuine and (found == Verdict(401, INVALID) or nobody) and self.book.generation > 0:
            # Its signing key was replaced, which may be noticed at once or later.
            self.seen["refused for its keys"] += 1
            return None
        if not verdict.needs_permission:
            self.seen[f"{found.status}"] += 1
            return None if found == expected(verdict, holds=lambda _: True) else "somebody else"
        is_settled = before == after and before[1] is not None
        may_be = [before[1]] if is_settled else [True, False]
        self.seen[f"{found.status}, {'settled' if is_settled else 'changing'}"] += 1
        if found in [expected(verdict, holds=lambda _, held=held: held) for held in may_be]:  # type: ignore[misc]
            return None
        return "a permission"


class Lingering:
    """A transport whose replies take a moment after they were made: what they say may be over when they arrive."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._rng = random.Random(SEED)

    def handle_request(self, request: Any) -> Any:
        reply = self._transport.handle_request(request)
        time.sleep(self._rng.random() / 200)
        return reply

    async def handle_async_request(self, request: Any) -> Any:
        reply = await self._transport.handle_async_request(request)
        await asyncio.sleep(self._rng.random() / 200)
        return reply


WORKERS: Final = 8


def begin() -> tuple[Any, Book, list[Turn], list[str], Counter[str]]:
    cast = Cast(Sandbox())
    book, wrong, seen = Book(cast), list[str](), Counter[str]()
    turns = [Turn(book, number, 2 * COUNT // WORKERS, wrong, seen) for number in range(WORKERS)]
    config = cast.sandbox.config
    config = dataclasses.replace(config, accept_cookies=True, jwks_cooldown=0, transport=Lingering(config.transport))
    return config, book, turns, wrong, seen


def check(wrong: list[str], seen: Counter[str]) -> None:
    assert wrong[:5] == [], "\n".join(wrong[:5])
    # Both answers of each kind came, and a crowd was let in while all of it changed.
    assert min(seen["200"], seen["401"], seen["403"], seen["200, settled"], seen["403, settled"]) > 3, seen


@pytest.mark.parametrize("name", ["flask", "django wsgi"])
def test_threads_that_share_an_application(name: str) -> None:
    """Nobody is taken for another thread's caller, and a revocation counts from the answer to its webhook on."""
    config, book, turns, wrong, seen = begin()
    failures: list[BaseException] = []
    done = threading.Event()
    with APPS[name](config) as app:

        def work(turn: Turn) -> None:
            try:
                requests = turn.requests()
                sent = next(requests)
                while True:
                    sent = requests.send(app.call(*sent))
            except StopIteration:
                pass
            except BaseException as error:  # noqa: BLE001  # told below, in the test's own thread
                failures.append(error)

        def churn() -> None:
            for number in itertools.count():
                if done.wait(0.003):
                    return
                user_id, body, headers = book.change()
                assert app.call(WEBHOOKS, headers, body).status == 200
                book.settle(user_id)
                if number % 20 == 19:
                    book.rotate()

        threads = [threading.Thread(target=work, args=(turn,)) for turn in turns]
        changes = threading.Thread(target=churn)
        for thread in (changes, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        changes.join()
    assert failures == []
    check(wrong, seen)


@pytest.mark.parametrize("name", ["fastapi", "django asgi"])
def test_tasks_that_share_an_application(name: str) -> None:
    """The same with tasks of one event loop."""
    config, book, turns, wrong, seen = begin()

    async def run(app: App) -> None:
        assert app.acall is not None
        done, acall = asyncio.Event(), app.acall

        async def work(turn: Turn) -> None:
            requests = turn.requests()
            sent = next(requests)
            try:
                while True:
                    sent = requests.send(await acall(*sent))
            except StopIteration:
                pass

        async def churn() -> None:
            for number in itertools.count():
                await asyncio.sleep(0.003)
                if done.is_set():
                    return
                user_id, body, headers = book.change()
                assert (await acall(WEBHOOKS, headers, body)).status == 200
                book.settle(user_id)
                if number % 20 == 19:
                    book.rotate()

        async with asyncio.TaskGroup() as group:
            group.create_task(churn())
            await asyncio.gather(*(work(turn) for turn in turns))
            done.set()

    with APPS[name](config) as app:
        asyncio.run(run(app))
    check(wrong, seen)
