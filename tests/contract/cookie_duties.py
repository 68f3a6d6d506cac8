"""What every adapter owes an application that reads cookies, which a browser sends no matter whose page asks it to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.test import override_settings

from .driving import AsgiServer, Reply, Server, denial
from .duties import DUTIES, METHODS, duty, require_user
from .frameworks import Framework, Route
from .table import ANOTHER_SITE, Answer, World, read_answer

__all__ = ["DUTIES"]

SAFE = ("GET", "HEAD", "OPTIONS")
HOST = "shop.test:8000"
OWN_PAGE = {"origin": f"http://{HOST}"}
CSRF_TOKEN = "a" * 32  # of Django
REFUSED = dataclasses.replace(
    ANOTHER_SITE, headers={name: value for name, value in ANOTHER_SITE.headers.items() if name != "vary"}
)
PARTNER = "http://partner.test"
# From pages of other origins: of a sibling and of a stranger, in a browser that says so and in one that does not.
OF_OTHER_PAGES: list[dict[str, str]] = [
    {"sec-fetch-site": "same-site", "origin": "http://blog.shop.test:8000"},
    {"sec-fetch-site": "cross-site", "origin": "http://evil.test"},
    {"sec-fetch-site": "cross-site", "origin": "null"},
    {"sec-fetch-site": "same-site"},
    {"origin": "http://blog.shop.test:8000"},
    {"origin": "http://shop.test"},
    {"origin": "null"},
    {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin,cross-site"},
]


def with_cookies(w: World, user: Any) -> dict[str, str]:
    """The cookies of the SDK, and Django's proof that a page of its own made the request."""
    pair = f'["r1","{w.sandbox.token(user)}"]'.replace('"', "%22").replace(",", "%2C")
    cookie = f"stack-refresh=r1; stack-access={pair}; csrftoken={CSRF_TOKEN}"
    return {"host": HOST, "cookie": cookie, "x-csrftoken": CSRF_TOKEN}


@contextmanager
def serving_cookies(framework: Framework, w: World, *routes: Route) -> Iterator[Server]:
    """An application that reads cookies, and trusts the pages of a partner.

    In Django a setting of its own has to name them too. Its middleware is left out: it answers for itself.
    """
    middleware = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    config = dataclasses.replace(w.sandbox.config, accept_cookies=True, trusted_origins=(PARTNER,))
    with (
        override_settings(CSRF_TRUSTED_ORIGINS=[PARTNER], MIDDLEWARE=middleware),
        framework.serve(config, *routes) as server,
    ):
        yield server


def answer_of(reply: Reply) -> Answer:
    answer = read_answer(reply.status, reply.headers, reply.body)
    answer.headers.pop("vary")  # there is a duty of its own for it
    return answer


@duty()
def a_page_of_another_origin_has_no_use_for_cookies(framework: Framework) -> None:
    """A cookie user's unsafe request counts from a page of the same origin, a trusted one, or no page at all."""
    w, route = World(), Route("/me", require_user, METHODS)
    cookies, unsafe = with_cookies(w, w.alice), ("POST", "PUT", "PATCH", "DELETE")
    with serving_cookies(framework, w, route) as server:
        refused = [
            answer_of(server.send(method, "/me", cookies | page)) for method in unsafe for page in OF_OTHER_PAGES
        ]
        visits = route.visits
        harmless = {server.send(method, "/me", cookies | page).status for method in SAFE for page in OF_OTHER_PAGES}
        own: list[dict[str, str]] = [OWN_PAGE, OWN_PAGE | {"sec-fetch-site": "same-origin"}, {}]
        fine = [*own, {"sec-fetch-site": "none"}, {"origin": PARTNER, "sec-fetch-site": "cross-site"}]
        accepted = {server.send(method, "/me", cookies | page).status for method in unsafe for page in fine}
        by_header = {server.send("POST", "/me", w.sandbox.headers(w.alice) | page).status for page in OF_OTHER_PAGES}

    assert [answer for answer in refused if answer != REFUSED] == []
    assert (visits, harmless, accepted, by_header) == (0, {200}, {200}, {200})


@duty()
def an_optional_user_of_another_page_is_refused(framework: Framework) -> None:
    """Nobody's answer would hide what is wrong; and without a cookie that counts there is nothing to refuse."""
    w = World()
    route = Route("/maybe", lambda adapter: [adapter.optional_user], ("POST",))
    with serving_cookies(framework, w, route) as server:
        anonymous = with_cookies(w, w.anonymous)
        refused = answer_of(server.send("POST", "/maybe", anonymous | OF_OTHER_PAGES[0]))
        visits = route.visits
        own = server.send("POST", "/maybe", anonymous | OWN_PAGE).status
        nobody = server.send("POST", "/maybe", {**anonymous, "cookie": f"csrftoken={CSRF_TOKEN}"} | OWN_PAGE).status

    assert refused == REFUSED
    assert (visits, own, nobody) == (0, 200, 200)


@duty("websocket")
def a_page_of_another_origin_opens_no_websocket(framework: Framework) -> None:
    """With cookies, only a page of the same host, or a trusted one, opens a websocket; a missing `Origin` is none."""
    w, route = World(), Route("/ws", require_user, is_websocket=True)
    cookies = with_cookies(w, w.alice)
    pages = [{}, *OF_OTHER_PAGES[:-1], {"origin": ""}]
    with serving_cookies(framework, w, route) as server:
        assert isinstance(server, AsgiServer)
        said = [server.connect("/ws", cookies | page) for page in pages]
        denied = [denial(server.connect("/ws", cookies | page, can_deny=True)) for page in pages]
        visits = route.visits
        fine = [server.connect("/ws", cookies | page)[0]["type"] for page in (OWN_PAGE, {"origin": PARTNER})]
        by_header = server.connect("/ws", w.sandbox.headers(w.alice) | {"origin": "http://evil.test"})[0]["type"]

    assert {(len(one), one[0]["type"], one[0]["code"], one[0]["reason"]) for one in said} == {
        (1, "websocket.close", 1008, "CSRF_CHECK_FAILED")
    }
    assert [answer for answer in map(answer_of, denied) if answer != REFUSED] == []
    assert (visits, fine, by_header) == (0, ["websocket.accept"] * 2, "websocket.accept")
