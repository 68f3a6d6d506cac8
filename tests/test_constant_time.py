"""How long an answer takes, and what is asked for it, says nothing about a secret."""

from __future__ import annotations

import ast
import base64
import hashlib
import inspect
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from django.middleware.csrf import CsrfViewMiddleware

import hexclave_integrations
from benchmarks import timing
from benchmarks._measure import Scale
from hexclave_integrations import ApiKeyNotFound, ApiKeyRevoked, HexclaveClient, RequestRefused
from hexclave_integrations.api_key import parse_api_key
from hexclave_integrations.django import _csrf
from hexclave_integrations.errors import WebhookVerificationFailed
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks, _signature

from ._server import core_of

SOURCE: Final = Path(hexclave_integrations.__file__).parent
SECRET_WORDS: Final = re.compile(r"secret|signature|digest|token|password|csrf|refresh|api_key|credential|expected")

# The comparisons of something with such a name that may stop at the first difference, and why each of them may.
KNOWN: Final = {
    ("django/stores.py", "holder == token"): "names of claims, both ours: no caller sends one",
    ("django/stores.py", "cache.get(name, token) not in (token, _DONE + token)"): "as above",
    ("django/stores.py", "cache.get(name) == token"): "as above",
    ("stores.py", "holder not in ('', token)"): "as above",
    ("stores.py", "self._holder(key) not in ('', token, _DONE + token)"): "as above",
    ("stores.py", "self._holder(key) == token"): "as above",
    (
        "webhooks/_signature.py",
        "binascii.b2a_base64(signature, newline=False) != spelling",
    ): "what a caller sent with another spelling of it: the right signature has no part in it",
    ("_base/webhook_secret.py", "secret != secret.strip()"): "the application's own setting, with itself",
    ("supabase/_keys.py", "secret in _PUBLISHED"): "the application's own setting, at start-up, with published texts",
    ("supabase/_keys.py", "bare != secret"): "as above, with itself",
    ("django/debug.py", "secret in text"): "the application's own settings and a page about an error, which hides them",
    (
        "fastapi/_internals.py",
        "expected != found",
    ): "names of routes",
    ("supabase/_signer.py", "_role_of(api_key) == 'anon'"): "a role, at start-up",
}


# --- comparisons ------------------------------------------------------------------------------------------


def is_early_comparison(node: ast.AST) -> bool:
    """Whether something secret, by its name, is compared in a way that may stop at the first difference."""
    if not isinstance(node, ast.Compare):
        return False
    by_value = any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops)
    return by_value and any(map(SECRET_WORDS.search, _names(node)))


def _names(node: ast.AST) -> Iterator[str]:
    """The names of what is compared below a node: of `a.b.c` the last, and nothing of what only `len` sees."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len":
        return
    if isinstance(node, ast.Attribute):
        yield node.attr
        return
    if isinstance(node, ast.Name):
        yield node.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # `secret.strip()` is as secret
        yield from _names(node.func.value)
    for child in ast.iter_child_nodes(node):
        yield from _names(child)


def test_every_comparison_with_a_secret_is_accounted_for() -> None:
    """Nothing with a secret's name is compared with `==` or `in`, but for what is known and harmless."""
    found = {
        (str(path.relative_to(SOURCE)), ast.unparse(node))
        for path in SOURCE.rglob("*.py")
        if "testing" not in path.relative_to(SOURCE).parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if is_early_comparison(node)
    }

    assert found == KNOWN.keys()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("signature == header.x", True),
        ("x != request.token", True),
        ("a.secret in b", True),
        ("x == s.token.strip()", True),
        ("f(api_key) == x", True),
        ("secret is None", False),
        ("len(token) == 3", False),
        ("token.kind == 'x'", False),
        ("compare(secret, x)", False),
    ],
)
def test_the_look_for_comparisons_sees_them(text: str, expected: bool) -> None:
    """What the test above looks for is seen where it stands, and not where it does not."""
    assert is_early_comparison(ast.parse(text, mode="eval").body) is expected


def test_webhook_signatures_are_compared_by_the_library() -> None:
    """The signature that a delivery should have goes to `hmac.compare_digest`, with every other, and nowhere else."""
    tree = ast.parse(inspect.getsource(_signature))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    compared = [call for call in calls if ast.unparse(call.func) == "hmac.compare_digest"]
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "expected"]

    assert [ast.unparse(call) for call in compared] == ["hmac.compare_digest(expected, signature)"]
    assert [node for node in uses if isinstance(node.ctx, ast.Load)] == [compared[0].args[0]]
    # `sum` and not `any`: no signature is left out since an earlier one was right.
    (summed,) = [call for call in calls if ast.unparse(call.func) == "sum"]
    assert compared[0] in ast.walk(summed)


@pytest.mark.parametrize("place", [0, 1, 15, 31])
def test_a_webhook_signature_may_differ_anywhere(place: int, hexclave_sandbox: Sandbox) -> None:
    """A signature that differs in one bit of any byte is refused alike."""
    body, headers = hexclave_sandbox.webhook("user.deleted", {"id": "3241a285-8329-4d69-8f3d-316e08cf140c"})
    raw = bytearray(base64.b64decode(headers["svix-signature"].removeprefix("v1,")))
    raw[place] ^= 1
    forged = headers | {"svix-signature": "v1," + base64.b64encode(raw).decode()}

    with pytest.raises(WebhookVerificationFailed):
        Webhooks(hexclave_sandbox.config.webhook_secrets).verify(body, forged)


def test_csrf_tokens_are_compared_by_django() -> None:
    """Cookie users are held to Django's own check, of which nothing is changed but how its refusal comes back."""
    assert issubclass(_csrf._Check, CsrfViewMiddleware)
    assert {name for name, value in vars(_csrf._Check).items() if callable(value)} == {"_reject"}


def test_the_measurement_runs() -> None:
    """`benchmarks/timing.py` compares what it says; its numbers are for a quiet machine and a reader."""
    found = timing.rows(Scale(0.001))

    assert [name.partition(":")[0] for name, *_ in found] == ["control", "webhook signature", "access token", "API key"]
    assert all(one > 0 and other > 0 for _, one, other, _, _ in found)


# --- API keys ---------------------------------------------------------------------------------------------


def checked(text: str) -> str:
    """An API key's text with the check sum that belongs to it: whoever knows the format can make one."""
    return text[:-8] + f"{zlib.crc32(text[:-8].encode()):08x}"


def with_other_secret(text: str) -> str:
    """A key of the same id and kind whose secret differs in its last character."""
    place = text.index("_") + 45
    return checked(text[:place] + ("a" if text[place] != "a" else "b") + text[place + 1 :])


def with_early_difference(text: str) -> str:
    """The same, with the difference in the secret's first character."""
    place = text.index("_") + 1
    return checked(text[:place] + ("a" if text[place] != "a" else "b") + text[place + 1 :])


def unknown(text: str) -> str:
    """A key of the same format whose id nobody has."""
    parsed = parse_api_key(text)
    assert parsed is not None
    digits = parsed.id.replace("-", "")
    return checked(text.replace(digits, digits[::-1]))


CHANGES: Final[dict[str, Callable[[str], str]]] = {
    "unknown": unknown,
    "last character of the secret": with_other_secret,
    "first character of the secret": with_early_difference,
}

SPOILS: Final[list[Callable[[str], str]]] = [
    lambda text: text[:-8] + "00000000",
    lambda text: text[:-1],
    lambda text: text + "0",
    lambda text: "x",
]


@pytest.fixture
def client(hexclave_sandbox: Sandbox) -> Iterator[HexclaveClient]:
    """A client of the sandbox that remembers nothing yet."""
    with HexclaveClient(hexclave_sandbox.config) as made:
        yield made


def refusal(client: HexclaveClient, text: str) -> RequestRefused:
    """How a key is refused."""
    with pytest.raises(RequestRefused) as refused:
        client.check_api_key(text)
    return refused.value


def asked(sandbox: Sandbox) -> list[tuple[str, str, dict[str, str], str | None, int | None]]:
    """What Hexclave was asked since the last look."""
    found = [(item.method, item.path, dict(item.query), item.access_type, item.status) for item in sandbox.requests]
    sandbox.requests.clear()
    return found


@pytest.mark.parametrize("owner", ["user", "team"])
@pytest.mark.parametrize("is_revoked", [False, True], ids=["genuine", "revoked"])
def test_unknown_and_wrong_api_keys_cost_the_same(
    owner: str, is_revoked: bool, hexclave_sandbox: Sandbox, client: HexclaveClient
) -> None:
    """Whether an id exists, how much of its secret is right, and whether it is revoked: one question, one answer."""
    member, team = hexclave_sandbox.create_user(), hexclave_sandbox.create_team()
    made = hexclave_sandbox.create_api_key(**({"user": member} if owner == "user" else {"team": team}))
    if is_revoked:
        hexclave_sandbox.revoke_api_key(made)
    hexclave_sandbox.requests.clear()
    seen = []
    for change in CHANGES.values():
        error = refusal(client, change(made.value))
        seen.append((type(error), error.body(), error.headers(), asked(hexclave_sandbox)))
        again = refusal(client, change(made.value))
        assert (type(again), asked(hexclave_sandbox)) == (ApiKeyNotFound, [])  # remembered, whatever was wrong

    assert seen == [seen[0]] * len(CHANGES)
    kind, _, _, questions = seen[0]
    assert kind is ApiKeyNotFound
    assert [path for _, path, *_ in questions] == [f"/api/v1/{owner}-api-keys/check"]


def test_only_the_whole_key_learns_that_it_is_revoked(hexclave_sandbox: Sandbox, client: HexclaveClient) -> None:
    """That a key was revoked is told to nobody who does not have all of it."""
    made = hexclave_sandbox.create_api_key(user=hexclave_sandbox.create_user())
    hexclave_sandbox.revoke_api_key(made)

    assert type(refusal(client, made.value)) is ApiKeyRevoked
    assert {type(refusal(client, change(made.value))) for change in CHANGES.values()} == {ApiKeyNotFound}


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_is_no_api_key_is_refused_alike_and_costs_no_question(
    spoil: Callable[[str], str], hexclave_sandbox: Sandbox, client: HexclaveClient
) -> None:
    """A text that no Hexclave ever made is told by its form alone, which is public; the answer is the same."""
    made = hexclave_sandbox.create_api_key(user=hexclave_sandbox.create_user())
    hexclave_sandbox.requests.clear()

    error = refusal(client, spoil(made.value))

    assert asked(hexclave_sandbox) == []
    assert error.body() == refusal(client, unknown(made.value)).body()


def test_a_remembered_key_helps_no_near_miss(hexclave_sandbox: Sandbox, client: HexclaveClient) -> None:
    """Keys are remembered under their SHA-256: what differs in one character is another question, and refused."""
    made = hexclave_sandbox.create_api_key(user=hexclave_sandbox.create_user())
    assert client.check_api_key(made.value).id == made.id
    hexclave_sandbox.requests.clear()

    for change in CHANGES.values():
        assert type(refusal(client, change(made.value))) is ApiKeyNotFound
        assert len(asked(hexclave_sandbox)) == 1
    assert client.check_api_key(made.value).id == made.id
    assert asked(hexclave_sandbox) == []
    names = [str(name) for name in core_of(client).api_keys._entries]
    assert f"api key:{hashlib.sha256(made.value.encode()).hexdigest()}" in names
    assert not any(made.value[-40:] in name for name in names)
