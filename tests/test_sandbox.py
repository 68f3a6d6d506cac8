"""The sandbox: what a test can do with it, in process and over real HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest
from standardwebhooks import Webhook

from hexclave_integrations import ApiKeyRevoked, HexclaveClient, testing
from hexclave_integrations.testing import Sandbox, SandboxSession, SandboxUser

NOW = 1_800_000_000.0
NOBODY = "11111111-1111-4111-8111-111111111111"
CLAIMS = [
    *("sub", "project_id", "branch_id", "refresh_token_id", "role", "name", "email", "email_verified"),
    *("selected_team_id", "signed_up_at", "is_anonymous", "is_restricted", "restricted_reason", "requires_totp_mfa"),
    *("iss", "iat", "aud", "exp"),
]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@contextmanager
def in_process(sandbox: Sandbox) -> Iterator[httpx.Client]:
    config = sandbox.config
    with httpx.Client(transport=config.transport, base_url=f"{config.api_url}/api/v1") as client:  # type: ignore[arg-type]  # sync half
        yield client


@contextmanager
def over_http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with sandbox.serve() as url, httpx.Client(base_url=f"{url}/api/v1") as client:
        yield client


BOTH_WAYS = pytest.mark.parametrize("connect", [in_process, over_http])


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with in_process(sandbox) as client:
        yield client


def server(sandbox: Sandbox, user: SandboxUser | None = None) -> dict[str, str]:
    headers = {"x-stack-access-type": "server", "x-stack-secret-server-key": str(sandbox.config.secret_server_key)}
    token = sandbox.headers(user) if user else {}
    return {"x-stack-project-id": sandbox.config.project_id} | headers | token


def browser(sandbox: Sandbox, token: str | None = None) -> dict[str, str]:
    headers = {"x-stack-project-id": sandbox.config.project_id, "x-stack-access-type": "client"}
    return headers | ({"x-stack-access-token": token} if token else {})


def jwks(client: httpx.Client, sandbox: Sandbox, **query: str) -> httpx.Response:
    return client.get(f"/projects/{sandbox.config.project_id}/.well-known/jwks.json", params=query)


def code(response: httpx.Response) -> tuple[int, str | None]:
    return response.status_code, response.headers.get("x-hexclave-known-error")


def decoded(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def held(client: httpx.Client, sandbox: Sandbox, user: SandboxUser, path: str = "/team-permissions") -> list[str]:
    query = {"user_id": user.id, "recursive": "true"}
    return [item["id"] for item in client.get(path, params=query, headers=server(sandbox)).json()["items"]]


class TestConnecting:
    @BOTH_WAYS
    def test_a_client_reads_the_user_of_a_token(self, sandbox: Sandbox, connect: Any) -> None:
        user = sandbox.create_user(display_name="Ada", primary_email="ada@example.test")
        with connect(sandbox) as client:
            body = client.get("/users/me", headers=server(sandbox, user)).json()
        assert (body["id"], body["display_name"], body["primary_email"]) == (user.id, "Ada", "ada@example.test")

    def test_an_async_client_reads_the_same(self, sandbox: Sandbox) -> None:
        user = sandbox.create_user()

        async def ask() -> httpx.Response:
            transport = sandbox.config.transport
            async with httpx.AsyncClient(transport=transport, base_url=sandbox.config.api_url) as client:  # type: ignore[arg-type]  # async half
                return await client.get("/api/latest/users/me", headers=server(sandbox, user))

        assert asyncio.run(ask()).json()["id"] == user.id

    def test_the_config_follows_the_server(self, sandbox: Sandbox) -> None:
        before = sandbox.config
        user = sandbox.create_user()
        old = sandbox.token(user)
        with sandbox.serve() as url, httpx.Client(base_url=f"{url}/api/v1") as client:
            served = sandbox.config
            assert (served.api_url, served.transport) == (url, None)
            assert served.issuer_urls == (before.api_url,)
            assert decoded(sandbox.token(user))["iss"] == f"{url}/api/v1/projects/{served.project_id}"
            assert client.get("/users/me", headers=browser(sandbox, old)).status_code == 200
        assert sandbox.config == before
        assert sandbox.config.transport is before.transport
        assert replace(before, permission_ttl=0).permission_ttl == 0

    def test_serving_twice_at_once_is_refused(self, sandbox: Sandbox) -> None:
        with sandbox.serve(), pytest.raises(RuntimeError, match="already"), sandbox.serve():
            pass
        with sandbox.serve() as url:
            assert url.startswith("http://127.0.0.1:")

    def test_a_stopped_server_leaves_no_thread_and_no_open_connection(self, sandbox: Sandbox) -> None:
        before = threading.active_count()
        with httpx.Client() as client:
            with sandbox.serve() as url:
                client.get(url)
            assert threading.active_count() == before
            with pytest.raises(httpx.TransportError):
                client.get(url)

    def test_many_threads_may_ask_and_change_it_at_once(self, sandbox: Sandbox) -> None:
        team = sandbox.create_team()

        def work(number: int) -> httpx.Response:
            user = sandbox.create_user()
            sandbox.grant(user, f"p{number}", team)
            return shared.get("/users/me", headers=server(sandbox, user))

        with over_http(sandbox) as shared, ThreadPoolExecutor(8) as pool:
            assert {response.status_code for response in pool.map(work, range(40))} == {200}
        assert sandbox.count("/users/me") == 40

    def test_a_broken_request_costs_only_its_own_connection(self, sandbox: Sandbox) -> None:
        with over_http(sandbox) as client:
            with pytest.raises(httpx.TransportError):
                client.post("/teams", headers={"content-length": "many"}, content=b"")
            assert client.get("/users/me").status_code == 400

    def test_requests_are_recorded_without_secrets(self, sandbox: Sandbox, client: httpx.Client) -> None:
        client.get("/users/me", headers=server(sandbox, sandbox.create_user()), params={"a": "b"})
        with sandbox.outage(), pytest.raises(httpx.ConnectError):
            jwks(client, sandbox)
        first, second = sandbox.requests
        assert (first.method, first.path, first.query) == ("GET", "/api/v1/users/me", {"a": "b"})
        assert (first.access_type, first.status) == ("server", 400)
        assert (second.access_type, second.status) == (None, None)
        assert (sandbox.count("/jwks.json"), sandbox.count("/users/me"), sandbox.count("/teams")) == (1, 1, 0)
        assert "ssk_" not in repr(sandbox.requests) + repr(sandbox.config)


class TestTokens:
    @pytest.mark.parametrize(
        ("kind", "suffix", "path", "reason"),
        [
            ("regular", "", "projects", None),
            ("restricted", ":restricted", "projects-restricted-users", {"type": "email_not_verified"}),
            ("anonymous", ":anon", "projects-anonymous-users", {"type": "anonymous"}),
        ],
    )
    def test_they_look_like_real_ones(self, kind: Any, suffix: str, path: str, reason: Any) -> None:
        sandbox = Sandbox(clock=lambda: NOW)
        token = sandbox.token(sandbox.create_user(kind))
        header, claims = jwt.get_unverified_header(token), decoded(token)
        assert list(header) == ["alg", "kid"]
        assert header["alg"] == "ES256"
        assert re.fullmatch(r"[\w-]{12}", header["kid"])
        assert list(claims) == CLAIMS
        project_id = sandbox.config.project_id
        assert claims["aud"] == project_id + suffix
        assert claims["iss"] == f"https://sandbox.hexclave.invalid/api/v1/{path}/{project_id}"
        assert (claims["iat"], claims["exp"]) == (NOW, NOW + 600)
        assert (claims["restricted_reason"], claims["is_restricted"]) == (reason, reason is not None)

    def test_the_published_keys_verify_them(self, sandbox: Sandbox, client: httpx.Client) -> None:
        for kind, position in [("regular", 0), ("restricted", 2), ("anonymous", 4)]:
            token = sandbox.token(sandbox.create_user(kind))  # type: ignore[arg-type]  # the loop's literals
            keys = jwks(client, sandbox, include_anonymous="true").json()["keys"]
            assert jwt.get_unverified_header(token)["kid"] == keys[position]["kid"]
            audience = decoded(token)["aud"]
            assert jwt.decode(token, jwt.PyJWK(keys[position]), ["ES256"], audience=audience)

    def test_a_user_has_one_session_until_signed_out(self, sandbox: Sandbox) -> None:
        user = sandbox.create_user()
        first, second = (decoded(sandbox.token(user))["refresh_token_id"] for _ in range(2))
        assert first == second
        other = sandbox.new_session(user)
        assert decoded(sandbox.token(user, session=other))["refresh_token_id"] == other.id
        sandbox.sign_out(user)
        assert decoded(sandbox.token(user))["refresh_token_id"] not in {first, other.id}

    def test_claims_can_be_bent_and_stay_genuine(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user("restricted")
        bent = sandbox.token(user, claims={"role": "admin"}, key="regular")
        keys = jwks(client, sandbox).json()["keys"]
        claims = jwt.decode(bent, jwt.PyJWK(keys[0]), ["ES256"], options={"verify_aud": False})
        assert (claims["role"], claims["aud"]) == ("admin", sandbox.config.project_id + ":restricted")
        bare = sandbox.sign({"sub": "x"}, headers={"typ": "JWT"})
        assert (decoded(bare), jwt.get_unverified_header(bare)["typ"]) == ({"sub": "x"}, "JWT")

    @pytest.mark.parametrize(
        ("claims", "answer"),
        [
            ({"iss": "https://elsewhere.example"}, (401, "UNPARSABLE_ACCESS_TOKEN")),
            ({"aud": ["x"]}, (401, "UNPARSABLE_ACCESS_TOKEN")),
            ({"aud": NOBODY}, (401, "UNPARSABLE_ACCESS_TOKEN")),
            ({"exp": "9999999999"}, (401, "UNPARSABLE_ACCESS_TOKEN")),
            ({"exp": 1}, (401, "ACCESS_TOKEN_EXPIRED")),
            ({"is_anonymous": True}, (500, None)),
            ({"branch_id": "dev"}, (500, None)),
            ({"restricted_reason": {"type": "email_not_verified"}}, (500, None)),
            ({"sub": NOBODY}, (400, "CANNOT_GET_OWN_USER_WITHOUT_USER")),
        ],
    )
    def test_the_api_judges_bent_tokens(
        self, sandbox: Sandbox, client: httpx.Client, claims: Any, answer: tuple[int, str | None]
    ) -> None:
        token = sandbox.token(sandbox.create_user(), claims=claims)
        assert code(client.get("/users/me", headers=browser(sandbox, token))) == answer

    def test_a_token_signed_for_another_kind_is_not_parsable(self, sandbox: Sandbox, client: httpx.Client) -> None:
        token = sandbox.token(sandbox.create_user(), key="anonymous")
        assert code(client.get("/users/me", headers=browser(sandbox, token)))[1] == "UNPARSABLE_ACCESS_TOKEN"

    def test_expiry_is_exact_and_comes_before_the_wrong_project(self) -> None:
        now = NOW
        sandbox = Sandbox(clock=lambda: now)
        token = sandbox.token(sandbox.create_user())
        with in_process(sandbox) as client:
            now += 599
            assert client.get("/users/me", headers=browser(sandbox, token)).status_code == 200
            now += 1
            headers = browser(sandbox, token) | {"x-stack-project-id": NOBODY}
            response = client.get("/users/me", headers=headers)
        assert code(response) == (401, "ACCESS_TOKEN_EXPIRED")
        assert response.json()["details"]["expired_at_millis"] == (NOW + 600) * 1000

    def test_a_negative_lifetime_is_over(self, sandbox: Sandbox, client: httpx.Client) -> None:
        token = sandbox.token(sandbox.create_user(), expires_in=-5)
        assert code(client.get("/users/me", headers=browser(sandbox, token)))[1] == "ACCESS_TOKEN_EXPIRED"

    def test_a_token_of_another_sandbox_is_not_parsable(self, sandbox: Sandbox, client: httpx.Client) -> None:
        other = Sandbox(project_id=sandbox.config.project_id)
        headers = browser(sandbox, other.token(other.create_user()))
        assert code(client.get("/users/me", headers=headers))[1] == "UNPARSABLE_ACCESS_TOKEN"

    def test_rotation_withdraws_the_old_keys(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user()
        old_token, old_keys = sandbox.token(user), jwks(client, sandbox, include_anonymous="true").json()["keys"]
        sandbox.rotate_keys()
        new_keys = jwks(client, sandbox, include_anonymous="true").json()["keys"]
        assert not {key["kid"] for key in old_keys} & {key["kid"] for key in new_keys}
        assert code(client.get("/users/me", headers=browser(sandbox, old_token)))[1] == "UNPARSABLE_ACCESS_TOKEN"
        assert client.get("/users/me", headers=browser(sandbox, sandbox.token(user))).status_code == 200

    @pytest.mark.parametrize(("value", "status"), [("true", 200), ("1", 403), ("TRUE", 403), ("false", 403)])
    def test_allowing_restricted_users_takes_the_exact_word(
        self, sandbox: Sandbox, client: httpx.Client, value: str, status: int
    ) -> None:
        headers = browser(sandbox, sandbox.token(sandbox.create_user("restricted")))
        response = client.get("/users/me", headers=headers | {"x-stack-allow-restricted-user": value})
        assert response.status_code == status

    def test_a_newer_header_brand_wins(self, sandbox: Sandbox, client: httpx.Client) -> None:
        headers = browser(sandbox, "garbage") | {"x-hexclave-access-token": sandbox.token(sandbox.create_user())}
        assert client.get("/users/me", headers=headers).status_code == 200


class TestJwks:
    @BOTH_WAYS
    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ({}, 2),
            ({"include_restricted": "true"}, 4),
            ({"include_anonymous": "true"}, 6),
            ({"include_restricted": "false", "include_anonymous": "false"}, 2),
        ],
    )
    def test_sizes(self, sandbox: Sandbox, connect: Any, query: dict[str, str], count: int) -> None:
        with connect(sandbox) as client:
            response = jwks(client, sandbox, **query)
        assert len(response.json()["keys"]) == count
        assert response.headers["cache-control"] == "public, max-age=3600"
        assert all(set(key) == {"kty", "crv", "alg", "kid", "x", "y"} for key in response.json()["keys"])

    @pytest.mark.parametrize("query", [{"include_restricted": "1"}, {"include_anonymous": ""}, {"kid": "x"}])
    def test_other_queries_are_refused(self, sandbox: Sandbox, client: httpx.Client, query: dict[str, str]) -> None:
        assert code(jwks(client, sandbox, **query)) == (400, "SCHEMA_ERROR")

    @BOTH_WAYS
    def test_unknown_project_and_method(self, sandbox: Sandbox, connect: Any) -> None:
        with connect(sandbox) as client:
            missing = client.get("/projects/nope/.well-known/jwks.json")
            head = client.head(f"/projects/{sandbox.config.project_id}/.well-known/jwks.json")
        assert (missing.status_code, missing.text) == (404, "Project not found")
        assert code(missing) == (404, None)
        assert head.status_code == 405


class TestUsers:
    def test_profiles_are_checked(self, sandbox: Sandbox) -> None:
        with pytest.raises(TypeError):
            sandbox.create_user(nickname="Ada")  # type: ignore[call-arg]  # the point
        with pytest.raises(ValueError, match="kind of user"):
            sandbox.create_user("admin")  # type: ignore[arg-type]  # the point
        with pytest.raises(ValueError, match="no verified address"):
            sandbox.create_user("restricted", primary_email="ada@example.test", primary_email_verified=True)
        with pytest.raises(ValueError, match="restricted_reason"):
            sandbox.create_user("anonymous", restricted_reason="email_not_verified")

    def test_the_body_follows_the_database_and_the_gate_the_token(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user()
        regular = sandbox.token(user)
        sandbox.restrict(user)
        body = client.get("/users/me", headers=browser(sandbox, regular)).json()
        assert body["restricted_reason"] == {"type": "restricted_by_administrator"}
        restricted = sandbox.token(user)
        sandbox.unrestrict(user)
        response = client.get("/users/me", headers=browser(sandbox, restricted))
        assert code(response) == (403, "RESTRICTED_USER_NOT_ALLOWED")
        assert client.get("/users/me", headers=server(sandbox, user)).json()["is_restricted"] is False

    def test_verifying_the_address_lifts_its_restriction(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user("restricted", primary_email="ada@example.test")
        sandbox.unrestrict(user)
        assert decoded(sandbox.token(user))["email_verified"] is True
        sandbox.restrict(user, "email_not_verified")
        body = {"primary_email_verified": True}
        reply = client.patch(f"/users/{user.id}", headers=server(sandbox), json=body).json()
        assert (reply["is_restricted"], reply["primary_email_verified"]) == (False, True)

    def test_a_deleted_user_is_nobody(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user, team = sandbox.create_user(), sandbox.create_team()
        sandbox.grant(user, "export", team)
        token, key = sandbox.token(user), sandbox.create_api_key(user)
        sandbox.delete_user(user)
        response = client.get("/users/me", headers=browser(sandbox, token))
        assert code(response) == (400, "CANNOT_GET_OWN_USER_WITHOUT_USER")
        assert code(client.get(f"/users/{user.id}", headers=server(sandbox))) == (404, "USER_NOT_FOUND")
        assert held(client, sandbox, user) == []
        checked = client.post("/user-api-keys/check", headers=server(sandbox), json={"api_key": key.value})
        assert code(checked) == (404, "API_KEY_NOT_FOUND")
        with pytest.raises(LookupError):
            sandbox.token(user)

    def test_lists_hide_restricted_and_anonymous_users(self, sandbox: Sandbox, client: httpx.Client) -> None:
        ada = sandbox.create_user(display_name="Ada")
        restricted, anonymous = sandbox.create_user("restricted"), sandbox.create_user("anonymous")
        team = sandbox.create_team(creator=restricted)

        def listed(**query: str) -> set[str]:
            items = client.get("/users", headers=server(sandbox), params=query).json()["items"]
            return {item["id"] for item in items}

        assert listed() == {ada.id}
        assert listed(include_restricted="true") == {ada.id, restricted.id}
        assert listed(include_anonymous="true") == {ada.id, restricted.id, anonymous.id}
        assert listed(include_anonymous="true", only_anonymous="true") == {anonymous.id}
        assert listed(team_id=team.id) == set()
        assert listed(query="ada") == {ada.id}
        assert listed(query="bob") == set()

    def test_pages(self) -> None:
        times = iter(range(1, 100))
        sandbox = Sandbox(clock=lambda: next(times))
        users = [sandbox.create_user().id for _ in range(5)]
        found: list[str] = []
        query = {"limit": "2", "desc": "true"}
        with in_process(sandbox) as client:
            for _ in range(3):
                page = client.get("/users", headers=server(sandbox), params=query).json()
                found += [item["id"] for item in page["items"]]
                query["cursor"] = page["pagination"]["next_cursor"]
        assert found == users[::-1]
        assert page["pagination"] == {"next_cursor": None}

    def test_patch_refuses_what_it_does_not_know(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user()
        headers = browser(sandbox, sandbox.token(user))
        for body in ({"server_metadata": 1}, {"nickname": "Ada"}, {"display_name": 7}):
            assert code(client.patch("/users/me", headers=headers, json=body)) == (400, "SCHEMA_ERROR")
        reason = {"restricted_by_admin_reason": "why"}
        response = client.patch(f"/users/{user.id}", headers=server(sandbox), json=reason)
        assert code(response) == (400, "SCHEMA_ERROR")
        broken = headers | {"content-type": "application/json"}
        assert code(client.patch("/users/me", headers=broken, content=b"")) == (400, "BODY_PARSING_ERROR")
        assert code(client.patch("/users/me", headers=headers, json=[])) == (400, "SCHEMA_ERROR")

    def test_a_browser_may_not_read_others(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user()
        response = client.get(f"/users/{user.id}", headers=browser(sandbox, sandbox.token(user)))
        assert code(response) == (401, "INSUFFICIENT_ACCESS_TYPE")

    def test_a_user_may_delete_themselves(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user()
        headers = browser(sandbox, sandbox.token(user))
        assert client.delete("/users/me", headers=headers).json() == {"success": True}
        assert client.get("/users/me", headers=headers).status_code == 400


class TestTeamsAndPermissions:
    def test_members_and_creators_start_with_their_permission(self, sandbox: Sandbox, client: httpx.Client) -> None:
        creator, member = sandbox.create_user(), sandbox.create_user()
        team = sandbox.create_team("Engines", creator)
        sandbox.add_member(team, member)
        sandbox.add_member(team, member)
        assert held(client, sandbox, member) == ["$invite_members", "$read_members", "team_member"]
        assert len(held(client, sandbox, creator)) == 7

    def test_permissions_nest_at_any_depth(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user, team = sandbox.create_user(), sandbox.create_team()
        sandbox.define_permission("read")
        sandbox.define_permission("write", contains=("read", "own"))
        sandbox.define_permission("own", contains=("write",))
        sandbox.grant(user, "own", team)
        assert {"own", "read", "write"} < set(held(client, sandbox, user))
        sandbox.revoke(user, "own", team)
        assert not {"own", "read", "write"} & set(held(client, sandbox, user))

    def test_a_grant_makes_what_is_missing(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user, team = sandbox.create_user(), sandbox.create_team()
        sandbox.grant(user, "export", team)
        sandbox.grant(user, "view_admin")
        assert "export" in held(client, sandbox, user)
        assert held(client, sandbox, user, "/project-permissions") == ["view_admin"]
        profile = client.get(f"/team-member-profiles/{team.id}/{user.id}", headers=server(sandbox))
        assert profile.json()["user"]["id"] == user.id

    def test_scopes_do_not_mix(self, sandbox: Sandbox) -> None:
        user, team = sandbox.create_user(), sandbox.create_team()
        sandbox.grant(user, "view_admin")
        with pytest.raises(ValueError, match="project permission"):
            sandbox.grant(user, "view_admin", team)
        with pytest.raises(ValueError, match="team permission"):
            sandbox.grant(user, "$update_team")
        with pytest.raises(ValueError, match="of the system"):
            sandbox.define_permission("$update_team")
        for malformed in ("Export Reports", "export-reports", "$export", ""):
            with pytest.raises(ValueError, match="permission id"):
                sandbox.grant(user, malformed, team)

    def test_only_direct_grants_can_be_revoked(self, sandbox: Sandbox) -> None:
        user = sandbox.create_user()
        team = sandbox.create_team(creator=user)
        with pytest.raises(LookupError, match="directly"):
            sandbox.revoke(user, "$update_team", team)
        with pytest.raises(LookupError, match="directly"):
            sandbox.revoke(user, "view_admin")
        sandbox.revoke(user, "team_admin", team)

    def test_lists_are_sorted_by_team_user_and_id(self, sandbox: Sandbox, client: httpx.Client) -> None:
        for _ in range(3):
            team = sandbox.create_team()
            for _ in range(3):
                user = sandbox.create_user()
                sandbox.grant(user, "zeta", team)
                sandbox.grant(user, "a_b", team)
        items = client.get("/team-permissions", headers=server(sandbox)).json()["items"]
        found = [(item["team_id"], item["user_id"], item["id"]) for item in items]
        assert found == sorted(found)
        assert len(found) == 27

    def test_leaving_a_team_takes_everything_along(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user, team = sandbox.create_user(), sandbox.create_team()
        sandbox.grant(user, "export", team)
        sandbox.select_team(user, team)
        assert decoded(sandbox.token(user))["selected_team_id"] == team.id
        sandbox.remove_member(team, user)
        assert held(client, sandbox, user) == []
        assert decoded(sandbox.token(user))["selected_team_id"] is None
        with pytest.raises(ValueError, match="member"):
            sandbox.select_team(user, team)
        sandbox.select_team(user, None)

    def test_deleting_a_team(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user()
        team = sandbox.create_team(creator=user)
        sandbox.create_api_key(team=team)
        sandbox.delete_team(team)
        assert code(client.get(f"/teams/{team.id}", headers=server(sandbox))) == (404, "TEAM_NOT_FOUND")
        assert held(client, sandbox, user) == []
        with pytest.raises(LookupError):
            sandbox.add_member(team, user)

    def test_member_profiles_for_browsers(self, sandbox: Sandbox, client: httpx.Client) -> None:
        reader, other = sandbox.create_user(), sandbox.create_user()
        team, foreign = sandbox.create_team(creator=reader), sandbox.create_team(creator=other)
        sandbox.add_member(team, other)
        headers = browser(sandbox, sandbox.token(reader))
        url = "/team-member-profiles"
        assert len(client.get(url, params={"team_id": team.id}, headers=headers).json()["items"]) == 2
        assert client.get(f"{url}/{team.id}/{other.id}", headers=headers).status_code == 200
        response = client.get(f"{url}/{foreign.id}/{other.id}", headers=headers)
        assert code(response) == (404, "TEAM_MEMBERSHIP_NOT_FOUND")
        assert client.get(url, headers=headers).status_code == 400
        sandbox.revoke(other, "team_member", team)
        response = client.get(url, params={"team_id": team.id}, headers=browser(sandbox, sandbox.token(other)))
        assert code(response) == (401, "TEAM_PERMISSION_REQUIRED")

    def test_membership_is_read_from_the_profile(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user, team = sandbox.create_user(), sandbox.create_team()
        for path, answer in [
            (f"{team.id}/{user.id}", (404, "TEAM_MEMBERSHIP_NOT_FOUND")),
            (f"{team.id}/{NOBODY}", (404, "USER_NOT_FOUND")),
            (f"{NOBODY}/{user.id}", (404, "TEAM_MEMBERSHIP_NOT_FOUND")),
            (f"nope/{user.id}", (400, "SCHEMA_ERROR")),
        ]:
            assert code(client.get(f"/team-member-profiles/{path}", headers=server(sandbox))) == answer

    def test_memberships_of_browsers(self, sandbox: Sandbox, client: httpx.Client) -> None:
        admin, member = sandbox.create_user(), sandbox.create_user()
        team = sandbox.create_team(creator=admin)
        sandbox.add_member(team, member)
        as_member = browser(sandbox, sandbox.token(member))
        url = f"/team-memberships/{team.id}"
        response = client.delete(f"{url}/{admin.id}", headers=as_member)
        assert code(response) == (401, "TEAM_PERMISSION_REQUIRED")
        assert client.delete(f"{url}/me", headers=as_member).json() == {"success": True}
        response = client.delete(f"{url}/{member.id}", headers=server(sandbox))
        assert code(response) == (404, "TEAM_MEMBERSHIP_NOT_FOUND")

    def test_project_permissions(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user()
        sandbox.define_permission("view_admin", scope="project")
        url = f"/project-permissions/{user.id}/view_admin"
        granted = client.post(url, headers=server(sandbox), json={})
        assert (granted.status_code, granted.json()) == (201, {"id": "view_admin", "user_id": user.id})
        own = client.get("/project-permissions?user_id=me", headers=browser(sandbox, sandbox.token(user)))
        assert own.json() == {"items": [{"id": "view_admin", "user_id": user.id}], "is_paginated": False}
        assert client.delete(url, headers=server(sandbox)).json() == {"success": True}
        assert code(client.delete(url, headers=server(sandbox))) == (404, "PERMISSION_NOT_FOUND")
        for permission, answer in [
            ("team_admin", (404, "WRONG_PERMISSION_SCOPE")),
            ("nope", (404, "PERMISSION_NOT_FOUND")),
            ("$nope", (400, "SCHEMA_ERROR")),
            ("No-Pe", (400, "SCHEMA_ERROR")),
        ]:
            url = f"/project-permissions/{user.id}/{permission}"
            assert code(client.post(url, headers=server(sandbox), json={})) == answer

    def test_the_project_can_be_read(self, sandbox: Sandbox, client: httpx.Client) -> None:
        body = client.get("/projects/current", headers=browser(sandbox)).json()
        assert body["id"] == sandbox.config.project_id
        assert body["config"]["allow_user_api_keys"] is True


class TestSessions:
    def listed(self, client: httpx.Client, headers: dict[str, str], user: SandboxUser) -> list[dict[str, Any]]:
        response = client.get("/auth/sessions", params={"user_id": user.id}, headers=headers)
        assert response.status_code == 200
        items: list[dict[str, Any]] = response.json()["items"]
        return items

    def test_signing_out_ends_the_session_but_not_the_token(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user()
        token = sandbox.token(user)
        session_id = decoded(token)["refresh_token_id"]
        assert [item["id"] for item in self.listed(client, server(sandbox), user)] == [session_id]
        sandbox.sign_out(user)
        assert self.listed(client, server(sandbox), user) == []
        assert client.get("/users/me", headers=browser(sandbox, token)).status_code == 200

    def test_a_browser_signs_itself_out_once(self, sandbox: Sandbox, client: httpx.Client) -> None:
        headers = browser(sandbox, sandbox.token(sandbox.create_user()))
        assert client.delete("/auth/sessions/current", headers=headers).json() == {"success": True}
        assert client.delete("/auth/sessions/current", headers=headers).status_code == 500
        response = client.delete("/auth/sessions/current", headers=browser(sandbox))
        assert code(response) == (401, "ACCESS_TOKEN_EXPIRED")

    def test_a_refresh_token_serves_again_and_again(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user()
        session = sandbox.new_session(user)
        headers = browser(sandbox) | {"x-stack-refresh-token": session.refresh_token}
        for _ in range(2):
            token = client.post("/auth/sessions/current/refresh", headers=headers).json()["access_token"]
            assert decoded(token)["refresh_token_id"] == session.id
        assert self.listed(client, server(sandbox), user)[0]["last_used_at"] > 0
        sandbox.delete_user(user)
        response = client.post("/auth/sessions/current/refresh", headers=headers)
        assert code(response) == (401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
        response = client.post("/auth/sessions/current/refresh", headers=browser(sandbox))
        assert code(response) == (400, "SCHEMA_ERROR")

    def test_a_server_makes_and_ends_sessions(self) -> None:
        now = NOW
        sandbox = Sandbox(clock=lambda: now)
        user = sandbox.create_user()
        with in_process(sandbox) as client:
            body = {"user_id": user.id, "expires_in_millis": 60_000}
            made = client.post("/auth/sessions", headers=server(sandbox), json=body).json()
            session_id = decoded(made["access_token"])["refresh_token_id"]
            assert [item["id"] for item in self.listed(client, server(sandbox), user)] == [session_id]
            url = f"/auth/sessions/{session_id}?user_id={user.id}"
            mine = browser(sandbox, made["access_token"])
            assert self.listed(client, mine, user)[0]["is_current_session"] is True
            assert code(client.delete(url, headers=mine)) == (400, "CANNOT_DELETE_CURRENT_SESSION")
            now += 60
            assert self.listed(client, server(sandbox), user) == []
            headers = browser(sandbox) | {"x-stack-refresh-token": made["refresh_token"]}
            assert client.post("/auth/sessions/current/refresh", headers=headers).status_code == 401
            assert client.delete(url, headers=server(sandbox)).status_code == 200
            assert code(client.delete(url, headers=server(sandbox))) == (404, None)
            unknown = client.post("/auth/sessions", headers=server(sandbox), json={"user_id": NOBODY})
            assert code(unknown) == (400, "USER_ID_DOES_NOT_EXIST")

    def test_impersonation_shows_to_admins_only(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user = sandbox.create_user()
        body = {"user_id": user.id, "is_impersonation": True}
        client.post("/auth/sessions", headers=server(sandbox), json=body)
        admin = browser(sandbox) | {
            "x-stack-access-type": "admin",
            "x-stack-super-secret-admin-key": sandbox.super_secret_admin_key,
        }
        assert self.listed(client, server(sandbox), user) == []
        assert self.listed(client, admin, user)[0]["is_impersonation"] is True

    def test_a_browser_sees_only_its_own(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user, other = sandbox.create_user(), sandbox.create_user()
        headers = browser(sandbox, sandbox.token(user))
        assert client.get("/auth/sessions", params={"user_id": other.id}, headers=headers).status_code == 403
        assert code(client.get("/auth/sessions", headers=headers)) == (400, "SCHEMA_ERROR")


class TestApiKeys:
    def check(self, client: httpx.Client, sandbox: Sandbox, value: str, owner: str = "user") -> httpx.Response:
        return client.post(f"/{owner}-api-keys/check", headers=server(sandbox), json={"api_key": value})

    @pytest.mark.parametrize(("is_public", "prefix", "flag"), [(False, "sk", "1"), (True, "pk", "3")])
    def test_the_string_is_well_formed(self, sandbox: Sandbox, is_public: bool, prefix: str, flag: str) -> None:
        key = sandbox.create_api_key(sandbox.create_user(), is_public=is_public)
        pattern = r"([a-zA-Z0-9_]+)_(\w{45})(\w{32})(\w{4})(\w)(574ck4u7h)(\w{8})"
        parts = re.fullmatch(pattern, key.value, re.ASCII)
        assert parts
        assert parts.group(1, 4, 5) == (prefix, "user", flag)
        assert parts[3] == key.id.replace("-", "")
        assert int(parts[7], 16) == zlib.crc32(key.value[:-8].encode())
        assert key.value not in repr(key)

    def test_check_and_its_failures(self, sandbox: Sandbox, client: httpx.Client) -> None:
        user, team = sandbox.create_user(), sandbox.create_team()
        good, of_team = sandbox.create_api_key(user, description="CLI"), sandbox.create_api_key(team=team)
        body = self.check(client, sandbox, good.value).json()
        assert (body["user_id"], body["description"]) == (user.id, "CLI")
        assert body["value"] == {"last_four": good.value[-4:]}
        assert not {"expires_at_millis", "manually_revoked_at_millis"} & set(body)
        assert self.check(client, sandbox, of_team.value, "team").json()["team_id"] == team.id
        assert code(self.check(client, sandbox, of_team.value)) == (400, "WRONG_API_KEY_TYPE")
        expired = sandbox.create_api_key(user, expires_in=-1)
        assert code(self.check(client, sandbox, expired.value)) == (401, "API_KEY_EXPIRED")
        sandbox.revoke_api_key(expired)
        assert code(self.check(client, sandbox, expired.value)) == (401, "API_KEY_REVOKED")
        assert code(self.check(client, sandbox, good.value + "0")) == (404, "API_KEY_NOT_FOUND")

    def test_team_keys_are_addressed_with_their_team(self, sandbox: Sandbox, client: httpx.Client) -> None:
        team, other = sandbox.create_team(), sandbox.create_team()
        key = sandbox.create_api_key(team=team)
        url = f"/team-api-keys/{key.id}"
        assert client.get(url, params={"team_id": team.id}, headers=server(sandbox)).json()["id"] == key.id
        response = client.get(url, params={"team_id": other.id}, headers=server(sandbox))
        assert code(response) == (404, "API_KEY_NOT_FOUND")
        response = client.patch(f"{url}?team_id={team.id}", headers=server(sandbox), json={"revoked": True})
        assert response.json()["manually_revoked_at_millis"] > 0
        assert code(self.check(client, sandbox, key.value, "team")) == (401, "API_KEY_REVOKED")

    def test_a_key_has_one_owner(self, sandbox: Sandbox) -> None:
        user, team = sandbox.create_user(), sandbox.create_team()
        with pytest.raises(TypeError):
            sandbox.create_api_key()
        with pytest.raises(TypeError):
            sandbox.create_api_key(user, team)


class TestWebhooks:
    def test_a_delivery_verifies_with_the_secret_in_the_config(self, sandbox: Sandbox) -> None:
        body, headers = sandbox.webhook("user.deleted", {"id": NOBODY, "name": "Zoë"})
        (secret,) = sandbox.config.webhook_secrets
        standard = {name.replace("svix", "webhook"): value for name, value in headers.items()}
        assert Webhook(secret).verify(body, standard) == json.loads(body)
        assert json.loads(body) == {"type": "user.deleted", "data": {"id": NOBODY, "name": "Zoë"}}
        assert secret.startswith("whsec_")

    def test_a_delivery_can_be_repeated_and_be_late(self, sandbox: Sandbox) -> None:
        first = sandbox.webhook("stack.test", {}, id="msg_1", timestamp=NOW)
        assert first == sandbox.webhook("stack.test", {}, id="msg_1", timestamp=NOW)
        assert (first[1]["svix-id"], first[1]["svix-timestamp"]) == ("msg_1", "1800000000")
        assert sandbox.webhook("stack.test", {})[1]["svix-id"] != sandbox.webhook("stack.test", {})[1]["svix-id"]


class TestOutages:
    @BOTH_WAYS
    def test_no_connection(self, sandbox: Sandbox, connect: Any) -> None:
        with connect(sandbox) as client:
            outage = sandbox.outage()
            with pytest.raises(httpx.TransportError):
                jwks(client, sandbox)
            outage.end()
            outage.end()
            assert jwks(client, sandbox).status_code == 200

    @BOTH_WAYS
    def test_bad_answers(self, sandbox: Sandbox, connect: Any) -> None:
        with connect(sandbox) as client:
            with sandbox.outage("error"):
                failed = jwks(client, sandbox)
            with sandbox.outage("garbage"):
                garbage = jwks(client, sandbox)
            with sandbox.outage("rate_limit", retry_after=7):
                limited = jwks(client, sandbox)
            with sandbox.outage("rate_limit", retry_after=None):
                silent = jwks(client, sandbox)
            assert jwks(client, sandbox).status_code == 200
        assert (failed.status_code, failed.headers["content-type"]) == (500, "text/plain; charset=utf-8")
        assert (garbage.status_code, garbage.headers["content-type"]) == (200, "text/html")
        assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
        assert "retry-after" not in silent.headers

    def test_only_some_paths(self, sandbox: Sandbox, client: httpx.Client) -> None:
        with sandbox.outage("error", paths=("/team-permissions", "/teams")):
            assert client.get("/team-permissions", headers=server(sandbox)).status_code == 500
            assert client.get("/teams", headers=server(sandbox)).status_code == 500
            assert jwks(client, sandbox).status_code == 200

    def test_outages_may_overlap(self, sandbox: Sandbox, client: httpx.Client) -> None:
        with sandbox.outage("error", paths="/teams"):
            with sandbox.outage():
                with pytest.raises(httpx.ConnectError):
                    jwks(client, sandbox)
                assert client.get("/teams").status_code == 500
            assert client.get("/teams").status_code == 500
        assert client.get("/teams").status_code == 400


class TestPackage:
    def test_the_fixture_is_a_fresh_sandbox(self, tmp_path: Any) -> None:
        (tmp_path / "test_it.py").write_text(
            "import sys\n"
            "def test_before():\n    assert 'hexclave_integrations.testing' not in sys.modules\n"
            "def test_fixture(hexclave_sandbox):\n    assert hexclave_sandbox.config.transport\n"
        )
        command = [sys.executable, "-m", "pytest", "-q", "-p", "hexclave_integrations._tools.pytest_plugin"]
        command += ["-p", "no:cacheprovider", str(tmp_path)]
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert result.returncode == 0, result.stdout + result.stderr

    def test_loading_the_plugin_imports_nothing_heavy(self) -> None:
        script = (
            "import sys, pytest; before = set(sys.modules); import hexclave_integrations._tools.pytest_plugin; "
            "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
            "print(sorted(new & {'httpx', 'jwt', 'cryptography', 'standardwebhooks', 'socketserver', 'http'}))"
        )
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "[]"

    def test_public_names_are_sorted(self) -> None:
        assert testing.__all__ == sorted(testing.__all__)
        assert all(hasattr(testing, name) for name in testing.__all__)

    def test_handles_hide_secrets_and_do_not_change(self, sandbox: Sandbox) -> None:
        session: SandboxSession = sandbox.new_session(sandbox.create_user())
        assert session.refresh_token not in repr(session)
        with pytest.raises(AttributeError):
            session.id = "other"  # type: ignore[misc]  # the point


def test_the_fixtures_changes_are_noticed_at_once(hexclave_sandbox: Sandbox) -> None:
    """A test that grants and revokes need not wait until an answer is forgotten; a plain sandbox is as production."""
    alice, team = hexclave_sandbox.create_user(), hexclave_sandbox.create_team()
    key = hexclave_sandbox.create_api_key(user=alice)
    with HexclaveClient(hexclave_sandbox.config) as client:
        assert not client.has_permission(alice.id, "export", team.id)
        hexclave_sandbox.grant(alice, "export", team=team)
        assert client.has_permission(alice.id, "export", team.id)
        hexclave_sandbox.define_permission("download")
        hexclave_sandbox.define_permission("export", contains=["download"])
        assert client.has_permission(alice.id, "download", team.id)
        with hexclave_sandbox.outage():  # what does not change is remembered
            assert client.has_permission(alice.id, "export", team.id)
        assert client.is_team_member(alice.id, team.id)
        hexclave_sandbox.remove_member(team, alice)
        assert not client.has_permission(alice.id, "export", team.id)
        assert not client.is_team_member(alice.id, team.id)

        assert client.check_api_key(key.value).user_id == alice.id
        hexclave_sandbox.revoke_api_key(key)
        with pytest.raises(ApiKeyRevoked):
            client.check_api_key(key.value)


def test_a_hidden_status_is_recorded_as_what_it_is(client: httpx.Client, sandbox: Sandbox) -> None:
    """The JavaScript SDK asks for every refusal as a 200; what was refused is seen all the same."""
    overridden = {"x-stack-override-error-status": "true"}
    for headers, seen in (({}, 400), (overridden, 200)):
        assert client.get("/users/me", headers=headers).status_code == seen
        assert sandbox.requests[-1].status == 400


def test_what_is_recorded_is_bounded() -> None:
    """A sandbox that is served for days keeps the newest requests, which are a list as ever."""
    sandbox = Sandbox()
    transport: Any = sandbox.config.transport
    with httpx.Client(transport=transport, base_url=sandbox.config.api_url) as client:
        for number in range(10_003):
            client.get(f"/{number}")
    assert len(sandbox.requests) == 10_000
    assert [request.path for request in sandbox.requests[:2]] == ["/3", "/4"]
    assert sandbox.requests[-1].path == "/10002"
    sandbox.requests.clear()
    assert sandbox.requests == []
