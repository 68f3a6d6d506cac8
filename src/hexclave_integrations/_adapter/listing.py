"""The list of an application's routes, and whom each lets in, in words. Pure: adapters say what guards a route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from ..requirements import SELECTED_TEAM, Requirement
from .default import ADMIN, WEBHOOK, Standing, asked_by_default

__all__ = ["ANY", "WEBSOCKET", "Entry", "entry", "lets_in"]

ANY: Final = "ANY"
"""Stands for the methods of a view that is called for every method."""
WEBSOCKET: Final = "WEBSOCKET"

Access = Literal["guarded", "public", "elsewhere", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One route, for one method.

    Attributes:
        method: of HTTP, or `ANY`, or `WEBSOCKET`.
        path: as the framework spells it.
        access: "guarded" asks every caller; "public" asks nobody; "elsewhere" asks something that is not a user of
            Hexclave; "unknown" where it cannot be told.
        is_marked: whether somebody said that nobody need be asked: by `public`, by `optional_user`, or the framework.
        lets_in: whom the route lets in, in words.
    """

    method: str
    path: str
    access: Access
    is_marked: bool
    lets_in: str


def entry(method: str, path: str, standing: Standing, default: Requirement | None) -> Entry:
    """What the list says of a route.

    Args:
        method: of HTTP, or `ANY`, or `WEBSOCKET`.
        path: of the route.
        standing: what is known to stand in front of it.
        default: of the application, if it has one.
    """
    asked = asked_by_default(standing, default)
    requirements = standing.own if asked is None else (asked,)
    access: Access = "public"
    is_marked = True
    if requirements:
        words = ", and ".join(dict.fromkeys(lets_in(each) for each in requirements))
        access = "public" if all(each.optional for each in requirements) else "guarded"
        if asked is not None:
            words += " (the default)"
            perhaps = ", and ".join(dict.fromkeys(lets_in(each) for each in standing.hidden))
            words += f", and perhaps {perhaps}" if perhaps else ""
    elif standing.open is not None:
        access = "elsewhere" if standing.open in (WEBHOOK, ADMIN) else "public"
        words = standing.open if access == "elsewhere" else f"anyone: {standing.open}"
    elif standing.is_unreadable or standing.hidden:
        access, is_marked = "unknown", False
        words = "cannot be told: what answers is not known"
        if standing.hidden:
            asks = ", and ".join(dict.fromkeys(lets_in(each) for each in standing.hidden))
            words = f"cannot be told: {asks}, unless what stands before that requirement answers by itself"
    else:
        words, is_marked = "anyone: no requirement", False
    return Entry(method=method, path=path, access=access, is_marked=is_marked, lets_in=words)


def lets_in(requirement: Requirement) -> str:
    """Whom a requirement lets in, in words."""
    if requirement.optional:
        return "anyone: bad credentials are refused"
    if requirement.scope == "api key":
        return "a valid API key" + _kinds(requirement, " of ")
    words = "an anonymous user too" if requirement.anonymous else "a restricted user too"
    who = "a user" + (f" ({words})" if requirement.restricted or requirement.anonymous else "")
    details = {
        "team": lambda: f"in {_team(requirement.team)}",
        "team permission": lambda: f"with {requirement.permission} in {_team(requirement.team)}",
        "project permission": lambda: f"with {requirement.permission} in the project",
        "item": lambda: _paying(requirement, f"{requirement.amount} {requirement.item}"),
        "product": lambda: _paying(requirement, f"the product {requirement.product}"),
    }
    if requirement.scope in details:
        who += " " + details[requirement.scope]()
    elif requirement.scope != "user":
        who += f" who meets {requirement.scope}"
    if requirement.api_key:
        who += ", or their API key"
    return who + (", confirmed by Hexclave now" if requirement.is_live else "")


def _kinds(requirement: Requirement, before: str) -> str:
    if requirement.anonymous:
        return f"{before}a user of any kind"
    return f"{before}a regular or restricted user" if requirement.restricted else ""


def _paying(requirement: Requirement, what: str) -> str:
    spent = ", which it spends" if requirement.spend else ""
    return (
        f"who has {what}{spent}"
        if requirement.team is None
        else f"in {_team(requirement.team)}, which has {what}{spent}"
    )


def _team(team: Any) -> str:
    if team is SELECTED_TEAM:
        return "the selected team"
    if callable(team):
        return "a team that the application chooses"
    return f"team {team}"
