"""Items and products: what may be asked, a crowd that spends, outages in between, and what is given back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from hexclave_integrations import (
    SELECTED_TEAM,
    AsyncHexclaveClient,
    ConfigurationError,
    HexclaveClient,
    HexclaveConfig,
    HexclaveUser,
    ItemQuantityInsufficient,
    PaymentRequired,
    ProductRequired,
    SessionEnded,
    TeamMembershipRequired,
    Unavailable,
)
from hexclave_integrations import _reasons as reasons
from hexclave_integrations._adapter.listing import lets_in
from hexclave_integrations._policy.spending import Charge, Spending
from hexclave_integrations.requirements import require_item, require_product
from hexclave_integrations.testing import Sandbox, SandboxUser

from ._server import (
    DRIVE_IDS,
    DRIVES,
    Clock,
    Drive,
    Exchange,
    Server,
    core_of,
    error_of,
    eventually,
    gated,
    hang,
    relay,
    response,
    settings,
)

SPEND = require_item("credits", 1, spend=True)
EMPTY = {"content-type": "application/json"}


@pytest.fixture(params=DRIVES, ids=DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    """Both colours."""
    driver = request.param()
    yield driver
    driver.end()


@pytest.fixture
def sandbox() -> Sandbox:
    """A project with an item and a product for users, and one of each for teams."""
    sandbox = Sandbox()
    sandbox.define_item("credits")
    sandbox.define_item("seats", customer_type="team")
    sandbox.define_product("pro")
    return sandbox


@pytest.fixture
def alice(sandbox: Sandbox) -> SandboxUser:
    """Somebody with five credits."""
    user = sandbox.create_user()
    sandbox.items.set("credits", user, 5)
    return user


def verified(sandbox: Sandbox, user: SandboxUser) -> HexclaveUser:
    found = HexclaveClient(sandbox.config).authenticate(sandbox.headers(user))
    assert found is not None
    return found


# --- what may be asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: require_item(""),
        lambda: require_item("-credits"),
        lambda: require_item("cre/dits"),
        lambda: require_item("credits\n"),
        lambda: require_item("c" * 64),
        lambda: require_item(7),  # type: ignore[arg-type]  # on purpose
        lambda: require_item("credits", 0),
        lambda: require_item("credits", -1),
        lambda: require_item("credits", 1.5),  # type: ignore[arg-type]  # on purpose
        lambda: require_item("credits", True),
        lambda: require_item("credits", 2**31),
        lambda: require_item("credits", 1, spend=1),  # type: ignore[arg-type]  # on purpose
        lambda: require_item("credits", 1, give_back_on_client_error=True),
        lambda: require_item("credits", 1, team="my team"),
        lambda: require_product(""),
        lambda: require_product("pro", "my team"),
        lambda: require_product("pro?x=1"),
        lambda: replace(SPEND, scope="user"),
        lambda: replace(SPEND, item=None),
        lambda: replace(require_product("pro"), scope="item"),
        lambda: replace(require_product("pro"), amount=2),
        lambda: replace(require_product("pro"), optional=True),
    ],
)
def test_what_cannot_be_right_is_refused_where_it_is_written(make: Callable[[], object]) -> None:
    """An id, an amount or a team that Hexclave cannot know would refuse, or let in, everybody."""
    with pytest.raises(ConfigurationError):
        make()


def test_what_is_right_keeps_its_facts() -> None:
    """Copies that let more through, or ask more, ask for the same item."""
    for team in (None, "{team_id}", SELECTED_TEAM, lambda request: None):
        changed = require_item("API_calls-2", 3, team=team, spend=True).allow(anonymous=True).live()

        assert (changed.item, changed.amount, changed.spend, changed.team) == ("API_calls-2", 3, True, team)
        assert changed.needs_server_key
        assert not changed.without_spending().spend
    assert require_product("pro", "{team_id}").team_parameter == "team_id"


@pytest.mark.parametrize("factory", [require_item, require_product])
def test_a_requirement_that_was_not_called_is_no_requirement(factory: Any) -> None:
    """Neither a truth value nor a dependency."""
    with pytest.raises(ConfigurationError):
        bool(factory)


# --- asking ---------------------------------------------------------------------------------------------------


def test_authorize_spends_and_returns(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """Each call pays; what it was for, and whether it succeeded, only its caller knows."""
    client, user = drive.client(sandbox.config), verified(sandbox, alice)
    sandbox.items.set("credits", alice, 2)

    assert [drive.run(client, "authorize", SPEND, user) for _ in range(2)] == [user, user]
    assert isinstance(error_of(drive, client, "authorize", SPEND, user), ItemQuantityInsufficient)
    assert sandbox.items.get("credits", alice) == 0


@pytest.mark.parametrize(
    ("requirement", "text"),
    [
        (require_item("nothing", 1), "no item nothing for customers of this type"),
        (require_item("nothing", 1, spend=True), "no item nothing for customers of this type"),
        (require_item("seats", 1), "no item seats for customers of this type"),
    ],
)
def test_an_item_that_is_not_defined_is_the_applications_mistake(
    drive: Drive, sandbox: Sandbox, alice: SandboxUser, requirement: Any, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is let in, nobody is told that they have too little, and the log names the item."""
    client, user = drive.client(sandbox.config), verified(sandbox, alice)
    error = error_of(drive, client, "authorize", requirement, user)

    assert isinstance(error, Unavailable)
    assert error.reason == reasons.ITEM_UNKNOWN
    assert text in caplog.text
    assert alice.id not in " ".join(record.getMessage() for record in caplog.records if record.name != "httpx")


def test_who_is_gone_pays_nothing(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """A token outlives its user, who is then told that the session is over."""
    client, user = drive.client(sandbox.config), verified(sandbox, alice)
    sandbox.delete_user(alice)

    for requirement in (SPEND, SPEND.without_spending()):
        assert isinstance(error_of(drive, client, "authorize", requirement, user), SessionEnded)
    assert isinstance(error_of(drive, client, "authorize", require_product("pro"), user), ProductRequired)


def test_an_api_key_pays_with_its_owners_balance(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """Where a requirement allows keys; a team's key has no user, and is refused."""
    client, key = drive.client(sandbox.config), sandbox.create_api_key(user=alice)
    team_key = sandbox.create_api_key(team=sandbox.create_team())
    allowed = SPEND.allow(api_key=True)
    admitted = drive.run(client, "admit", allowed, client.attempt({"x-api-key": key.value}))
    refused = error_of(drive, client, "admit", allowed, client.attempt({"x-api-key": team_key.value}))

    assert (admitted.id, getattr(refused, "code", None)) == (alice.id, "WRONG_API_KEY_TYPE")
    assert error_of(drive, client, "admit", SPEND, client.attempt({"x-api-key": key.value})) is not None
    assert sandbox.items.get("credits", alice) == 4


def test_live_asks_whether_the_session_lasts_before_it_spends(
    drive: Drive, sandbox: Sandbox, alice: SandboxUser
) -> None:
    """Who has signed out pays nothing."""
    client, headers = drive.client(sandbox.config), sandbox.headers(alice)
    drive.run(client, "admit", SPEND.live(), client.attempt(headers))
    sandbox.sign_out(alice)

    assert isinstance(error_of(drive, client, "admit", SPEND.live(), client.attempt(headers)), SessionEnded)
    assert sandbox.items.get("credits", alice) == 4


# --- products -------------------------------------------------------------------------------------------------


def test_products_are_remembered_for_a_time(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """As permissions are, yes and no; a live requirement asks anew."""
    clock = Clock()
    client, user = drive.client(sandbox.config, clock=clock), verified(sandbox, alice)
    pro = require_product("pro")

    def owns(requirement: Any) -> bool:
        return error_of(drive, client, "authorize", requirement, user) is None

    def has_it(requirement: Any) -> bool:
        attempt = client.attempt(sandbox.headers(alice))
        return error_of(drive, client, "admit", requirement, attempt) is None

    assert not owns(pro)
    sandbox.grant_product("pro", alice)
    assert (owns(pro), has_it(pro.live())) == (False, True)
    clock.advance(sandbox.config.permission_ttl + 1)
    assert owns(pro)
    sandbox.cancel_product("pro", alice)
    assert (owns(pro), has_it(pro.live())) == (True, False)
    core_of(client).answers.forget([f"user:{alice.id}"])
    assert not owns(pro)


@pytest.mark.parametrize("kind", ["user", "team"])
def test_what_a_server_grants_or_cancels_counts_at_once(
    drive: Drive, sandbox: Sandbox, alice: SandboxUser, kind: Any
) -> None:
    """With the same client: `client.server.products` forgets what was remembered of the customer."""
    team = sandbox.create_team()
    sandbox.add_member(team, alice)
    sandbox.define_product("plan", customer_type=kind, prices={"monthly": {"USD": "9", "interval": [1, "month"]}})
    client, user = drive.client(sandbox.config), verified(sandbox, alice)
    requirement = require_product("plan", None if kind == "user" else team.id)
    customer = {"user_id": alice.id.upper()} if kind == "user" else {"team_id": team.id.upper()}

    def owns() -> bool:
        return error_of(drive, client, "authorize", requirement, user) is None

    assert not owns()
    drive.run(client.server.products, "grant", "plan", **customer)
    assert owns()
    drive.run(client.server.products, "cancel", "plan", **customer)
    assert not owns()


def test_products_on_every_page_count(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """Somebody has bought more than fits on one."""
    for number in range(150):
        sandbox.define_product(f"product-{number}")
        sandbox.grant_product(f"product-{number}", alice)
    client, user = drive.client(sandbox.config), verified(sandbox, alice)
    asked = len(sandbox.requests)

    for number in (0, 99, 100, 149):
        assert drive.run(client, "authorize", require_product(f"product-{number}"), user) is user
    assert isinstance(error_of(drive, client, "authorize", require_product("pro"), user), ProductRequired)
    assert len(sandbox.requests) - asked == 2


def lists(*pages: Any) -> Callable[[Exchange], None]:
    remaining = list(pages)

    def behave(exchange: Exchange) -> None:
        page = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        exchange.send(response(200, json.dumps(page).encode(), EMPTY))

    return behave


@pytest.mark.parametrize(
    "page",
    [
        {"items": [{"id": "pro", "quantity": 1}], "pagination": {"next_cursor": "again"}},  # without end
        {"items": [{"id": "pro", "quantity": 1}], "pagination": {"next_cursor": 7}},
        {"items": [{"id": "pro", "quantity": 1}], "pagination": {"next_cursor": ""}},
        {"items": ["pro"]},
        {"items": {"id": "pro"}},
        {},
    ],
)
def test_a_list_of_products_that_cannot_be_read_lets_nobody_in(
    drive: Drive, sandbox: Sandbox, alice: SandboxUser, page: Any
) -> None:
    """503, and not for ever."""
    user = verified(sandbox, alice)
    with Server(lists(page)) as server:
        client = drive.client(settings(sandbox, server))
        error = error_of(drive, client, "authorize", require_product("pro"), user)

    assert isinstance(error, Unavailable)
    assert not isinstance(error, PaymentRequired)


@pytest.mark.parametrize("item", [{"id": "pro"}, {"id": None, "quantity": 1}, {"id": "pro", "quantity": 0}, {"x": 1}])
def test_what_is_not_owned_does_not_count(drive: Drive, sandbox: Sandbox, alice: SandboxUser, item: Any) -> None:
    """A row without an id is an inline product's, one without a quantity is none."""
    user = verified(sandbox, alice)
    with Server(lists({"items": [item]})) as server:
        error = error_of(drive, drive.client(settings(sandbox, server)), "authorize", require_product("pro"), user)

    assert isinstance(error, ProductRequired)


@pytest.mark.parametrize(
    "balance",
    [
        {"id": "credits"},
        {"id": "credits", "quantity": "9"},
        {"id": "credits", "quantity": True},
        {"quantity": 9},
        {"id": "seats", "quantity": 9},
    ],
)
def test_a_balance_that_cannot_be_read_lets_nobody_in(
    drive: Drive, sandbox: Sandbox, alice: SandboxUser, balance: Any
) -> None:
    """Nor one of another item."""
    user = verified(sandbox, alice)
    with Server(lists(balance)) as server:
        error = error_of(drive, drive.client(settings(sandbox, server)), "authorize", require_item("credits"), user)

    assert isinstance(error, Unavailable)


# --- a crowd --------------------------------------------------------------------------------------------------


def racing(sandbox: Sandbox) -> Callable[[Exchange], None]:
    """A server that reads a balance, takes its time, and then writes without another look (contract 4.5)."""
    answer = relay(sandbox)

    def behave(exchange: Exchange) -> None:
        path, _, _ = exchange.target.partition("?")
        if not path.endswith("/update-quantity"):
            answer(exchange)
            return
        *_, customer, item_id, _ = path.split("/")
        delta = json.loads(exchange.body)["delta"]
        if sandbox.items.get(item_id, customer) + delta < 0:
            answer(exchange)
            return
        time.sleep(0.005)
        sandbox.items.change(item_id, customer, delta)
        exchange.send(response(200, b"{}", EMPTY))

    return behave


def test_a_crowd_spends_no_more_than_there_is(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """Fifty requests at once for twenty credits: one process takes them one by one, which the server does not."""
    sandbox.items.set("credits", alice, 20)
    user = verified(sandbox, alice)
    with Server(racing(sandbox)) as server:
        client = drive.client(settings(sandbox, server))
        outcomes = drive.crowd(client, [("authorize", (SPEND, user))] * 50)
        drive.end()

    assert sum(outcome is user for outcome in outcomes) == 20
    assert sum(isinstance(outcome, ItemQuantityInsufficient) for outcome in outcomes) == 30
    assert sandbox.items.get("credits", alice) == 0


def test_customers_do_not_wait_for_each_other(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """Where one customer's request hangs, another's goes on."""
    bob = sandbox.create_user()
    sandbox.items.set("credits", bob, 1)
    users = [verified(sandbox, alice), verified(sandbox, bob)]
    answer = relay(sandbox)

    def behave(exchange: Exchange) -> None:
        (hang if alice.id in exchange.target else answer)(exchange)

    with Server(behave) as server:
        client = drive.client(settings(sandbox, server, http_timeout=0.5))
        outcomes = drive.crowd(client, [("authorize", (SPEND, user)) for user in users])
        server.gate.set()

    assert isinstance(outcomes[0], Unavailable)
    assert outcomes[1] is users[1]


def test_who_waits_too_long_for_their_turn_is_told_so(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """Nothing is taken for them; how long is too long depends on the time-out, not on how many wait."""
    clock, user = Clock(), verified(sandbox, alice)

    def behave(exchange: Exchange) -> None:
        clock.advance(10)
        exchange.send(response(200, b"{}", EMPTY))

    with Server(behave) as server:
        client = drive.client(settings(sandbox, server, http_timeout=2), clock=clock)
        outcomes = drive.crowd(client, [("authorize", (SPEND, user))] * 5)
        drive.end()
        sent = server.count("/update-quantity")

    refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert {error.reason for error in refused} <= {reasons.GIVEN_UP}
    assert sent + len(refused) == 5
    assert refused


# --- once a request, and back again ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (hang, reasons.TIMED_OUT),
        (lambda exchange: None, reasons.NO_ANSWER),
        (lambda exchange: exchange.send(response(500, b"", EMPTY)), reasons.API_STATUS),
        (lambda exchange: exchange.send(response(200, b"<html>", EMPTY)), reasons.API_UNUSABLE),
    ],
)
def test_a_taking_whose_outcome_is_unknown_is_sent_once(
    drive: Drive, sandbox: Sandbox, alice: SandboxUser, behaviour: Any, reason: str
) -> None:
    """503; it counts as not done, so nothing is given back either."""
    headers = sandbox.headers(alice)
    answer = relay(sandbox)

    def behave(exchange: Exchange) -> None:
        (behaviour if exchange.method == "POST" else answer)(exchange)

    with Server(behave) as server:
        client = drive.client(settings(sandbox, server, http_timeout=0.3))
        attempt = client.attempt(headers)
        error = error_of(drive, client, "admit", SPEND, attempt)
        drive.run(client, "conclude", attempt, 503)
        sent = server.count("/update-quantity")
        server.gate.set()

    assert isinstance(error, Unavailable)
    assert (error.reason, sent) == (reason, 1)


def test_one_request_pays_once(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """Asked twice, or at the same time; another price is another charge."""
    client = drive.client(sandbox.config)
    attempt = client.attempt(sandbox.headers(alice))
    drive.crowd(client, [("admit", (SPEND, attempt))] * 3)
    drive.run(client, "admit", SPEND, attempt)
    assert sandbox.items.get("credits", alice) == 4
    drive.run(client, "admit", require_item("credits", 2, spend=True), attempt)
    assert sandbox.items.get("credits", alice) == 2
    for _ in range(2):
        drive.run(client, "conclude", attempt, None)
    assert sandbox.items.get("credits", alice) == 5


def test_nothing_is_taken_for_a_request_that_is_over(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """Work that outlives its request finds nobody who would give back."""
    client = drive.client(sandbox.config)
    attempt = client.attempt(sandbox.headers(alice))
    drive.run(client, "admit", SPEND, attempt)
    drive.run(client, "conclude", attempt, 200)
    other = require_item("credits", 2, spend=True)

    assert isinstance(error_of(drive, client, "admit", other, attempt), Unavailable)
    assert sandbox.items.get("credits", alice) == 4


def test_what_is_given_back_reaches_who_is_in_debt(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """The balance may have fallen below zero meanwhile."""
    client = drive.client(sandbox.config)
    attempt = client.attempt(sandbox.headers(alice))
    drive.run(client, "admit", SPEND, attempt)
    sandbox.items.set("credits", alice, -3)
    drive.run(client, "conclude", attempt, 500)

    assert sandbox.items.get("credits", alice) == -2


CHARGE = Charge(("user", "u"), "credits", 1)
LENIENT = replace(CHARGE, returns_on_client_error=True)


@pytest.mark.parametrize(
    ("charge", "status", "was_refused", "goes_back"),
    [
        (CHARGE, None, False, True),
        (CHARGE, 500, False, True),
        (CHARGE, 599, False, True),
        (CHARGE, 101, False, False),
        (CHARGE, 200, False, False),
        (CHARGE, 302, False, False),
        (CHARGE, 400, False, False),
        (CHARGE, 499, False, False),
        (LENIENT, 399, False, False),
        (LENIENT, 400, False, True),
        (CHARGE, 402, True, True),
        (CHARGE, 303, True, True),
        (CHARGE, 200, True, False),
    ],
)
def test_what_goes_back(charge: Charge, status: int | None, was_refused: bool, goes_back: bool) -> None:
    """By the answer, and by who made it; only to whom took it, and once."""
    spending, owner = Spending(), object()
    spending.note(charge, owner)

    assert spending.end(object(), None, was_refused=was_refused) == []
    assert spending.end(owner, status, was_refused=was_refused) == ([charge] if goes_back else [])
    assert spending.end(owner, None, was_refused=was_refused) == []


# --- who hangs up ---------------------------------------------------------------------------------------------


def hang_up(sandbox: Sandbox, config: HexclaveConfig, server: Server, begin: Callable[[Any], Any]) -> None:
    """Begin to spend, cancel while Hexclave is asked, and wait for what goes on without the caller."""

    async def scenario() -> None:
        async with AsyncHexclaveClient(config) as client:
            await client.warm()
            server.behaviour = gated(relay(sandbox))
            task = asyncio.create_task(begin(client))
            assert await asyncio.to_thread(eventually, lambda: server.count("/update-quantity") == 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            server.gate.set()
            assert await asyncio.to_thread(eventually, lambda: server.count("/update-quantity") == 2)

    asyncio.run(scenario())


def test_who_hangs_up_while_it_is_taken_gets_it_back(sandbox: Sandbox, alice: SandboxUser) -> None:
    """The taking goes on without them, and is undone when it ends: no handler has run."""
    headers = sandbox.headers(alice)

    async def begin(client: AsyncHexclaveClient) -> None:
        attempt = client.attempt(headers)
        try:
            await client.admit(SPEND, attempt)
        finally:
            await client.conclude(attempt, None)

    with Server(relay(sandbox)) as server:
        hang_up(sandbox, settings(sandbox, server), server, begin)
        assert eventually(lambda: sandbox.items.get("credits", alice) == 5)


def test_an_authorize_that_is_cancelled_gives_back(sandbox: Sandbox, alice: SandboxUser) -> None:
    """Its caller never hears that they have spent."""
    user = verified(sandbox, alice)
    with Server(relay(sandbox)) as server:
        hang_up(sandbox, settings(sandbox, server), server, lambda client: client.authorize(SPEND, user))
        assert eventually(lambda: sandbox.items.get("credits", alice) == 5)


def test_a_team_that_was_deleted_pays_nothing(drive: Drive, sandbox: Sandbox, alice: SandboxUser) -> None:
    """Its members may be remembered for a while."""
    team = sandbox.create_team()
    sandbox.add_member(team, alice)
    sandbox.items.set("seats", team, 1)
    client, user = drive.client(sandbox.config), verified(sandbox, alice)
    requirement = require_item("seats", 1, team=team.id)
    drive.run(client, "authorize", requirement, user)
    sandbox.delete_team(team)

    assert isinstance(error_of(drive, client, "authorize", requirement, user), TeamMembershipRequired)


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        (require_item("credits", 3), "a user who has 3 credits"),
        (SPEND, "a user who has 1 credits, which it spends"),
        (require_item("seats", 2, team="{t}", spend=True), "a user in team {t}, which has 2 seats, which it spends"),
        (require_product("pro").live(), "a user who has the product pro, confirmed by Hexclave now"),
        (require_product("pro", SELECTED_TEAM), "a user in the selected team, which has the product pro"),
    ],
)
def test_a_list_of_routes_says_who_pays(requirement: Any, words: str) -> None:
    """In the words of `hexclave routes`."""
    assert lets_in(requirement) == words
