"""One table of requests, run through every adapter: the same request gets the same answer, byte for byte."""

import pytest

from ..adapters import _django  # noqa: F401  # sets Django up before a column imports what needs its settings

pytest.register_assert_rewrite(f"{__name__}.duties")
