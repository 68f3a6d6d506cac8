"""How much memory verified tokens take, and that the configuration bounds it."""

from __future__ import annotations

from ._measure import Scale, Table
from ._population import crowds, steps

__all__ = ["DEFAULT_SIZE", "tables"]

DEFAULT_SIZE = 4096
NOTE = "How much the process grew, by the operating system's account; each token is of another user and session."


def tables(scale: Scale) -> list[Table]:
    """Measure."""
    *_, few, many = counts = steps(scale)
    rows = {}
    for size in (many, min(DEFAULT_SIZE, few // 2)):
        for crowd in crowds(size, counts):
            if crowd.count >= few:
                name = f"{crowd.count:,} tokens, token_cache_size={size}"
                rows[name] = (crowd.remembered, crowd.grown / 2**20, crowd.grown / crowd.remembered)
    return [Table("Memory", {"remembered": ",.0f", "MB": ".1f", "bytes each": ",.0f"}, rows, NOTE)]
