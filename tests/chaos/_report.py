"""Count what happened, by phase and kind of caller, and say whether every promise was kept."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ._conductor import Run
from ._oracle import Caller, History, Outcome, allowed

__all__ = ["Count", "failures", "render", "versions"]

_WRONG = ("wrongly allowed", "wrongly refused", "needlessly unavailable", "wrong refusal", "error", "too slow")
_STATUSES = (200, 401, 403, 503)


@dataclass(slots=True)
class Count:
    """Answers of one kind."""

    statuses: Counter[int | None] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0

    def add(self, outcome: Outcome, problem: str | None) -> None:
        """Count an answer."""
        self.statuses[outcome.status] += 1
        self.slowest = max(self.slowest, outcome.end - outcome.begin)
        if problem:
            self.wrong[problem] += 1

    def cells(self) -> list[str]:
        """The columns of a table."""
        total = self.statuses.total()
        known = [self.statuses[status] for status in _STATUSES]
        numbers = [total, *known, total - sum(known), self.wrong.total()]
        return [*(str(number) if number else "-" for number in numbers), f"{self.slowest:.2f}"]


_HEAD = ["sent", *map(str, _STATUSES), "other", "wrong", "slowest s"]


def failures(run: Run) -> list[str]:
    """What broke a promise, the first requests first; no token is in it."""
    lines = [f"  {what}: {_describe(run, outcome)}" for what, outcome in run.problems()[:20]]
    lines += [f"  {complaint}" for complaint in run.complaints[:20]]
    lines += [f"  too many requests for keys: {text}" for text in _hammered(run)]
    return lines


def _describe(run: Run, outcome: Outcome) -> str:
    stage = _stage_of(run, outcome.begin)
    since = outcome.begin - run.history.stages[stage].begin
    took = f"after {outcome.end - outcome.begin:.2f} s"
    return (
        f"{outcome.ticket.caller.title} at {outcome.server} got {outcome.status or 'no answer'} {took}, "
        f"{since:.2f} s into '{run.history.stages[stage].phase.name}'"
    )


def _stage_of(run: Run, moment: float) -> int:
    stages = run.history.stages
    return max((number for number, stage in enumerate(stages) if stage.begin <= moment), default=0)


def _fetches(run: Run) -> Iterator[tuple[int, str, int]]:
    """Stage, process and how many requests for keys it made in it."""
    counts = Counter((_stage_of(run, a.at), a.process) for a in run.arrivals if a.what == "keys")
    yield from ((stage, process, count) for (stage, process), count in sorted(counts.items()))


def _hammered(run: Run) -> Iterator[str]:
    """Where a process asked for keys more than once a cool-down: two more for a scheduled and a rotated key."""
    for number, process, count in _fetches(run):
        stage = run.history.stages[number]
        most = math.ceil((stage.end - stage.begin) / run.bounds.config.jwks_cooldown) + 2
        if count > most and math.isfinite(stage.end):
            yield f"{process} made {count} in '{stage.phase.name}', {most} at most"


def render(run: Run) -> str:
    """All tables."""
    problems = {id(outcome): what for what, outcome in run.problems()}
    counts: dict[tuple[str, Caller], Count] = {}
    by_phase: dict[str, Count] = {}
    everything = Count()
    for outcome in run.outcomes:
        name = run.history.stages[_stage_of(run, outcome.begin)].phase.name
        for count in (
            counts.setdefault((name, outcome.ticket.caller), Count()),
            by_phase.setdefault(name, Count()),
            everything,
        ):
            count.add(outcome, problems.get(id(outcome)))
    names = list(dict.fromkeys(stage.phase.name for stage in run.history.stages))
    callers = [
        [name, caller.title, *counts[name, caller].cells()]
        for name in names
        for caller in Caller
        if (name, caller) in counts
    ]
    phases = [
        [name, *by_phase[name].cells(), _well_after(run, name), *_upstream(run, name)]
        for name in names
        if name in by_phase
    ]
    phases.append(["all", *everything.cells(), "", "", "", "", ""])
    upstream = ["well after s", "lasted s", "keys", "permissions", "others"]
    promises = [[f"{what}:", str(everything.wrong[what])] for what in _WRONG]
    promises.append(["too many key fetches:", str(len(list(_hammered(run))))])
    promises.append(["tracebacks and secrets in logs:", str(len(run.complaints))])
    memory = [
        [name, f"{first:.1f}", f"{last:.1f}", f"{last - first:+.1f}"] for name, (first, last) in run.memory.items()
    ]
    parts = [
        _table(["phase", "caller", *_HEAD], callers, 2),
        "By phase; how long after its end the last answer was another than in calm; and what reached Hexclave in it\n"
        "(keys: of the process that asked most; where connections are refused, nobody counts):",
        _table(["phase", *_HEAD, *upstream], phases, 1),
        "Memory of the processes, MB, early and at the end:",
        _table(["process", "early", "end", "growth"], memory, 1),
        "Promises broken:",
        _table([], promises, 1),
    ]
    return "\n\n".join(parts)


def _well_after(run: Run, name: str) -> str:
    """Seconds from the end of a trouble to the last answer that it still changed."""
    calm = History([], run.history.rotations)
    longest = 0.0
    for number, stage in enumerate(run.history.stages):
        if stage.phase.name != name or not stage.phase.is_trouble:
            continue
        after = run.history.stages[number + 1]
        for o in run.outcomes:
            if (
                after.begin <= o.begin
                and o.end <= after.end
                and o.status not in allowed(run.bounds, calm, o.ticket, o.begin, o.end)
            ):
                longest = max(longest, o.begin - stage.end)
    return f"{longest:.1f}" if longest else "-"


def _upstream(run: Run, name: str) -> list[str]:
    numbers = [number for number, stage in enumerate(run.history.stages) if stage.phase.name == name]
    seconds = sum(run.history.stages[number].end - run.history.stages[number].begin for number in numbers)
    of = Counter(a.what for a in run.arrivals if _stage_of(run, a.at) in numbers)
    by_process: Counter[str] = Counter()
    for stage, process, count in _fetches(run):
        by_process[process] += count if stage in numbers else 0
    most = max(by_process.values(), default=0)
    return [f"{seconds:.1f}", str(most), str(of["permissions"]), str(of["users"] + of["API keys"])]


def _table(head: list[str], rows: Iterable[list[str]], left: int) -> str:
    lines = [head, *rows] if head else list(rows)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def versions() -> str:
    """What ran, in one line."""
    packages = ("hexclave-integrations", "fastapi", "uvicorn", "flask", "django", "gunicorn", "httpx", "redis")
    named = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return ", ".join([f"CPython {platform.python_version()}", *named])
