"""Whether a Redis server can keep what it is asked to keep, from what its command INFO says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["CLUSTER", "INFO", "Fitness", "read_info"]

INFO: Final = "return redis.call('INFO', 'server') .. redis.call('INFO', 'memory')"
CLUSTER: Final = (
    "redis_url leads to a Redis Cluster, which is not supported: what is remembered and what makes it untrue have to "
    "be in one place. Give a server of its own, a primary with replicas and Sentinels for instance."
)
_POLICIES: Final = frozenset(
    {f"{which}-{how}" for which in ("allkeys", "volatile") for how in ("lru", "lfu", "lrm", "random", "ttl")}
)


@dataclass(frozen=True, slots=True)
class Fitness:
    """What INFO says.

    Attributes:
        is_cluster: whether the server is part of a cluster.
        policy: by which it evicts keys when its memory is full; None where it evicts none.
    """

    is_cluster: bool
    policy: str | None

    @property
    def complaint(self) -> str | None:
        """What is wrong, in words for an operator, or None."""
        if self.is_cluster:
            return CLUSTER
        if self.policy is None:
            return None
        return (
            f"Redis may evict what it was told to forget (maxmemory-policy {self.policy}), so that a revoked "
            "permission comes back for up to permission_ttl, and a webhook is handled twice: set noeviction, or give "
            "us a server of our own."
        )


def read_info(text: Any) -> Fitness | None:
    """What `INFO` returned, or None where it says nothing."""
    if not isinstance(text, str):
        return None
    found = dict(re.findall(r"^(\w+):([^\r\n]*)", text, re.MULTILINE))
    has_limit = found.get("maxmemory", "0") != "0"
    policy = found.get("maxmemory_policy")
    return Fitness(found.get("redis_mode") == "cluster", policy if has_limit and policy in _POLICIES else None)
