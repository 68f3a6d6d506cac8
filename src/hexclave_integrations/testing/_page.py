"""The sandbox's page for people: its files, its state and its actions, below `/_sandbox/`, and the list of e-mails.

Nothing here has CORS headers, so that no other site can read it. An action needs a JSON body and a browser's word that
the page itself sends it: another site's page can make a browser send neither.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from ._actions import BadAction, act
from ._view import emails, state
from ._wire import Reply

if TYPE_CHECKING:
    from .sandbox import Sandbox

__all__ = ["answer_page", "is_page"]

_FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/_sandbox/page.css": ("page.css", "text/css; charset=utf-8"),
    "/_sandbox/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/_sandbox/rows.js": ("rows.js", "text/javascript; charset=utf-8"),
    "/_sandbox/icon.svg": ("icon.svg", "image/svg+xml"),
}
_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)
_HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def is_page(path: str) -> bool:
    """Whether a path is the page's and not the API's."""
    return path == "/" or path.startswith("/_sandbox/")


def answer_page(
    sandbox: Sandbox,
    changed: Callable[[], None],
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
) -> Reply:
    """Answer a request for the page.

    Args:
        changed: told after an action.
        headers: with lower-case names; `host` was checked.
    """
    name = path.removeprefix("/_sandbox/do/")
    if name != path:
        if method != "POST":
            return _json(405, {"error": "An action is a POST."}, allow="POST")
        return _act(sandbox, changed, name, headers, body)
    if method not in ("GET", "HEAD"):
        return _json(405, {"error": "This is only read."}, allow="GET, HEAD")
    if path in _FILES:
        file, media_type = _FILES[path]
        return Reply(status=200, headers=dict(_HEADERS) | {"content-type": media_type}, body=_read(file))
    readers: dict[str, Callable[[Sandbox], object]] = {"/_sandbox/state": state, "/_sandbox/emails": _emails}
    if path not in readers:
        return _json(404, {"error": "There is no such page."})
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return _json(403, {"error": "Only the sandbox's own page may read this."})
    reply = _json(200, readers[path](sandbox))
    mark = f'"{hashlib.sha256(reply.body).hexdigest()[:32]}"'
    if headers.get("if-none-match") == mark:
        return Reply(status=304, headers=dict(_HEADERS) | {"etag": mark})
    return Reply(status=200, headers=dict(reply.headers) | {"etag": mark}, body=reply.body)


def _act(sandbox: Sandbox, changed: Callable[[], None], name: str, headers: Mapping[str, str], body: bytes) -> Reply:
    if not _is_same_origin(headers):
        return _json(403, {"error": "Only the sandbox's own page may do this: the request has to be same-origin."})
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _json(415, {"error": "An action's body is application/json."})
    try:
        arguments = json.loads(body)
    except (ValueError, RecursionError):
        return _json(400, {"error": "The body is no JSON."})
    try:
        told = act(sandbox, name, arguments)
    except BadAction as error:
        return _json(400, {"error": str(error)})
    changed()
    return _json(200, told)


def _is_same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a page of this very host and port asks; whoever says nothing is not trusted."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is None and origin is None:
        return False
    return site in (None, "same-origin") and origin in (None, f"http://{headers.get('host')}")


def _emails(sandbox: Sandbox) -> dict[str, Any]:
    return {"items": emails(sandbox)}


def _json(status: int, value: object, **extra: str) -> Reply:
    headers = dict(_HEADERS) | {"content-type": "application/json; charset=utf-8"} | extra
    return Reply(status=status, headers=headers, body=json.dumps(value, separators=(",", ":")).encode())


@cache
def _read(file: str) -> bytes:
    return (files(__package__) / "page" / file).read_bytes()
