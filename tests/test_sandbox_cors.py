"""A page of another origin may call the sandbox's API and read its answers, refusals and failures included."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from hexclave_integrations.testing import Sandbox

# What `@stackframe/js` 2.8.108 sends; `content-type` is its own where there is a body.
SDK_HEADERS = [
    f"x-hexclave-{name}"
    for name in (
        *("access-token", "access-type", "allow-anonymous-user", "client-version", "override-error-status"),
        *("project-id", "publishable-client-key", "random-nonce", "refresh-token", "secret-server-key"),
    )
]
READ_BY_SDK = ["x-hexclave-actual-status", "x-hexclave-known-error", "x-hexclave-request-id", "retry-after"]
PREFLIGHT = {
    "origin": "http://localhost:5173",
    "access-control-request-method": "PATCH",
    "access-control-request-headers": ",".join([*SDK_HEADERS, "content-type"]),
}


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with sandbox.serve() as url, httpx.Client(base_url=url) as client:
        yield client


def names(response: httpx.Response, header: str) -> set[str]:
    return {name.strip().lower() for name in response.headers[header].split(",")}


def assert_readable(response: httpx.Response) -> None:
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers
    assert names(response, "access-control-expose-headers") >= set(READ_BY_SDK)
    assert "origin" in names(response, "vary")


@pytest.mark.parametrize("path", ["/api/v1/users/me", "/api/latest/teams", "/api/v1/no/such/endpoint"])
def test_a_browser_may_send_what_the_sdk_sends(client: httpx.Client, path: str) -> None:
    """A preflight carries no credentials and is answered before anybody asks for them."""
    response = client.options(path, headers=PREFLIGHT)
    assert response.status_code == 200
    assert response.content == b""
    assert_readable(response)
    assert names(response, "access-control-allow-headers") >= {*SDK_HEADERS, "content-type", "authorization"}
    old = {name.replace("hexclave", "stack") for name in SDK_HEADERS}
    assert names(response, "access-control-allow-headers") >= old
    assert names(response, "access-control-allow-methods") >= {"get", "post", "patch", "delete"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/users/me", 400),
        ("POST", "/api/v1/auth/password/sign-in", 400),
        ("GET", "/api/v1/no/such/endpoint", 404),
        ("PUT", "/api/v1/users/me", 405),
        ("POST", "/api/v1/auth/oauth/token", 400),
        ("GET", "/api/v1/projects/none/.well-known/jwks.json", 404),
    ],
)
def test_refusals_can_be_read(client: httpx.Client, method: str, path: str, status: int) -> None:
    """Without these headers a page would see a network failure instead of the refusal."""
    response = client.request(method, path)
    assert response.status_code == status
    assert_readable(response)


def test_answers_can_be_read(sandbox: Sandbox, client: httpx.Client) -> None:
    """The key set as well, whose caching stays."""
    response = client.get(f"/api/v1/projects/{sandbox.config.project_id}/.well-known/jwks.json")
    assert response.headers["cache-control"] == "public, max-age=3600"
    assert_readable(response)


@pytest.mark.parametrize(("kind", "status"), [("error", 500), ("garbage", 200), ("rate_limit", 429)])
def test_failures_can_be_read(sandbox: Sandbox, client: httpx.Client, kind: str, status: int) -> None:
    """During an outage that answers, preflights are answered and the failure reaches the page."""
    with sandbox.outage(kind):  # type: ignore[arg-type]  # one of its kinds
        assert client.options("/api/v1/users/me", headers=PREFLIGHT).status_code == 200
        response = client.get("/api/v1/users/me")
    assert response.status_code == status
    assert_readable(response)


def test_nothing_answers_when_it_is_down(sandbox: Sandbox, client: httpx.Client) -> None:
    """Not even a preflight."""
    with sandbox.outage("refused"), pytest.raises(httpx.TransportError):
        client.options("/api/v1/users/me", headers=PREFLIGHT)


def test_only_the_api_is_open_to_other_origins(client: httpx.Client) -> None:
    """What is outside of `/api/` says nothing to pages of other origins, but for the health check."""
    elsewhere = client.get("/api", headers={"origin": PREFLIGHT["origin"]})
    assert "access-control-allow-origin" not in elsewhere.headers
    health = client.get("/health")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert health.headers["access-control-allow-origin"] == "*"
