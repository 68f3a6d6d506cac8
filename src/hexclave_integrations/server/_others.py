"""E-mails, connected accounts and the project (contract 4.6 and 4.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from .._policy.effects import Flow
from .._policy.state import Core
from .._wire.messages import Reply
from ..errors import InvalidArgument
from ..records import ConnectedAccount, ProjectData
from ._arguments import Id, check_text, custom_id, millis, name_in_path, uuid
from ._calls import ask
from ._replies import record, records, text_in

__all__ = ["access_token", "list_accounts", "project", "send_email"]


def send_email(
    core: Core,
    *,
    user_ids: Sequence[Id] | None = None,
    all_users: bool = False,
    html: str | None = None,
    template_id: str | None = None,
    draft_id: str | None = None,
    variables: Mapping[str, Any] | None = None,
    subject: str | None = None,
    notification_category_name: str | None = None,
    theme_id: str | Literal[False] | None = None,
    is_high_priority: bool | None = None,
    scheduled_at: datetime | None = None,
) -> Flow[list[str]]:
    """Send an e-mail to users, at their primary addresses; the ids of those it was addressed to. Never sent twice.

    Args:
        user_ids: to whom; or `all_users`, for everybody.
        html, template_id, draft_id: what: one of the three.
        variables: what a template is filled with.
        notification_category_name: which kind of messages it belongs to; users may have opted out of it.
        theme_id: how it looks; False for no theme, the project's own when None.
        scheduled_at: when it is sent, with a time zone; now when None.

    Raises:
        NotFound: there is no such user; nobody was sent anything.
        HexclaveApiError: the project has no e-mail server of its own, or no such template or category.
        Unavailable: it is not known whether the e-mail was sent.
    """
    if (user_ids is None) == (all_users is not True):
        raise TypeError("Give exactly one of user_ids and all_users=True.")
    contents = {"html": html, "template_id": template_id, "draft_id": draft_id}
    body: dict[str, Any] = {name: check_text(name, each) for name, each in contents.items() if each is not None}
    if len(body) != 1:
        raise TypeError("Give exactly one of html, template_id and draft_id.")
    if user_ids is None:
        body["all_users"] = True
    else:
        body["user_ids"] = _ids(user_ids)
    if variables is not None and template_id is None:
        raise TypeError("variables are for a template_id.")
    further = {
        "variables": None if variables is None else dict(variables),
        "subject": subject,
        "notification_category_name": notification_category_name,
        "theme_id": theme_id,
        "is_high_priority": is_high_priority,
        "scheduled_at_millis": millis("scheduled_at", scheduled_at),
    }
    body |= {name: each for name, each in further.items() if each is not None}
    return ask(core, "an e-mail", "POST", "/emails/send-email", _addressed, body=body)


def _ids(user_ids: Sequence[Id]) -> list[str]:
    if isinstance(user_ids, str) or not user_ids:  # a text is a sequence of texts
        raise InvalidArgument("user_ids has to be a list of ids that is not empty.")
    return [uuid("user_ids", each) for each in user_ids]


def _addressed(reply: Reply) -> list[str]:
    results = reply.json().get("results")
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise ValueError("no results")
    return [each["user_id"] for each in results if isinstance(each.get("user_id"), str)]


def list_accounts(core: Core, user_id: Id) -> Flow[list[ConnectedAccount]]:
    """The accounts at OAuth providers that a user has connected.

    Raises:
        NotFound: there is no such user.
        Unavailable: it cannot be told now.
    """
    name = uuid("user_id", user_id)
    read = records(ConnectedAccount, user_id=name)
    return ask(core, "connected accounts", "GET", f"/connected-accounts/{name}", read)


def access_token(
    core: Core, user_id: Id, provider: str, scopes: Sequence[str] = (), *, account_id: str | None = None
) -> Flow[str]:
    """A provider's access token for a user's account there, to act for them at the provider: a secret.

    Args:
        provider: `google`, `github` and the like.
        scopes: what it has to be good for, as the provider spells it.
        account_id: which account, where the user has several there.

    Raises:
        NotFound: the user, or their account, is not there.
        ReconnectRequired: the user has to connect their account anew, for these scopes.
        HexclaveApiError: the project has no such provider, or only Hexclave's shared keys for it.
        Unavailable: it cannot be had now.
    """
    path = f"/connected-accounts/{uuid('user_id', user_id)}/{name_in_path('provider', provider)}"
    if account_id is not None:
        path += f"/{quote(custom_id('account_id', account_id), safe='')}"
    if isinstance(scopes, str):
        raise InvalidArgument("scopes has to be a list of texts.")
    wanted = [check_text("scopes", each) for each in scopes]
    body = {"scope": " ".join(wanted)} if wanted else {}
    return ask(core, "a connected account's token", "POST", f"{path}/access-token", text_in("access_token"), body=body)


def project(core: Core) -> Flow[ProjectData]:
    """The project, with the settings that clients may know.

    Raises:
        Unavailable: it cannot be told now.
    """
    read = record(ProjectData, id=core.config.project_id)
    return ask(core, "the project", "GET", "/projects/current", read)
