"""`hexclave routes` lists every route of an application and whom it lets in.

Exit codes: 0 done, 1 with `--fail-on-public` and a route that asks nobody without being marked, or of which it cannot
be told, 2 nothing was listed and a message says why.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._adapter.listing import Entry

__all__ = ["add_to", "entries_of"]


class _Problem(Exception):
    """Nothing can be listed; the text says why."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `hexclave`."""
    command = commands.add_parser(
        "routes",
        help="list every route of an application and whom it lets in",
        description="List every route of a FastAPI, Starlette, Litestar, Flask or Django application, method by "
        "method, and whom it lets in, read from the requirements that really guard it. The application is imported and "
        "not started; nobody is asked. Exit code 0: done; 1: with --fail-on-public, a route asks nobody and is not "
        "marked; 2: nothing was listed.",
    )
    command.set_defaults(run=_run)
    command.add_argument(
        "app",
        nargs="?",
        metavar="MODULE:APP",
        help="the application, or a function that makes it: package.main:app, package.main:create_app()",
    )
    command.add_argument(
        "--django-settings", metavar="MODULE", help="a Django project; default: DJANGO_SETTINGS_MODULE"
    )
    command.add_argument("--public", action="store_true", help="only the routes that ask nobody, or may ask nobody")
    command.add_argument(
        "--fail-on-public",
        action="store_true",
        help="exit with 1 if a route asks nobody and is not marked @public, or if that cannot be told",
    )
    command.add_argument("--json", action="store_true", help="a list of objects in place of a table")


def _run(options: argparse.Namespace) -> int:
    from ..errors import ConfigurationError

    sys.path.insert(0, os.getcwd())
    try:
        found = list(_load(options))
    except (_Problem, ConfigurationError) as problem:
        print(f"hexclave routes: {problem}", file=sys.stderr)
        return 2
    except Exception:  # noqa: BLE001  # the application's own, while it is imported: 1 would mean an open route
        traceback.print_exc()
        print("hexclave routes: the application cannot be imported.", file=sys.stderr)
        return 2
    open_ones = [each for each in found if each.access in ("public", "unknown")]
    shown = open_ones if options.public else found
    if options.json:
        print(json.dumps([dataclasses.asdict(each) for each in shown], indent=2))
    else:
        for line in _table(shown):
            print(line)
    unmarked = [each for each in open_ones if not each.is_marked]
    if options.fail_on_public and unmarked:
        count = "1 route asks" if len(unmarked) == 1 else f"{len(unmarked)} routes ask"
        print(f"{count} nobody, or may ask nobody, and not marked @public:", file=sys.stderr)
        for each in unmarked:
            print(f"  {each.method} {each.path}", file=sys.stderr)
        return 1
    return 0


def _load(options: argparse.Namespace) -> Iterable[Entry]:
    settings = options.django_settings
    if options.app is None:
        settings = settings or os.environ.get("DJANGO_SETTINGS_MODULE")
        if not settings:
            raise _Problem("name the application, MODULE:APP, or a Django project with --django-settings MODULE.")
    if settings and options.app is None:
        return _of_django(settings)
    if settings and options.django_settings:
        raise _Problem("name either MODULE:APP or --django-settings MODULE.")
    return entries_of(_import(options.app))


def _import(target: str) -> Any:
    name, _, attribute = target.partition(":")
    if not attribute:
        raise _Problem(f"{target} names no application in the module: write MODULE:APP, as in {target}:app.")
    module = _module(name)
    is_factory = attribute.endswith("()")
    found: Any = module
    for part in attribute.removesuffix("()").split("."):
        if not hasattr(found, part):
            raise _Problem(f"{name} has no {attribute.removesuffix('()')}.")
        found = getattr(found, part)
    return found() if is_factory else found


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise _Problem(f"there is no module {error.name} in the current directory or installed.") from None
        raise


def _of_django(settings: str) -> Iterator[Entry]:
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    _module(settings)
    from ..django._listing import entries_of_project

    yield from entries_of_project()


def entries_of(app: Any) -> Iterator[Entry]:
    """The list of an application of any framework.

    Raises:
        _Problem: it is none.
    """
    if _is_a(app, "flask", "Flask"):
        from ..flask._listing import entries as of_flask

        return of_flask(app)
    if _is_a(app, "litestar", "Litestar"):
        from ..litestar._listing import entries as of_litestar

        return of_litestar(app)
    if _is_a(app, "django.core.handlers.base", "BaseHandler"):
        from ..django._listing import entries as of_django

        return of_django()
    if "fastapi" in sys.modules:
        importlib.import_module("..fastapi", __package__)  # which tells what is shared how FastAPI keeps its routes
    is_ours = _is_a(app, f"{__package__.partition('.')[0]}._asgi.middleware", "CallerMiddleware")
    if is_ours or _is_a(app, "starlette.routing", "Router") or _is_a(app, "starlette.applications", "Starlette"):
        from .._asgi.listing import entries as of_asgi

        return of_asgi(app)
    hint = ": if it makes the application, write ()" if callable(app) else ""
    raise _Problem(f"a {type(app).__name__} is no application of FastAPI, Starlette, Litestar, Flask or Django{hint}.")


def _is_a(app: Any, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(app, kind)


def _table(entries: Iterable[Entry]) -> Iterator[str]:
    """A line for each path and answer, with all methods that have it."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for each in entries:
        grouped.setdefault((each.path, each.lets_in), []).append(each.method)
    rows = [(" ".join(dict.fromkeys(methods)), path, words) for (path, words), methods in grouped.items()]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for methods, path, words in rows:
        yield f"{methods:<{widths[0]}}  {path:<{widths[1]}}  {words}"
