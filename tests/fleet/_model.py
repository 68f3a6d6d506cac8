"""How many questions a fleet asks of Hexclave: the formulas of `docs/scale.md`, and the table there.

`python -m tests.fleet._model` prints the table.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CASES", "key_fetches", "questions", "table"]

USERS: Final = (10**4, 10**5, 10**6, 10**7)
PROCESSES: Final = (10, 100, 1000)
CASES: Final = ((False, 60.0), (True, 60.0), (True, 3600.0))
"""With Redis or not, and `permission_ttl` in seconds."""
PACE: Final = 1 / 20
"""Requests that ask for a permission, of one active user, a second."""


def questions(users: float, pace: float, ttl: float, processes: int, *, has_redis: bool) -> float:
    """Questions a second about permissions.

    An answer lives for `ttl` seconds, and the next request after its end asks again. Without Redis each process has
    answers of its own, and sees one of so many requests.

    Args:
        users: who are active at the same time, each with one question to ask about.
        pace: requests of each of them, a second.
        ttl: `permission_ttl`, seconds.
        processes: how many.
        has_redis: whether they share their answers.
    """
    return users / ((ttl if has_redis else ttl / processes) + 1 / pace)


def key_fetches(processes: int, max_age: float, *, has_redis: bool) -> float:
    """Fetches of the key set a second."""
    return (1 if has_redis else processes) / max_age


def table() -> list[list[str]]:
    """The rows: processes, Redis, `permission_ttl`, fetches of the key set, and questions for so many active users."""
    return [
        [
            f"{processes:,}",
            "yes" if has_redis else "no",
            f"{ttl:.0f}",
            f"{key_fetches(processes, 600, has_redis=has_redis):.3f}",
            *(f"{questions(users, PACE, ttl, processes, has_redis=has_redis):,.0f}" for users in USERS),
        ]
        for processes in PROCESSES
        for has_redis, ttl in CASES
    ]


if __name__ == "__main__":
    print("\n".join(f"| {' | '.join(row)} |" for row in table()))
