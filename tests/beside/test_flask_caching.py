"""Flask-Caching beside a requirement: nobody gets a page that was made for somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import flask_caching
import pytest
from flask.views import MethodView

from hexclave_integrations.flask import Hexclave, current_user, optional_user, require_user
from hexclave_integrations.testing import Sandbox, SandboxUser

View = Callable[..., Any]


class World:
    """An application with a cache of pages, and two users."""

    def __init__(self, *, is_cache_first: bool) -> None:
        self.sandbox = Sandbox()
        self.alice, self.bob = (self.sandbox.create_user(display_name=name) for name in ("Alice", "Bob"))
        self.app = flask.Flask("example")
        self.app.config.update(TESTING=True)
        cache_class: Any = flask_caching.Cache
        self.cache: Any = cache_class(config={"CACHE_TYPE": "SimpleCache"})
        installs = [lambda: self.cache.init_app(self.app), lambda: Hexclave(self.app, self.sandbox.config)]
        for install in installs if is_cache_first else reversed(installs):
            install()
        self.runs: list[str] = []

    def page(self, **params: str) -> str:
        """A view that greets whoever is there."""
        self.runs.append("page")
        return f"Hello {current_user.display_name if current_user else 'nobody'}"

    def get(self, user: SandboxUser | None = None, path: str = "/") -> tuple[int, str]:
        headers = None if user is None else self.sandbox.headers(user)
        answer = self.app.test_client().get(path, headers=headers)
        return answer.status_code, answer.get_data(as_text=True) if answer.status_code == 200 else ""


@pytest.fixture(params=[True, False], ids=["cache first", "cache last"])
def world(request: pytest.FixtureRequest) -> World:
    """An application, with the extensions in either order."""
    return World(is_cache_first=request.param)


def above(world: World, view: View) -> View:
    return world.cache.cached(60)(require_user(view))  # type: ignore[no-any-return]


def below(world: World, view: View) -> View:
    return require_user(world.cache.cached(60)(view))


def with_query(world: World, view: View) -> View:
    return require_user(world.cache.cached(60, query_string=True)(view))


def with_prefix(world: World, view: View) -> View:
    return require_user(world.cache.cached(60, key_prefix="everybody")(view))


def memoized_below(world: World, view: View) -> View:
    return require_user(world.cache.memoize(60)(view))


def memoized_above(world: World, view: View) -> View:
    return world.cache.memoize(60)(require_user(view))  # type: ignore[no-any-return]


@pytest.mark.parametrize("order", [above, below, with_query, with_prefix, memoized_below, memoized_above])
def test_a_guarded_page_is_stored_for_nobody_else(world: World, order: Callable[[World, View], View]) -> None:
    """Alice's page is neither served to strangers nor to Bob, wherever the cache stands and whatever its key is."""

    def page() -> str:
        return world.page()

    world.app.add_url_rule("/", view_func=order(world, page))

    for _ in range(2):
        assert world.get(world.alice) == (200, "Hello Alice")
        assert world.get() == (401, "")
        assert world.get(world.bob) == (200, "Hello Bob")


@pytest.mark.parametrize("requirement", [lambda view: view, optional_user], ids=["none", "optional"])
def test_a_page_that_asks_who_is_there_is_not_stored(world: World, requirement: Callable[[View], View]) -> None:
    """A page without a guard that greets its user greets each by their own name."""
    world.app.add_url_rule("/", view_func=world.cache.cached(60)(requirement(world.page)))

    for _ in range(2):
        assert world.get() == (200, "Hello nobody")
        assert world.get(world.alice) == (200, "Hello Alice")
        assert world.get(world.bob) == (200, "Hello Bob")


def test_a_page_behind_a_check_of_the_application_is_not_stored(world: World) -> None:
    """A view that finds the user on `g`, where a function before it has put them, is none for everybody."""

    @world.app.before_request
    def find_the_user() -> None:
        flask.g.name = current_user.display_name if current_user else "nobody"

    def page() -> str:
        return f"Hello {flask.g.name}"

    world.app.add_url_rule("/", view_func=world.cache.cached(60, key_prefix="own")(page))

    assert world.get(world.alice) == (200, "Hello Alice")
    assert world.get(world.bob) == (200, "Hello Bob")


@pytest.mark.parametrize("way", ["methods", "decorators"])
def test_a_page_of_a_class_is_not_stored(world: World, way: str) -> None:
    """Methods of classes are views too."""
    cached = world.cache.cached(60)

    class Page(MethodView):
        decorators = [require_user, cached] if way == "decorators" else [require_user]

        def get(self) -> str:
            return world.page()

    if way == "methods":
        Page.get = cached(Page.get)  # type: ignore[method-assign]
    world.app.add_url_rule("/", view_func=Page.as_view("page"))

    assert world.get(world.alice) == (200, "Hello Alice")
    assert world.get(world.bob) == (200, "Hello Bob")
    assert world.get() == (401, "")


def test_a_fragment_of_a_template_that_asks_is_not_stored(world: World) -> None:
    """What a template caches is held against the same rule."""
    template = "{% cache 60, 'greeting' %}Hello {{ current_user.display_name }}{% endcache %}"

    def page() -> str:
        return flask.render_template_string(template)

    world.app.add_url_rule("/", view_func=require_user(page))

    assert world.get(world.alice) == (200, "Hello Alice")
    assert world.get(world.bob) == (200, "Hello Bob")


def test_pages_for_everybody_are_stored(world: World) -> None:
    """A page that nobody's name is on is made once, also for those who are signed in."""

    def page() -> str:
        world.runs.append("page")
        return "Hello everybody"

    world.app.add_url_rule("/", view_func=world.cache.cached(60)(page))

    assert [world.get(user) for user in (world.alice, None, world.bob)] == [(200, "Hello everybody")] * 3
    assert world.runs == ["page"]


def test_what_the_application_stores_by_itself_is_stored(world: World) -> None:
    """Functions that do not ask are memoized in a guarded view, and `cache.set` stores what it is told to."""

    @world.cache.memoize(60)  # type: ignore[untyped-decorator]  # publishes no types
    def report(user_id: str) -> str:
        world.runs.append("report")
        return f"report of {user_id}"

    @world.cache.cached(60, key_prefix="news")  # type: ignore[untyped-decorator]  # as above
    def news() -> str:
        world.runs.append("news")
        return "news"

    def page() -> str:
        world.cache.set(f"seen {current_user.id}", (world.cache.get(f"seen {current_user.id}") or 0) + 1)
        return f"{news()}, {report(current_user.id)}, {world.cache.get(f'seen {current_user.id}')}"

    world.app.add_url_rule("/", view_func=require_user(page))

    for count in (1, 2):
        for user in (world.alice, world.bob):
            assert world.get(user) == (200, f"news, report of {user.id}, {count}")
    assert world.runs == ["news", "report", "report"]
