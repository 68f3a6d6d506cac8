"""What was counted, and which promises it has to keep."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from hexclave_integrations._policy.asking import FLEET_TTL

from ._crowd import Answer, Kind
from ._play import SETTINGS, SETTLE, Part, Run

__all__ = ["failures", "render"]

_WHAT = ("keys", "permissions", "API keys", "users")
_SLACK = 0.5
"""Seconds that a busy machine may take between a decision and what is seen of it."""
_SLOWEST = 5.0
"""Longest wait for an answer, seconds: for the fleet's turn, for Hexclave, and for a machine that is busy."""


def _of(run: Run, part: Part) -> list[Answer]:
    return [answer for answer in run.answers if part.begin <= answer.begin < part.end]


def _calls(run: Run, part: Part) -> Counter[str]:
    return Counter(arrival.what for arrival in run.arrivals if part.begin <= arrival.at < part.end)


def wrong(run: Run, part: Part) -> list[Answer]:
    """The answers of a phase that are not right."""
    known: set[tuple[Kind, str, str, int]] = set()
    latest = max((answer.epoch for answer in run.answers if answer.begin < part.end), default=0)
    found = []
    for answer in sorted(run.answers, key=lambda answer: answer.begin):
        name = (answer.kind, answer.who, answer.member, answer.start)  # a user who is known may be new to a team
        if part.begin <= answer.begin < part.end and answer.status not in _right(
            run, part, answer, latest, name in known
        ):
            found.append(answer)
        if answer.status == 200:
            known.add(name)
    return found


def _right(run: Run, part: Part, answer: Answer, latest: int, is_known: bool) -> set[int]:
    right = {answer.kind.right}
    if answer.epoch < latest:
        right.add(401)  # its key was replaced while it was on its way
    if part.outage is not None and answer.kind.needs_hexclave and answer.begin < part.outage[1] + SETTLE:
        right.add(503)
    if part.name == "strangers make things up" and answer.kind.needs_hexclave and not is_known:
        right.add(503)  # whom this process has not seen yet may be a stranger too
    if answer.kind is Kind.REVOKED:
        right.add(200)  # for how long is a promise of its own
    return right


def failures(run: Run) -> list[str]:
    """Which promises were broken; nobody's token or id is in it."""
    return [f"{'with' if run.has_redis else 'without'} Redis: {text}" for text in _failures(run)]


def _failures(run: Run) -> Iterator[str]:
    for part in run.parts:
        bad = Counter((answer.kind.label, answer.status) for answer in wrong(run, part))
        for (label, status), count in bad.items():
            yield f"{part.name}: {count} wrong answers, {status} for a {label}"
        answers, calls = _of(run, part), _calls(run, part)
        if not answers:
            yield f"{part.name}: nobody asked"
        slowest = max((answer.end - answer.begin for answer in answers), default=0.0)
        if slowest > _SLOWEST:
            yield f"{part.name}: an answer took {slowest:.1f} s"
        if part.outage is None and calls["keys"] > _most_fetches(run, part):
            yield f"{part.name}: {calls['keys']} fetches of the key set"
        bound = (FLEET_TTL if run.has_redis else SETTINGS["permission_ttl"]) + _SLACK
        if part.revoked is not None and part.revoked > bound:
            yield f"{part.name}: the permission lived {part.revoked:.2f} s, which is more than {bound:g}"
        if part.name == "strangers make things up":
            told = Counter(answer.status for answer in answers if answer.kind.weight == 0)
            if not told[503]:
                yield f"{part.name}: nobody was told 503, so nothing was shown"
            asked = calls["permissions"] + calls["API keys"]
            most = SETTINGS["max_questions"] * run.members * (part.end - part.begin + 1) + _known(answers)
            if asked > most:
                yield f"{part.name}: {asked} questions, which is more than {most:.0f}"
    yield from run.complaints[:20]


def _known(answers: list[Answer]) -> int:
    """Requests of those who are known: each may be a question besides the budget."""
    return sum(answer.kind.weight > 0 and answer.kind.needs_hexclave for answer in answers)


def _most_fetches(run: Run, part: Part) -> int:
    """One for the fleet, or one for each process; none where they know the keys from a file or from Redis."""
    if part.name in ("cold start", "keys rotate"):
        return 1 if run.has_redis else run.members
    return 0


def render(run: Run) -> str:
    """A table, a row for each phase."""
    head = ["phase", "s", "answers", "wrong", "slowest s", *_WHAT, "calls/s", "calls/s/user", "revoked lived s"]
    rows = [head]
    for part in run.parts:
        answers, calls = _of(run, part), _calls(run, part)
        counted = {what: calls[what] for what in _WHAT}
        rate = sum(counted.values()) / max(part.load, 0.1)
        slowest = max((answer.end - answer.begin for answer in answers), default=0.0)
        rows.append(
            [
                part.name,
                f"{part.load:.0f}",
                str(len(answers)),
                str(len(wrong(run, part)) or "-"),
                f"{slowest:.2f}",
                *(str(number or "-") for number in counted.values()),
                f"{rate:.1f}",
                f"{rate / run.users:.3f}",
                "-" if part.revoked is None else f"{part.revoked:.2f}",
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(widths[n]) if n == 0 else cell.rjust(widths[n]) for n, cell in enumerate(row))
        for row in rows
    ]
    statuses: defaultdict[str, Counter[int | None]] = defaultdict(Counter)
    for answer in run.answers:
        statuses[answer.kind.label][answer.status] += 1
    lines += [
        "",
        *(
            f"{label}: " + ", ".join(f"{n} x {status}" for status, n in sorted(found.items(), key=str))
            for label, found in statuses.items()
        ),
    ]
    title = f"{run.members} processes, {run.users} users, {'one Redis' if run.has_redis else 'no Redis'}"
    return "\n".join([title, *lines])
