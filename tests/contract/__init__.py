"""One table of requests, run through every adapter: the same request gets the same answer, byte for byte."""

from ..adapters import _django  # noqa: F401  # sets Django up before a column imports what needs its settings
