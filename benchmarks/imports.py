"""What importing the kit costs, in fresh interpreters, next to the frameworks that are there anyway."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys

from ._measure import Scale, Table

__all__ = ["tables"]

ROUNDS = 5
KIT = "hexclave_integrations"
SNIPPET = "jwt (the documented snippet)"
SVIX = "svix (verifies webhooks)"
DJANGO = "import django.core.wsgi; from django.conf import settings; settings.configure(); django.setup()"

# What each interpreter imports, in order, by the name of the row; each is held against the first one.
CHAINS = (
    {SNIPPET: "import jwt; jwt.PyJWKClient"},
    {KIT: f"from {KIT} import HexclaveClient"},
    {"starlette": "import starlette.applications", f"+ {KIT}.starlette": f"import {KIT}.starlette"},
    {"fastapi": "import fastapi", f"+ {KIT}.fastapi": f"import {KIT}.fastapi"},
    {"flask": "import flask", f"+ {KIT}.flask": f"import {KIT}.flask"},
    {"django": DJANGO, f"+ {KIT}.django": f"import {KIT}.django.middleware"},
    {SVIX: "import svix.webhooks"},
    {f"{KIT}.webhooks": f"import {KIT}.webhooks"},
)
# What is held against something that another interpreter imports.
BASES = {KIT: SNIPPET, f"{KIT}.webhooks": SVIX}
NOTE = "In fresh interpreters. An adapter's row is what it adds to its framework, all of the kit included."


def tables(scale: Scale) -> list[Table]:
    """Measure."""
    milliseconds: dict[str, list[float]] = {name: [] for chain in CHAINS for name in chain}
    modules: dict[str, int] = {}
    for number in range(scale.of(ROUNDS, 1)):
        for chain in random.Random(number).sample(CHAINS, len(CHAINS)):
            for name, (spent, loaded) in _measure(chain).items():
                modules[name] = loaded
                milliseconds[name].append(spent)
    medians = {name: statistics.median(spent) for name, spent in milliseconds.items()}
    rows = {}
    for chain in CHAINS:
        for name in chain:
            base = BASES.get(name, next(iter(chain)))
            rows[name] = (medians[name], modules[name], medians[name] / medians[base])
    return [Table("Imports", {"ms": ".0f", "modules": ".0f", "x the one above": ".2f"}, rows, NOTE)]


def _measure(chain: dict[str, str]) -> dict[str, tuple[float, int]]:
    """Milliseconds and modules of each step, in an interpreter of its own."""
    code = "import sys, time\n" + "".join(
        f"old = len(sys.modules)\nbegin = time.perf_counter()\n{step}\n"
        "print((time.perf_counter() - begin) * 1e3, len(sys.modules) - old)\n"
        for step in chain.values()
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    numbers = [line.split() for line in done.stdout.splitlines()]
    return {name: (float(spent), int(loaded)) for name, (spent, loaded) in zip(chain, numbers, strict=True)}
