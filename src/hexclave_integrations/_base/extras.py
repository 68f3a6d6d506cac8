"""Says which extra of this package to install where an adapter is imported without its framework."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

__all__ = ["extra"]


@contextlib.contextmanager
def extra(name: str, *modules: str) -> Iterator[None]:
    """Give imports inside of the `with` statement a message that names the extra they need.

    A module that is missing elsewhere, inside of an installed framework for instance, keeps its own message.

    Args:
        name: the extra, as in `pip install "hexclave-integrations[name]"`.
        modules: what the extra brings, as Python imports it.

    Raises:
        ModuleNotFoundError: one of the modules is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        top = (error.name or "").partition(".")[0]
        is_shut_out = top in modules and sys.modules.get(top, error) is None  # as tests do that try to be without it
        if error.name not in modules and not is_shut_out:
            raise
        missing = ModuleNotFoundError(
            f'{error.name} is not installed: pip install "hexclave-integrations[{name}]"', name=error.name
        )
        raise missing from None
