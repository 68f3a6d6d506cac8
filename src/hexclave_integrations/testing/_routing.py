"""Routes of the sandbox's API, and the schema checks that stand before them (contract 3.2)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from ._project import SYSTEM_PERMISSIONS, Project
from ._records import User
from ._wire import Reply, known_error

__all__ = [
    "ANYTHING",
    "BASE64",
    "BOOLEAN",
    "BOOLEAN_TEXT",
    "COUNTRY",
    "CUSTOMER_TYPE",
    "EMAIL",
    "EVERYBODY",
    "INTEGER",
    "NUMBER",
    "PAGE_SIZE",
    "PERMISSION",
    "STRICT_EMAIL",
    "STRING",
    "URL",
    "USER",
    "UUID",
    "AccessType",
    "Call",
    "Caller",
    "Field",
    "Route",
    "Rule",
    "exactly",
    "integer",
    "list_of",
    "nullable",
    "one_of",
    "read_body",
    "record_of",
    "required",
    "text",
    "validate",
]

AccessType: TypeAlias = Literal["client", "server", "admin"]

# What is wrong with a value, or None.
Rule: TypeAlias = Callable[[Any], str | None]


class Field(NamedTuple):
    """One declared field of a path, query or body; every rule that is broken is a problem of its own."""

    rule: Rule
    required: bool = False
    more: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: the access type, and the end user whose token came along, with its session."""

    access: AccessType
    user: User | None = None
    session_id: str | None = None

    @property
    def is_client(self) -> bool:
        """Whether the request comes with browser rights only."""
        return self.access == "client"

    def require_user(self) -> User:
        """The end user; without one, `me` means nobody."""
        if self.user is None:
            raise known_error("CANNOT_GET_OWN_USER_WITHOUT_USER")
        return self.user

    def require_signed_in(self) -> User:
        """The end user, where an endpoint is for signed-in users only."""
        if self.user is None:
            raise known_error("USER_AUTHENTICATION_REQUIRED")
        return self.user


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that passed the gate and the schema; `me` is resolved to the caller's id."""

    project: Project
    caller: Caller
    header: Callable[[str], str | None]
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint.

    Args:
        pattern: path below `/api/v1`; `{name}` is a segment.
        access: the access types that may call it; none for an endpoint that asks nobody who they are.
        query: the fields of the query; None where any are taken.
        body: the body's fields; None when the endpoint declares no body.
        body_optional: whether no body is as good as an empty one.
        any_fields: whether the body may hold fields that are not declared.
        client_body: the body's fields for client access, where it may send less than the others.
    """

    method: str
    pattern: str
    handler: Callable[[Call], Reply]
    access: tuple[AccessType, ...] = ("server", "admin")
    query: Mapping[str, Field] | None = field(default_factory=dict)
    body: Mapping[str, Field] | None = None
    body_optional: bool = False
    any_fields: bool = False
    client_body: Mapping[str, Field] | None = None

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The path's parameters, or None when the path is another endpoint's."""
        names = self.pattern.split("/")
        if len(names) != len(segments):
            return None
        params = {}
        for name, segment in zip(names, segments, strict=True):
            if name.startswith("{"):
                params[name[1:-1]] = segment
            elif name != segment:
                return None
        return params


def _matching(pattern: str, problem: str) -> Rule:
    compiled = re.compile(pattern)
    return lambda value: None if isinstance(value, str) and compiled.fullmatch(value) else problem


def _instance(problem: str, *types: type) -> Rule:
    return lambda value: None if type(value) in types else problem  # a bool is no int in JSON


def one_of(*values: object) -> Rule:
    """Only these values."""
    problem = "must be one of the following values: " + ", ".join(
        item if isinstance(item, str) else json.dumps(item) for item in values
    )
    return lambda value: None if any(type(value) is type(item) and value == item for item in values) else problem


def text(*, longest: int | None = None, may_be_empty: bool = True) -> Rule:
    """A text of at most `longest` characters."""

    def rule(value: Any) -> str | None:
        if type(value) is not str:
            return "must be a string"
        if not value and not may_be_empty:
            return "must not be empty"
        return None if longest is None or len(value) <= longest else f"must be at most {longest} characters"

    return rule


def integer(least: int | None = None, most: int | None = None) -> Rule:
    """A whole number within bounds."""

    def rule(value: Any) -> str | None:
        if type(value) not in (int, float):
            return "must be a number"
        if isinstance(value, float) and not value.is_integer():
            return "must be an integer"
        if least is not None and value < least:
            return f"must be greater than or equal to {least}"
        return None if most is None or value <= most else f"must be less than or equal to {most}"

    return rule


def list_of(rule: Rule) -> Rule:
    """A list of such values."""

    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return "must be an array"
        return next((problem for item in value if (problem := rule(item))), None)

    return check


def record_of(fields: Mapping[str, Field]) -> Rule:
    """An object with such fields and no others."""

    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return "must be an object"
        return "; ".join(_problems("it", fields, value)) or None

    return check


def nullable(rule: Rule) -> Rule:
    """`rule`, or null."""
    return lambda value: None if value is None else rule(value)


def required(rule: Rule, *more: Rule) -> Field:
    """A field that must be there."""
    return Field(rule, required=True, more=more)


def exactly(length: int) -> Rule:
    """A text of that many characters."""
    return lambda value: STRING(value) or (None if len(value) == length else f"must be exactly {length} characters")


def _permission(value: object) -> str | None:
    if not isinstance(value, str) or not re.fullmatch(r"\$?[a-z0-9_:]+", value, re.ASCII):
        return 'must contain only lowercase letters, numbers, ":" and "_"'
    if value.startswith("$") and value not in SYSTEM_PERMISSIONS:
        return "must be a custom permission or one of the system permissions"
    return None


def _url(value: object) -> str | None:
    if not isinstance(value, str):
        return "must be a string"
    if " " in value:
        return "contains spaces"
    try:
        parts = urlsplit(value)
    except ValueError:
        return "is not a valid URL"
    return None if parts.scheme and (parts.netloc or parts.path) else "is not a valid URL"


def _number(value: object) -> str | None:
    """JSON spells numbers that a float cannot hold, which `json` reads as infinite."""
    is_number = type(value) is int or (type(value) is float and math.isfinite(value))
    return None if is_number else "must be a number"


def PAGE_SIZE(value: str) -> str | None:  # noqa: N802 - a rule among rules
    """How many items of a list are wanted, as a query says it."""
    if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]+)?", value):
        return f'must be a `number` type, but the final value was: `NaN` (cast from the value `"{value}"`).'
    return integer(least=1)(float(value))


def ANYTHING(value: object) -> str | None:  # noqa: N802 - a rule among rules
    """Any JSON value."""
    return None


# What yup and the server's stricter schema for sign-in take for an address.
_EMAIL_PATTERN = (
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
_STRICT_EMAIL_PATTERN = r"[^.]+(\.[^.]+)*@.*\.[^.][^.]+"
_UUID_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
BOOLEAN = _instance("must be a boolean", bool)
BOOLEAN_TEXT = one_of("true", "false")
EMAIL = _matching(_EMAIL_PATTERN, "must be a valid email")
STRICT_EMAIL = _matching(_STRICT_EMAIL_PATTERN, f'must match the following: "/^{_STRICT_EMAIL_PATTERN}$/"')
BASE64 = _matching(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", "is not valid base64")
COUNTRY = _matching(r"\s*[A-Za-z]{2}\s*", "must be a 2-letter country code")
CUSTOMER_TYPE = one_of("user", "team", "custom")
INTEGER = integer()
NUMBER: Rule = _number
PERMISSION: Rule = _permission
STRING = _instance("must be a string", str)
USER = _matching(rf"me|{_UUID_PATTERN}", "must be a valid UUID")
UUID = _matching(_UUID_PATTERN, "must be a valid UUID")
URL: Rule = _url

EVERYBODY: tuple[AccessType, ...] = ("client", "server", "admin")

_TEXT_PARAMS = ("account_id", "customer_id", "item_id", "product_id", "project_id", "provider_id", "store_id")
_PARAMS = {
    "customer_type": required(CUSTOMER_TYPE),
    "permission_id": required(PERMISSION),
    "user_id": required(USER),
} | dict.fromkeys(_TEXT_PARAMS, required(STRING))


def read_body(route: Route, headers: Mapping[str, str], body: bytes) -> object:
    """The JSON value or form sent, None when the endpoint has no body or nothing came.

    Raises:
        Refusal: `BODY_PARSING_ERROR`.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip()
    if route.body is None or media_type not in ("application/json", "application/x-www-form-urlencoded"):
        return None
    if media_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode("utf-8", "replace")))
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise known_error("BODY_PARSING_ERROR", {"problem": "Invalid JSON in request body"}) from None


def validate(
    route: Route, access: AccessType, path: str, params: Mapping[str, str], query: Mapping[str, str], body: object
) -> Mapping[str, Any]:
    """Check path, query and body against the route's declaration for that access; return the body's fields.

    Raises:
        Refusal: `SCHEMA_ERROR`, listing every problem.
    """
    problems: list[str] = []
    if body is None and route.body_optional:
        body = {}
    if route.body is not None and body is None:
        problems.append("body must be defined")
    elif route.body is not None and not isinstance(body, dict):
        problems.append("body must be an object")
    elif isinstance(body, dict):
        restricted = access == "client" and route.client_body is not None
        fields = (route.client_body if restricted else route.body) or {}
        problems += _problems("body", fields, body, any_fields=route.any_fields)
    if route.query is not None:
        problems += _problems("query", route.query, query)
    problems += _problems("params", {name: _PARAMS.get(name, required(UUID)) for name in params}, params)
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise known_error("SCHEMA_ERROR", message=f"Request validation failed on {route.method} {path}:{lines}")
    return body if isinstance(body, dict) else {}


def _problems(
    place: str, fields: Mapping[str, Field], values: Mapping[str, Any], *, any_fields: bool = False
) -> list[str]:
    found = []
    for name, (rule, is_required, more) in fields.items():
        if name in values:
            problems = [problem for check in (rule, *more) if (problem := check(values[name]))]
            found += [f"{place}.{name} {problem}" for problem in dict.fromkeys(problems)]
        elif is_required:
            found.append(f"{place}.{name} must be defined")
    unknown = [] if any_fields else [name for name in values if name not in fields]
    if unknown:
        found.append(f"{place} contains unknown properties: {', '.join(unknown)}")
    return found
