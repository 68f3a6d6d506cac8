"""Flows stepped by hand: what they ask for, and what they make of the answers. No driver, no HTTP."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from hexclave_integrations import (
    AnonymousNotAllowed,
    ApiKeyNotFound,
    ConfigurationError,
    HexclaveConfig,
    HexclaveUser,
    InvalidToken,
    NotAuthenticated,
    ProjectPermissionRequired,
    RestrictedNotAllowed,
    ServerKeyRefused,
    SessionEnded,
    TeamMembershipRequired,
    TeamPermissionRequired,
    TokenExpired,
    Unavailable,
)
from hexclave_integrations._policy.attempt import Attempt
from hexclave_integrations._policy.effects import Background, Call, Fetch, Once
from hexclave_integrations._policy.flows import admit, authorize, current_user, identify, verify_token, warm
from hexclave_integrations._policy.questions import (
    is_team_member,
    project_permissions,
    session_ids,
    team_permissions,
    user_by_id,
)
from hexclave_integrations._policy.state import Core, digest
from hexclave_integrations._token import find
from hexclave_integrations._wire.api import MAX_RETRY_AFTER, retry_after
from hexclave_integrations._wire.messages import Reply, TransportError
from hexclave_integrations.requirements import (
    optional_user,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)

from ._minting import EXPIRES, KID, NOW, OTHER_PROJECT, PROJECT, SESSION, TEAM, USER, claims_of, jwk, key_set, mint
from ._minting import new_key as make_key
from ._server import Clock

KEY = make_key()
TOKEN = mint(KEY, claims_of())
CONFIG = HexclaveConfig(project_id=PROJECT, secret_server_key="ssk_secret")
KEYS = Reply(200, {}, key_set(jwk(KEY.public_key())))
DOWN = TransportError("ConnectError")
USER_OBJECT = {
    "id": USER,
    "is_anonymous": False,
    "is_restricted": False,
    "restricted_reason": None,
    "signed_up_at_millis": 1_764_547_200_000,
    "display_name": "Ada",
}
VERIFIED = HexclaveUser(id=USER, kind="regular", project_id=PROJECT, session_id=SESSION, selected_team_id=TEAM)


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = NOW
    return clock


@pytest.fixture
def core(clock: Clock) -> Core:
    return Core(CONFIG, clock)


def answer(body: object, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal(code: str, status: int) -> Reply:
    return answer({"code": code, "error": "..."}, status, x_stack_known_error=code)


def end(flow: Generator[Any, Any, Any], outcome: Any = None) -> Any:
    """What a flow returns, which has nothing more to ask."""
    with pytest.raises(StopIteration) as stop:
        flow.send(outcome)
    return stop.value.value


def play(flow: Generator[Any, Any, Any], *outcomes: Reply | TransportError) -> tuple[Any, list[str]]:
    """Run a flow as the only one, giving it these outcomes of its fetches; its result, and what it did."""
    script = list(outcomes)
    steps: list[str] = []

    def run(flow: Generator[Any, Any, Any]) -> Any:
        outcome: Any = None
        error: Exception | None = None
        while True:
            try:
                effect = flow.send(outcome) if error is None else flow.throw(error)
            except StopIteration as stop:
                return stop.value
            outcome = error = None
            if isinstance(effect, Fetch):
                steps.append(effect.request.what)
                first = script.pop(0)
                outcome, error = (None, first) if isinstance(first, TransportError) else (first, None)
            elif isinstance(effect, Once):
                try:
                    outcome = True, run(effect.start())
                except Exception as problem:  # noqa: BLE001  # thrown into the flow, as a driver does
                    error = problem
            elif isinstance(effect, Background):
                steps.append("background")
            else:
                outcome = effect.function()

    result = run(flow)
    assert script == [], "not everything was asked for"
    return result, steps


def refused(flow: Generator[Any, Any, Any], *outcomes: Reply | TransportError) -> Exception:
    """The error a flow ends with."""
    try:
        play(flow, *outcomes)
    except Exception as error:  # noqa: BLE001  # the outcome, for the test to judge
        return error
    raise AssertionError("it was let through")


def attempt_of(core: Core, token: str | None = TOKEN, **headers: str) -> Attempt:
    pairs = [] if token is None else [("x-stack-access-token", token)]
    return Attempt(find.collect([*pairs, *headers.items()], core.wanted_headers), lambda: None)


def warmed(core: Core) -> Core:
    core.ring.accept(KEYS.body, core.clock())
    return core


# --- keys, step by step ---------------------------------------------------------------------------------------


def test_first_token_step_by_step(core: Core) -> None:
    """A first token asks for the keys, once for everybody, and the next look needs nothing."""
    flow = verify_token(core, TOKEN)
    once = next(flow)
    assert isinstance(once, Once)
    fetching = once.start()
    fetch = next(fetching)
    assert isinstance(fetch, Fetch)
    expected = f"https://api.hexclave.com/api/v1/projects/{PROJECT}/.well-known/jwks.json?include_anonymous=true"
    assert (expected, "GET", None) == (fetch.request.url, fetch.request.method, fetch.request.body)
    assert not any("stack" in name or "authorization" in name for name in fetch.request.headers)
    assert end(fetching, KEYS) is None
    user = end(flow, (True, None))

    assert user.id == USER
    assert user is end(verify_token(core, TOKEN))
    assert len(core.tokens) == 1


def test_one_who_waited_looks_again(core: Core) -> None:
    """A request that waited for another's fetch finds the keys there and fetches nothing."""
    waiting = verify_token(core, TOKEN)
    next(waiting)
    core.ring.accept(KEYS.body, NOW)

    assert end(waiting, (False, None)).id == USER


def test_fetch_that_ended_between_decision_and_turn_is_not_repeated(core: Core) -> None:
    """Two requests decide to fetch; the second gets its turn after the first has ended, and fetches nothing."""
    first, second = verify_token(core, TOKEN), warm(core)
    turns = next(first), next(second)
    assert isinstance(turns[0], Once)
    assert isinstance(turns[1], Once)
    assert turns[0].key == turns[1].key
    fetching = turns[0].start()
    next(fetching)
    end(fetching, KEYS)

    assert end(turns[1].start()) is None  # no second Fetch
    assert end(second, (True, None)) is True
    assert end(turns[0].start()) is None
    assert end(first, (True, None)).id == USER


def test_question_that_ended_between_look_and_turn_is_not_repeated(core: Core) -> None:
    """The same for permissions, for answers and for failures."""
    for reply, expected in ((answer({"items": [{"id": "read", "user_id": USER}]}), {"read"}), (answer([]), None)):
        core.answers = type(core.answers)()
        turns = [next(project_permissions(core, USER)) for _ in range(2)]
        first, second = (turn.start() for turn in turns if isinstance(turn, Once))
        next(first)
        if expected is None:
            for flow in (first, second):
                with pytest.raises(Unavailable):
                    flow.send(reply if flow is first else None)
        else:
            assert frozenset(expected) == end(first, reply)
            assert frozenset(expected) == end(second)


def test_waiter_of_a_given_up_fetch_fetches_himself_and_gives_up_in_the_end(core: Core) -> None:
    """Nobody waits more than twice: then it cannot be told."""
    flow = verify_token(core, TOKEN)
    assert isinstance(next(flow), Once)
    assert isinstance(flow.send((False, None)), Once)
    with pytest.raises(Unavailable):
        flow.send((False, None))


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(DOWN, id="no answer"),
        pytest.param(answer(b"oops", 500), id="error"),
        pytest.param(answer(b"<html>"), id="html"),
        pytest.param(answer({"keys": []}), id="no keys"),
    ],
)
def test_no_keys_is_an_outage_and_arms_the_cool_down(outcome: Any, core: Core, clock: Clock) -> None:
    """Without a usable key set nobody is refused: 503, and no other fetch before the cool-down is over."""
    error = refused(verify_token(core, TOKEN), outcome)
    assert isinstance(error, Unavailable)
    assert error.retry_after == 30
    clock.advance(20)
    error = refused(verify_token(core, TOKEN))
    assert isinstance(error, Unavailable)
    assert error.retry_after == 10
    clock.advance(10)
    assert play(warm(core), KEYS) == (True, ["key set"])


def test_unknown_key_after_a_good_fetch_is_refused(core: Core) -> None:
    """A fresh key set without the key is an answer: 401, and 401 without a fetch next time."""
    token = mint(KEY, claims_of(), {"alg": "ES256", "kid": "another"})

    assert isinstance(refused(verify_token(core, token), KEYS), InvalidToken)
    assert isinstance(refused(verify_token(core, token)), InvalidToken)
    assert play(verify_token(core, TOKEN))[0].id == USER


def test_unknown_key_while_fetches_fail_cannot_be_told(core: Core) -> None:
    """The missing key may be a new one that the outage hides."""
    token = mint(KEY, claims_of(), {"alg": "ES256", "kid": "another"})

    assert isinstance(refused(verify_token(warmed(core), token), DOWN), Unavailable)
    assert play(verify_token(core, TOKEN))[0].id == USER


def test_old_keys_serve_while_one_refresh_runs_behind(core: Core, clock: Clock) -> None:
    """The first request that finds the keys old starts the refresh and does not wait; the next ones do not even ask."""
    play(verify_token(warmed(core), TOKEN))
    clock.advance(601)
    long = mint(KEY, claims_of(exp=EXPIRES + 10_000))
    assert play(verify_token(core, long))[1] == ["background"]
    assert play(verify_token(core, long))[1] == []
    clock.advance(31)
    assert play(verify_token(core, long))[1] == ["background"]


def test_remembered_token_with_old_keys_is_not_verified_again(core: Core, clock: Clock) -> None:
    """What the same keys proved once stays proved, until it expires."""
    long = mint(KEY, claims_of(exp=EXPIRES + 1000))
    user, _ = play(verify_token(warmed(core), long))
    clock.advance(601)
    assert user is play(verify_token(core, long))[0]
    clock.now = EXPIRES + 1010.0
    assert isinstance(refused(verify_token(core, long)), TokenExpired)


def test_new_keys_forget_tokens_of_the_old(core: Core, clock: Clock) -> None:
    """A key set that changed empties the token memory; one that did not, does not."""
    play(verify_token(warmed(core), TOKEN))
    clock.advance(601)
    play(warm(core), KEYS)
    assert len(core.tokens) == 1
    clock.advance(601)
    play(warm(core), Reply(200, {}, key_set(jwk(make_key().public_key()))))
    assert len(core.tokens) == 0


def test_token_remembered_too_late_is_not_believed(core: Core, clock: Clock) -> None:
    """A verification that ends after the keys changed leaves an entry that nobody reads."""
    play(verify_token(warmed(core), TOKEN))
    (entry,) = core.tokens._entries.items()
    core.ring.accept(key_set(jwk(make_key().public_key())), NOW)
    core.tokens.forget_all()
    core.tokens.put(*entry)

    assert core.recall(digest(TOKEN), NOW) is None
    assert isinstance(refused(verify_token(core, TOKEN)), InvalidToken)


@pytest.mark.parametrize(
    ("token", "error"),
    [
        pytest.param("garbage", InvalidToken, id="garbage"),
        pytest.param("", InvalidToken, id="empty"),
        pytest.param("a" * 100_000, InvalidToken, id="long"),
        pytest.param(mint(KEY, claims_of(aud=OTHER_PROJECT)), Exception, id="another project"),
    ],
)
def test_hopeless_token_asks_for_nothing(token: str, error: type[Exception], core: Core) -> None:
    """What cannot be ours costs no fetch, even without keys."""
    assert isinstance(refused(verify_token(core, token)), error)
    assert core.ring.current.fetched_at is None


def test_flow_may_be_given_up_at_any_step(core: Core) -> None:
    """Closing a flow where it waits changes nothing, and the next one starts afresh."""
    flow = verify_token(core, TOKEN)
    once = next(flow)
    assert isinstance(once, Once)
    fetching = once.start()
    next(fetching)
    fetching.close()
    flow.close()

    assert play(verify_token(core, TOKEN), KEYS)[0].id == USER


def test_warm_bears_a_fetch_that_does_not_end(core: Core) -> None:
    """`warm` says False where waiting was in vain."""
    flow = warm(core)
    next(flow)
    with pytest.raises(StopIteration) as stop:
        flow.throw(Unavailable())
    assert stop.value.value is False


# --- who ------------------------------------------------------------------------------------------------------


def test_identify_works_it_out_once(core: Core) -> None:
    """Both a user and a refusal stay with the attempt."""
    attempt = attempt_of(core)
    user, steps = play(identify(core, attempt), KEYS)
    assert steps == ["key set"]
    assert user is end(identify(core, attempt))

    bad = attempt_of(core, "garbage")
    errors = {id(refused(identify(core, bad))) for _ in range(2)}
    assert len(errors) == 1
    assert end(identify(core, attempt_of(core, None))) is None


def test_current_user_joins_token_and_present(core: Core) -> None:
    """The facts are Hexclave's, the session and the claims the token's."""
    user, steps = play(current_user(core, TOKEN), KEYS, answer(USER_OBJECT | {"display_name": "Countess"}))

    assert steps == ["key set", "the current user"]
    assert (user.display_name, user.session_id, user.claims["name"]) == ("Countess", SESSION, "Ada Lovelace")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        pytest.param(refusal("CANNOT_GET_OWN_USER_WITHOUT_USER", 400), SessionEnded, id="deleted"),
        pytest.param(refusal("UNPARSABLE_ACCESS_TOKEN", 401), SessionEnded, id="refused there"),
        pytest.param(refusal("ACCESS_TOKEN_EXPIRED", 401), TokenExpired, id="expired on the way"),
        pytest.param(refusal("INVALID_SECRET_SERVER_KEY", 401), ServerKeyRefused, id="server key"),
        pytest.param(answer(USER_OBJECT | {"id": TEAM}), SessionEnded, id="another user"),
        pytest.param(answer({}), Unavailable, id="no user"),
        pytest.param(DOWN, Unavailable, id="down"),
    ],
)
def test_current_user_refusals(reply: Any, error: type[Exception], core: Core) -> None:
    """What Hexclave says against the token is a refusal, and everything unclear a 503."""
    assert error is type(refused(current_user(warmed(core), TOKEN), reply))


# --- may they -------------------------------------------------------------------------------------------------


def rows(*ids: str, **owner: str) -> list[dict[str, str]]:
    return [{"id": one, **owner} for one in ids]


MINE = {"team_id": TEAM, "user_id": USER}
PROFILE = {**MINE, "display_name": None}
SESSIONS = answer({"items": rows(SESSION, user_id=USER)})


def test_permission_is_asked_once_for_user_and_team(core: Core) -> None:
    """One question answers every permission of a user in a team; it is asked recursively, in lower case."""
    requirement = require_permission("{team}", "read")
    flow = authorize(core, requirement, VERIFIED, {"team": TEAM.upper()}, None)
    ask = next(flow)
    assert isinstance(ask, Call)
    once = flow.send(ask.function())
    assert isinstance(once, Once)
    asking = once.start()
    fetch = next(asking)
    assert isinstance(fetch, Fetch)
    query = f"team_id={TEAM}&user_id={USER}&recursive=true"
    assert f"https://api.hexclave.com/api/v1/team-permissions?{query}" == fetch.request.url
    held = end(asking, answer({"items": rows("read", **MINE)}))
    assert VERIFIED is end(flow, (True, held))

    assert VERIFIED is play(authorize(core, requirement, VERIFIED, {"team": TEAM}, None))[0]
    error = refused(authorize(core, require_permission(TEAM, "write"), VERIFIED, {}, None))
    assert isinstance(error, TeamPermissionRequired)
    assert error.details == {"permission_id": "write"}


@pytest.mark.parametrize(
    ("ask", "own"),
    [
        pytest.param(lambda core: team_permissions(core, USER, TEAM), MINE, id="team permissions"),
        pytest.param(lambda core: project_permissions(core, USER), {"user_id": USER}, id="project permissions"),
        pytest.param(lambda core: session_ids(core, USER), {"user_id": USER}, id="sessions"),
    ],
)
def test_rows_of_others_are_ignored(ask: Any, own: dict[str, str], core: Core) -> None:
    """A list that holds more than was asked for gives nobody more."""
    others = [{**own, name: OTHER_PROJECT} for name in own] + [{}, {**own, "user_id": USER[:-1]}]
    foreign = [row for number, owner in enumerate(others) for row in rows(f"other{number}", **owner)]
    found, _ = play(ask(core), answer({"items": [*foreign, *rows("mine", **own), {**own, "id": 7}, own]}))

    assert frozenset({"mine"}) == found


WRONG: dict[str, Any] = {
    "list": answer([]),
    "no items": answer({}),
    "items null": answer({"items": None}),
    "items an object": answer({"items": {"id": "read"}}),
    "items of texts": answer({"items": ["read"]}),
    "text": answer("read"),
    "html": answer(b"<html>"),
    "empty": answer(b""),
    "truncated": answer(b'{"items":[{"id":"read"'),
    "duplicate keys": answer(b'{"items":[],"items":[]}'),
    "hidden 404": answer({"items": [], **PROFILE, **USER_OBJECT}, x_stack_actual_status="404"),
    "hidden 404 under the new name": answer({"items": [], **PROFILE}, x_hexclave_actual_status="404"),
    "403": answer(b"Client can only list...", 403),
    "400": refusal("SCHEMA_ERROR", 400),
    "404 in text": answer(b"not found", 404),
    "404 of another kind": refusal("TEAM_NOT_FOUND", 404),
    "500": answer({"items": rows("read", **MINE), **PROFILE}, 500),
    "201": answer({"items": rows("read", **MINE), **PROFILE}, 201),
    "nothing": DOWN,
}


@pytest.mark.parametrize("reply", [pytest.param(reply, id=name) for name, reply in WRONG.items()])
@pytest.mark.parametrize(
    "requirement",
    [
        pytest.param(require_permission(TEAM, "read"), id="team permission"),
        pytest.param(require_project_permission("read"), id="project permission"),
        pytest.param(require_team(TEAM), id="team"),
        pytest.param(require_user.live(), id="live"),
    ],
)
def test_wrong_answer_is_never_an_allow(reply: Any, requirement: Any, core: Core) -> None:
    """Whatever is no clear answer is a 503, never a 403 and never "yes"."""
    assert Unavailable is type(refused(authorize(core, requirement, VERIFIED, {}, None), reply))


@pytest.mark.parametrize("code", ["INVALID_SECRET_SERVER_KEY", "SERVER_AUTHENTICATION_REQUIRED"])
def test_refused_server_key_is_both_errors(code: str, core: Core) -> None:
    """A configuration error to its owner, a 503 to the caller; the crowd after it hears the same."""
    for outcomes in ([refusal(code, 401)], []):
        error = refused(project_permissions(core, USER), *outcomes)
        assert isinstance(error, ConfigurationError)
        assert isinstance(error, Unavailable)
        assert error.status == 503
        assert "secret" not in error.body().decode()


@pytest.mark.parametrize(
    "requirement",
    [require_permission(TEAM, "read"), require_project_permission("read"), require_team(TEAM), require_user.live()],
    ids=["team permission", "project permission", "team", "live"],
)
def test_missing_server_key_is_a_configuration_error(requirement: Any, clock: Clock) -> None:
    """It is found out before anything is asked, with a user and without."""
    core = Core(replace(CONFIG, secret_server_key=None), clock)
    for principal in (VERIFIED, None):
        error = refused(authorize(core, requirement, principal, {}, None))
        assert ConfigurationError is type(error)
        assert "HEXCLAVE_SECRET_SERVER_KEY" in str(error)


@pytest.mark.parametrize("team", ["me", "", "*", "../users", TEAM + "\n", None, 7, b"x"], ids=repr)
def test_team_that_is_no_uuid_asks_for_nothing(team: Any, core: Core) -> None:
    """Such a team does not exist: refused without a call."""
    for requirement, error in (
        (require_permission(lambda _: team, "read"), TeamPermissionRequired),
        (require_team(lambda _: team), TeamMembershipRequired),
    ):
        assert error is type(refused(authorize(core, requirement, VERIFIED, {}, None)))
    assert frozenset() == end(team_permissions(core, USER, str(team)))
    assert frozenset() == end(project_permissions(core, "me"))
    assert end(is_team_member(core, "me", TEAM)) is False
    assert end(user_by_id(core, "me")) is None


def test_membership_is_read_from_the_profile(core: Core, clock: Clock) -> None:
    """A profile of exactly this member is a yes, the two known refusals a no, both remembered."""
    assert play(is_team_member(core, USER, TEAM), answer(PROFILE)) == (True, ["a team membership"])
    assert play(is_team_member(core, USER, TEAM)) == (True, [])
    for code in ("TEAM_MEMBERSHIP_NOT_FOUND", "USER_NOT_FOUND"):
        clock.advance(61)
        assert play(is_team_member(core, USER, TEAM), refusal(code, 404)) == (False, ["a team membership"])
        assert play(is_team_member(core, USER, TEAM)) == (False, [])
    clock.advance(61)
    other = refused(is_team_member(core, USER, TEAM), answer({**PROFILE, "user_id": TEAM}))
    assert isinstance(other, Unavailable)


def test_answer_about_another_user_is_no_answer(core: Core) -> None:
    """Nobody becomes somebody else because an answer was mixed up."""
    assert isinstance(refused(user_by_id(core, USER), answer(USER_OBJECT | {"id": TEAM})), Unavailable)
    assert play(user_by_id(core, USER.upper()), answer(USER_OBJECT))[0].id == USER
    assert play(user_by_id(core, USER), refusal("USER_NOT_FOUND", 404))[0] is None


def test_failure_is_remembered_for_a_second(core: Core, clock: Clock) -> None:
    """A crowd fails together and the next one asks again; what is remembered holds no frames."""
    assert isinstance(refused(project_permissions(core, USER), DOWN), Unavailable)
    (remembered,) = (core.answers.get(key, clock()) for key in list(core.answers._entries))
    assert remembered.__traceback__ is None
    assert remembered.__context__ is None
    first, second = refused(project_permissions(core, USER)), refused(project_permissions(core, USER))
    assert first is not second
    clock.advance(1.1)
    assert frozenset() == play(project_permissions(core, USER), answer({"items": []}))[0]


# --- live -----------------------------------------------------------------------------------------------------


def test_live_asks_for_session_and_user(core: Core) -> None:
    """Both have to be there, and the facts are the present ones."""
    requirement = require_user.live()
    user, steps = play(authorize(core, requirement, VERIFIED, {}, None), SESSIONS, answer(USER_OBJECT))

    assert steps == ["sessions", "a user"]
    assert (user.display_name, user.session_id) == ("Ada", SESSION)


@pytest.mark.parametrize(
    ("outcomes", "error"),
    [
        pytest.param([answer({"items": []})], SessionEnded, id="no session"),
        pytest.param([answer({"items": rows(TEAM, user_id=USER)})], SessionEnded, id="another session"),
        pytest.param([answer({"items": rows(SESSION, user_id=TEAM)})], SessionEnded, id="session of another user"),
        pytest.param([SESSIONS, refusal("USER_NOT_FOUND", 404)], SessionEnded, id="deleted"),
        pytest.param([SESSIONS, answer(USER_OBJECT | {"id": TEAM})], Unavailable, id="another user"),
        pytest.param(
            [SESSIONS, answer(USER_OBJECT | {"is_restricted": True, "restricted_reason": {"type": "x"}})],
            RestrictedNotAllowed,
            id="restricted since",
        ),
        pytest.param([SESSIONS, answer(USER_OBJECT | {"is_anonymous": True})], AnonymousNotAllowed, id="anonymous"),
        pytest.param([SESSIONS, DOWN], Unavailable, id="half an answer"),
    ],
)
def test_live_refusals(outcomes: list[Any], error: type[Exception], core: Core) -> None:
    """Anything less than both is refused."""
    assert error is type(refused(authorize(core, require_user.live(), VERIFIED, {}, None), *outcomes))


def test_live_refuses_a_user_without_a_session(core: Core) -> None:
    """A user who was read from the API came with no session that could be confirmed."""
    user = replace(VERIFIED, session_id=None)
    nobody = answer({"items": [{"id": None, "user_id": USER}, {"user_id": USER}]})

    assert isinstance(refused(authorize(core, require_user.live(), user, {}, None), nobody), SessionEnded)


def test_live_remembers_nothing_and_believes_no_memory(core: Core) -> None:
    """A remembered permission does not count where it has to be true now."""
    held = answer({"items": rows("read", user_id=USER)})
    requirement = require_project_permission("read")
    play(authorize(core, requirement, VERIFIED, {}, None), held)
    none = answer({"items": []})
    flow = authorize(core, requirement.live(), VERIFIED, {}, None)

    assert isinstance(refused(flow, SESSIONS, answer(USER_OBJECT), none), ProjectPermissionRequired)


# --- order, nobody, pauses ------------------------------------------------------------------------------------


def test_nobody_is_asked_about_nothing(core: Core) -> None:
    """Without credentials a requirement refuses, an optional one lets nobody in as None."""
    assert isinstance(refused(admit(core, require_user, attempt_of(core, None), {}, None)), NotAuthenticated)
    assert play(admit(core, optional_user, attempt_of(core, None), {}, None)) == (None, [])
    assert isinstance(refused(admit(core, optional_user, attempt_of(core, "bad"), {}, None)), InvalidToken)


def test_kind_is_judged_before_anything_is_asked(core: Core) -> None:
    """A user of the wrong kind costs no call."""
    anonymous = replace(VERIFIED, kind="anonymous", restricted_reason="anonymous")
    for requirement in (require_user.live(), require_project_permission("read"), require_team(TEAM)):
        assert isinstance(refused(authorize(core, requirement, anonymous, {}, None)), AnonymousNotAllowed)
    require_user.allow(anonymous=True).check_kind(anonymous)


def test_admit_marks_the_attempt_as_asked(core: Core) -> None:
    """The answer depends on the caller from then on, also when it is a refusal."""
    attempt = attempt_of(core, "bad")
    with pytest.raises(InvalidToken):
        core.admit_known(require_user, attempt)

    assert attempt.asked


def test_api_key_where_a_token_is_asked_for_is_nobody(core: Core) -> None:
    """A key in the key header speaks only where keys are taken; a malformed one costs no call."""
    attempt = attempt_of(core, None, **{"x-api-key": "sk_garbage"})

    assert isinstance(refused(admit(core, require_user, attempt, {}, None)), NotAuthenticated)
    flow = admit(core, require_user.allow(api_key=True), attempt, {}, None)
    assert isinstance(refused(flow), ApiKeyNotFound)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("7", 7, id="number"),
        pytest.param(" 7 ", 7, id="number with blanks"),
        pytest.param("0", 1, id="zero"),
        pytest.param("999999999", 300, id="years"),
        pytest.param("9" * 5000, 300, id="absurd"),
        pytest.param("-5", 1, id="negative"),
        pytest.param("1.5", 1, id="fraction"),
        pytest.param("\u0667", 1, id="digit of another script"),
        pytest.param("soon", 1, id="word"),
        pytest.param("", 1, id="empty"),
        pytest.param("Thu, 01 Jan 2026 00:01:07 GMT", 7, id="date"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 1, id="past"),
        pytest.param("Thu, 01 Jan 9999 00:00:00 GMT", 300, id="far future"),
        pytest.param("Thu, 99 Jan 2026 99:99:99 GMT", 1, id="date that is none"),
        pytest.param("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", 1, id="absurd date"),
        pytest.param(None, 1, id="missing"),
    ],
)
def test_rate_limit_pauses_everything(header: str | None, seconds: int, core: Core, clock: Clock) -> None:
    """A 429 keeps every question back for as long as it says, within reason."""
    headers = {} if header is None else {"retry-after": header}
    reply = Reply(429, headers, b"Too Many Requests")
    assert seconds == retry_after(reply, NOW)
    error = refused(project_permissions(core, USER), reply)
    assert isinstance(error, Unavailable)
    assert seconds == error.retry_after
    clock.advance(seconds - 0.5)
    for flow in (team_permissions(core, USER, TEAM), is_team_member(core, USER, TEAM), user_by_id(core, USER)):
        assert isinstance(refused(flow), Unavailable)
    clock.advance(2)
    assert frozenset() == play(project_permissions(core, USER), answer({"items": []}))[0]


def test_pause_ends_with_a_clock_that_was_set_back(core: Core, clock: Clock) -> None:
    """A corrected clock does not turn a pause of seconds into one of hours."""
    refused(project_permissions(core, USER), Reply(429, {"retry-after": str(int(MAX_RETRY_AFTER))}, b""))
    clock.advance(-7200)

    assert frozenset() == play(project_permissions(core, USER), answer({"items": []}))[0]


def test_keys_are_not_paused_by_a_rate_limit_of_questions(core: Core) -> None:
    """Without keys nobody could be told anything: they have a cool-down of their own."""
    refused(project_permissions(core, USER), Reply(429, {"retry-after": "60"}, b""))

    assert play(warm(core), KEYS) == (True, ["key set"])


def test_requests_show_no_secret() -> None:
    """An effect may end up in a traceback or a debugger's log."""
    core = Core(CONFIG, lambda: NOW)
    once = next(project_permissions(core, USER))
    assert isinstance(once, Once)
    shown = repr(next(once.start()))

    assert "ssk_secret" not in shown
    assert USER not in shown
    assert KID not in repr(core)
