"""The sandbox's API as one function from request to reply: no sockets, no httpx, no threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote

from . import (
    _accounts,
    _api_keys,
    _auth,
    _cli_login,
    _contact_channels,
    _definitions,
    _emails,
    _invitations,
    _items,
    _members,
    _permissions,
    _products,
    _service,
    _sessions,
    _teams,
    _users,
    _vault,
)
from ._cors import HEALTH_HEADERS
from ._gate import admit, header_reader
from ._project import Project
from ._routing import BOOLEAN_TEXT, Call, Caller, Field, Route, read_body, validate
from ._wire import Refusal, Reply, json_reply, text_reply

__all__ = ["handle"]

_MODULES = (
    _users,
    _teams,
    _members,
    _invitations,
    _permissions,
    _definitions,
    _api_keys,
    _sessions,
    _auth,
    _contact_channels,
    _cli_login,
    _items,
    _products,
    _vault,
    _accounts,
    _emails,
    _service,
)
_ROUTES = tuple(route for module in _MODULES for route in module.ROUTES)
_PREFIXES = ("/api/v1/", "/api/latest/")


def handle(project: Project, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """Answer one request as Hexclave would.

    Args:
        path: as sent, percent-encoded, without the query.
        query: as sent, without the question mark.
        headers: with lower-case names.
    """
    try:
        reply = _dispatch(project, method, path, query, headers, body)
    except Refusal as refusal:
        reply = refusal.reply
    if 400 <= reply.status < 500 and header_reader(headers)("override-error-status"):
        status = str(reply.status)
        actual = {"x-stack-actual-status": status, "x-hexclave-actual-status": status}
        reply = replace(reply, status=200, headers=dict(reply.headers) | actual)
    return reply


def _dispatch(project: Project, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Reply:
    if (method, path) == ("GET", "/health"):
        return json_reply({"status": "ok"}, headers=HEALTH_HEADERS)
    prefix = next((prefix for prefix in _PREFIXES if path.startswith(prefix)), None)
    segments = ["", *(unquote(part) for part in path[len(prefix) :].split("/"))] if prefix else []
    values = dict(parse_qsl(query, keep_blank_values=True))
    found = [(route, params) for route in _ALL_ROUTES if (params := route.match(segments)) is not None]
    if not found:
        text = "404 — this page does not exist in Stack Auth's API.\n\n"
        return text_reply(f"{text}URL: {project.base_url}{path}", 404)
    for route, params in found:
        if route.method == method:
            return _call(project, route, path, params, values, headers, body)
    return Reply(status=405)


def _call(
    project: Project,
    route: Route,
    path: str,
    params: dict[str, str],
    query: dict[str, str],
    headers: Mapping[str, str],
    body: bytes,
) -> Reply:
    header = header_reader(headers)
    value = read_body(route, headers, body)
    caller = admit(project, header, route.access) if route.access else Caller(access="client")
    fields = dict(validate(route, caller.access, path, params, query, value))
    places: list[dict[str, Any]] = [params, query, fields]
    for place in places:
        for name in ("user_id", "creator_user_id"):
            if place.get(name) == "me":
                place[name] = caller.require_user().id
    return route.handler(Call(project=project, caller=caller, header=header, params=params, query=query, body=fields))


def _jwks(call: Call) -> Reply:
    """The key set: public and cacheable; plain-text 404 for an unknown project (contract section 2)."""
    if call.params["project_id"] != call.project.id:
        raise Refusal(text_reply("Project not found", 404))
    keys = call.project.keys.jwks(
        restricted=call.query.get("include_restricted") == "true",
        anonymous=call.query.get("include_anonymous") == "true",
    )
    return json_reply(keys, headers={"cache-control": "public, max-age=3600"})


_JWKS_QUERY = {"include_restricted": Field(BOOLEAN_TEXT), "include_anonymous": Field(BOOLEAN_TEXT)}
_JWKS_ROUTE = Route(
    method="GET",
    pattern="/projects/{project_id}/.well-known/jwks.json",
    handler=_jwks,
    access=(),
    query=_JWKS_QUERY,
)
_ALL_ROUTES = (_JWKS_ROUTE, *_ROUTES)
