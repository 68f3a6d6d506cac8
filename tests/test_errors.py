"""What a refused caller sees: status, code, headers and body, byte for byte."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator

import pytest

from hexclave_integrations import errors
from hexclave_integrations.errors import (
    ConfigurationError,
    HexclaveError,
    RequestRefused,
    ServerKeyRefused,
    Unavailable,
)

REALM = 'Bearer realm="hexclave"'
INVALID = f'{REALM}, error="invalid_token"'

# Per class: status, code, WWW-Authenticate.
TABLE: dict[str, tuple[int, str, str | None]] = {
    "NotAuthenticated": (401, "USER_AUTHENTICATION_REQUIRED", REALM),
    "InvalidToken": (401, "UNPARSABLE_ACCESS_TOKEN", INVALID),
    "TokenExpired": (401, "ACCESS_TOKEN_EXPIRED", INVALID),
    "WrongProject": (401, "INVALID_PROJECT_FOR_ACCESS_TOKEN", INVALID),
    "SessionEnded": (401, "USER_AUTHENTICATION_REQUIRED", INVALID),
    "AnonymousNotAllowed": (
        401,
        "ANONYMOUS_AUTHENTICATION_NOT_ALLOWED",
        f'{REALM}, error="insufficient_user_authentication"',
    ),
    "ApiKeyNotFound": (401, "API_KEY_NOT_FOUND", REALM),
    "ApiKeyRevoked": (401, "API_KEY_REVOKED", REALM),
    "ApiKeyExpired": (401, "API_KEY_EXPIRED", REALM),
    "WrongApiKeyType": (401, "WRONG_API_KEY_TYPE", REALM),
    "ItemQuantityInsufficient": (402, "ITEM_QUANTITY_INSUFFICIENT_AMOUNT", None),
    "ProductRequired": (402, "PRODUCT_REQUIRED", None),
    "CrossOriginRefused": (403, "CSRF_CHECK_FAILED", None),
    "RestrictedNotAllowed": (403, "RESTRICTED_USER_NOT_ALLOWED", None),
    "TeamPermissionRequired": (403, "TEAM_PERMISSION_REQUIRED", None),
    "ProjectPermissionRequired": (403, "PROJECT_PERMISSION_REQUIRED", None),
    "TeamMembershipRequired": (403, "TEAM_MEMBERSHIP_REQUIRED", None),
    "WebhookVerificationFailed": (400, "WEBHOOK_VERIFICATION_FAILED", None),
    "WebhookInProgress": (409, "WEBHOOK_IN_PROGRESS", None),
    "WebhookHandlerFailed": (500, "WEBHOOK_HANDLER_FAILED", None),
    "WebhookStoreUnavailable": (503, "WEBHOOK_STORE_UNAVAILABLE", None),
    "Unavailable": (503, "HEXCLAVE_UNAVAILABLE", None),
    "ServerKeyRefused": (503, "HEXCLAVE_UNAVAILABLE", None),
}
# The errors that say when to come back, in seconds.
WAITS = {"Unavailable": "1", "ServerKeyRefused": "30", "WebhookInProgress": "5", "WebhookStoreUnavailable": "5"}
each_row = pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in TABLE])


def below(cls: type[HexclaveError]) -> Iterator[type[HexclaveError]]:
    """All subclasses."""
    for subclass in cls.__subclasses__():
        yield subclass
        yield from below(subclass)


def is_ours(cls: type[HexclaveError]) -> bool:
    """Whether a class belongs to `errors`, or to one of its private modules."""
    return f"{cls.__module__}.".startswith(f"{errors.__name__}.")


def make(name: str) -> RequestRefused:
    """An error as raised without arguments."""
    made = getattr(errors, name)()
    assert isinstance(made, RequestRefused)
    return made


def test_the_table_of_this_file_has_every_refusal() -> None:
    """Each class with a code of its own has a row; the groups above them have none."""
    coded = {cls.__name__ for cls in below(RequestRefused) if hasattr(cls, "code") and is_ours(cls)}

    assert set(TABLE) == coded


@each_row
def test_a_refusal_has_status_code_and_headers(name: str) -> None:
    """In this order, and nothing else: content type, no caching, the challenge, the wait."""
    status, code, challenge = TABLE[name]
    error = make(name)
    expected = [("Content-Type", "application/json"), ("Cache-Control", "private, no-store")]
    if challenge is not None:
        expected.append(("WWW-Authenticate", challenge))
    if name in WAITS:
        expected.append(("Retry-After", WAITS[name]))

    assert (status, code, expected) == (error.status, error.code, error.headers())


@each_row
def test_the_body_has_the_shape_of_hexclaves_api(name: str) -> None:
    """`code`, then `error`, compact; `details` is absent when empty (contract 3.3)."""
    error = make(name)

    expected = f'{{"code":"{TABLE[name][1]}","error":"{error.text}"}}'.encode()
    assert expected == error.body()
    assert error.details is None


@each_row
def test_a_text_is_one_fixed_printable_line(name: str) -> None:
    """The text of a refusal holds no place for anything from the request."""
    text = make(name).text

    assert text.isascii()
    assert text.isprintable()
    assert text.endswith(".")
    assert not set('{}%"\\') & set(text)


@pytest.mark.parametrize(
    ("name", "details", "body"),
    [
        pytest.param(
            "TeamPermissionRequired",
            {"permission_id": "export_reports"},
            b'"details":{"permission_id":"export_reports"}',
            id="team-permission",
        ),
        pytest.param(
            "ProjectPermissionRequired",
            {"permission_id": "$admin"},
            b'"details":{"permission_id":"$admin"}',
            id="project-permission",
        ),
        pytest.param(
            "RestrictedNotAllowed",
            {"restricted_reason": {"type": "email_not_verified"}},
            b'"details":{"restricted_reason":{"type":"email_not_verified"}}',
            id="restricted",
        ),
        pytest.param("RestrictedNotAllowed", {"a": 'é"</script>\u2028'}, b'"details":{"a":"\\u00e9\\"</', id="escaped"),
    ],
)
def test_details_follow_in_the_body(name: str, details: dict[str, object], body: bytes) -> None:
    """Details stand at the end, as ASCII JSON that reads back equal."""
    error = getattr(errors, name)(details=details)

    assert body in error.body()
    assert details == json.loads(error.body())["details"]
    assert details == error.details
    assert error.body().isascii()


def test_details_are_the_errors_own() -> None:
    """A later change to the mapping that was given changes no answer; empty details are none."""
    given: dict[str, object] = {"permission_id": "a"}
    error = errors.TeamPermissionRequired(details=given)
    given["permission_id"] = "b"

    assert error.details == {"permission_id": "a"}
    assert errors.TeamPermissionRequired(details={}).details is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(0, 1, id="zero"),
        pytest.param(-5, 1, id="negative"),
        pytest.param(0.2, 1, id="less-than-one"),
        pytest.param(29.6, 30, id="rounded"),
        pytest.param(86400, 86400, id="a-day"),
    ],
)
def test_retry_after_is_whole_seconds_and_at_least_one(seconds: float, expected: int) -> None:
    """RFC 9110 section 10.2.3 knows whole seconds; zero would invite hammering."""
    error = Unavailable(retry_after=seconds)

    assert ("Retry-After", str(expected)) == error.headers()[-1]
    assert expected == error.repeated().retry_after
    assert error is not error.repeated()


def test_a_refused_server_key_is_an_error_of_its_owner_and_a_503_to_the_caller() -> None:
    """The log tells the owner which setting to fix; the caller learns nothing of it."""
    error = ServerKeyRefused()

    assert isinstance(error, ConfigurationError)
    assert isinstance(error, Unavailable)
    assert "secret_server_key" in str(error)
    assert "HEXCLAVE_SECRET_SERVER_KEY" in str(error)
    assert "STACK_SECRET_SERVER_KEY" in str(error)
    assert Unavailable().body() == error.body()
    assert type(error.repeated()) is ServerKeyRefused


def test_a_session_that_ended_looks_like_no_session_but_with_a_bad_token() -> None:
    """The client signs in again: the code of "nobody", the challenge of a token that counts no more."""
    ended, nobody = make("SessionEnded"), make("NotAuthenticated")

    assert nobody.code == ended.code
    assert nobody.headers() != ended.headers()


@each_row
def test_an_error_survives_copying_and_pickling(name: str) -> None:
    """Worker pools and task queues send errors home."""
    error = make(name)
    error.add_note("seen")

    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(error) is type(again)
        assert (str(error), error.details, error.headers(), error.body()) == (
            str(again),
            again.details,
            again.headers(),
            again.body(),
        )
        assert error.__notes__ == again.__notes__


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_name_the_module_that_users_import(name: str) -> None:
    """In tracebacks and pickles, which another version of the package may read."""
    assert getattr(errors, name).__module__ == "hexclave_integrations.errors"


def test_details_and_waits_survive_pickling() -> None:
    """Not only the class travels."""
    denied = errors.TeamPermissionRequired(details={"permission_id": "a"})

    assert pickle.loads(pickle.dumps(denied)).details == {"permission_id": "a"}
    assert pickle.loads(pickle.dumps(Unavailable(retry_after=17))).retry_after == 17


def test_the_tree_is_the_one_in_the_docstring() -> None:
    """Every public error is drawn, and everything drawn is there."""
    drawing = (errors.__doc__ or "").partition("::")[2].partition("Messages")[0]
    drawn = {word for line in drawing.splitlines() for word in line.split() if word in vars(errors)}

    assert set(errors.__all__) == drawn
    assert sorted(errors.__all__) == errors.__all__
    assert {cls.__name__ for cls in below(HexclaveError) if is_ours(cls)} == drawn - {"HexclaveError"}


def test_every_refusal_is_caught_by_its_group() -> None:
    """401, 403 and 503 are the three groups; webhooks and wrong configuration are in none of them."""
    groups = {401: errors.AuthenticationError, 403: errors.PermissionDenied, 503: Unavailable}

    for name in TABLE:
        error = make(name)
        expected = [groups[error.status]] if error.status in groups else []
        assert expected == [group for group in groups.values() if isinstance(error, group)]
    assert not issubclass(ConfigurationError, RequestRefused)
