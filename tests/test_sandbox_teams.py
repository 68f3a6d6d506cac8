"""The sandbox's teams: lists, member profiles, invitations and permission definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hexclave_integrations.testing import Sandbox, SandboxTeam, SandboxUser

from ._sandbox_api import Api, code

CALLBACK = "http://localhost:3000/handler/team-invitation?lang=de&code=old"
WEEK = 7 * 86_400


class World:
    """Ada is `team_admin` and Bob a member; Carol, whose address is verified, is neither."""

    def __init__(self) -> None:
        self.now = 1_795_490_000.0
        self.sandbox = Sandbox(clock=lambda: self.now)
        self.api = Api(self.sandbox)
        self.ada = self.sandbox.create_user(display_name="Ada", primary_email="ada@example.test")
        self.bob = self.sandbox.create_user(display_name="Bob")
        self.carol = self.sandbox.create_user(primary_email="carol@example.test", primary_email_verified=True)
        self.team = self.sandbox.create_team("Team", self.ada)
        self.sandbox.add_member(self.team, self.bob)

    def is_member(self, user: SandboxUser, team: SandboxTeam | None = None) -> bool:
        path = f"/team-member-profiles/{(team or self.team).id}/{user.id}"
        return self.api.server("GET", path).status_code == 200

    def send(self, user: SandboxUser | None = None, email: str = "carol@example.test") -> Any:
        body = {"team_id": self.team.id, "email": email, "callback_url": CALLBACK}
        if user is None:
            return self.api.server("POST", "/team-invitations/send-code", body)
        return self.api.browser(user, "POST", "/team-invitations/send-code", body)

    def code(self) -> str:
        """A code that invites Carol."""
        return str(self.sandbox.invite(self.team, "carol@example.test").code)

    def accept(self, user: SandboxUser | None, text: str, what: str = "") -> Any:
        return self.api.browser(user, "POST", f"/team-invitations/accept{what}", {"code": text})


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.api.close()


class TestTeams:
    def test_a_browser_may_not_write_what_only_a_server_may(self, world: World) -> None:
        """The fields are unknown to it, when a team is made and when it is changed."""
        for fields in ({"server_metadata": 1}, {"client_read_only_metadata": 1}):
            made = world.api.browser(world.ada, "POST", "/teams", {"display_name": "Mine"} | fields)
            assert code(made) == (400, "SCHEMA_ERROR")
            changed = world.api.browser(world.ada, "PATCH", f"/teams/{world.team.id}", fields)
            assert code(changed) == (400, "SCHEMA_ERROR")
            assert world.api.server("PATCH", f"/teams/{world.team.id}", fields).status_code == 200

    def test_a_list_with_a_limit_comes_in_pages(self, world: World) -> None:
        """Without one it is whole, and says that it has no pages."""
        ids = [world.team.id, *(world.sandbox.create_team(f"Team {n}").id for n in range(2))]
        whole = world.api.server("GET", "/teams").json()
        assert ([item["id"] for item in whole["items"]], whole["is_paginated"]) == (ids, False)
        first = world.api.server("GET", "/teams?limit=2").json()
        assert [item["id"] for item in first["items"]] == ids[:2]
        cursor = first["pagination"]["next_cursor"]
        rest = world.api.server("GET", f"/teams?limit=2&cursor={cursor}").json()
        assert ([item["id"] for item in rest["items"]], rest["pagination"]["next_cursor"]) == (ids[2:], None)
        backwards = world.api.server("GET", "/teams?desc=true&order_by=created_at").json()
        assert [item["id"] for item in backwards["items"]] == ids[::-1]
        found = world.api.server("GET", "/teams?query=TEAM 1").json()["items"]
        assert [item["display_name"] for item in found] == ["Team 1"]

    def test_members_change_their_own_profile_in_a_team(self, world: World) -> None:
        """Null shows their own name again; nobody changes another's, and a server any."""
        path = f"/team-member-profiles/{world.team.id}"
        mine = world.api.browser(world.bob, "PATCH", f"{path}/me", {"display_name": "Bobby"}).json()
        assert (mine["display_name"], "user" in mine) == ("Bobby", False)
        assert code(world.api.browser(world.bob, "PATCH", f"{path}/{world.ada.id}", {})) == (403, None)
        seen = world.api.server("GET", f"{path}/{world.bob.id}").json()
        assert (seen["display_name"], seen["user"]["display_name"]) == ("Bobby", "Bob")
        reset = world.api.server("PATCH", f"{path}/{world.bob.id}", {"display_name": None})
        assert reset.json()["display_name"] == "Bob"
        outside = world.api.browser(world.carol, "PATCH", f"{path}/me", {"display_name": "C"})
        assert code(outside) == (404, "TEAM_MEMBERSHIP_NOT_FOUND")

    def test_a_profile_ends_with_the_membership(self, world: World) -> None:
        """Who comes back has none."""
        path = f"/team-member-profiles/{world.team.id}/{world.bob.id}"
        world.api.server("PATCH", path, {"display_name": "Bobby"})
        world.sandbox.remove_member(world.team, world.bob)
        world.sandbox.add_member(world.team, world.bob)
        assert world.api.server("GET", path).json()["display_name"] == "Bob"


class TestInvitations:
    def test_the_code_of_the_email_lets_somebody_in_once(self, world: World) -> None:
        """As a member with what members may; the code is of no more use, to them and to others."""
        sent = world.send(world.bob)
        assert sent.json() == {"success": True, "id": sent.json()["id"]}
        mail = world.sandbox.emails[-1]
        assert (mail.to, mail.kind) == ("carol@example.test", "team_invitation")
        assert parse_qs(urlsplit(str(mail.link)).query) == {"lang": ["de"], "code": [mail.code]}
        text = str(mail.code)
        assert len(text) == 45
        assert world.accept(None, text, "/check-code").json() == {"is_code_valid": True}
        details = {"team_id": world.team.id, "team_display_name": "Team"}
        assert world.accept(world.carol, text, "/details").json() == details
        assert not world.is_member(world.carol)
        assert world.accept(world.carol, text.upper()).json() == {}
        assert world.is_member(world.carol)
        held = world.api.server("GET", f"/team-permissions?user_id={world.carol.id}").json()["items"]
        assert [item["id"] for item in held] == ["team_member"]
        dan = world.sandbox.create_user()
        for what in ("", "/details", "/check-code"):
            assert code(world.accept(dan, text, what)) == (409, "VERIFICATION_CODE_ALREADY_USED")
        assert not world.is_member(dan)

    def test_a_code_that_was_never_sent_lets_nobody_in(self, world: World) -> None:
        """404."""
        for text in ("", "0" * 45, world.code()[:-1]):
            assert code(world.accept(world.carol, text)) == (404, "VERIFICATION_CODE_NOT_FOUND")
        assert not world.is_member(world.carol)

    def test_a_code_lasts_a_week(self, world: World) -> None:
        """Then it is refused, and its invitation is no longer listed."""
        text = world.code()
        world.now += WEEK
        assert code(world.accept(world.carol, text)) == (400, "VERIFICATION_CODE_EXPIRED")
        assert world.api.server("GET", f"/team-invitations?team_id={world.team.id}").json()["items"] == []
        assert not world.is_member(world.carol)

    def test_nobody_and_restricted_users_do_not_get_in(self, world: World) -> None:
        """The code stays good for who may."""
        text = world.code()
        for what in ("", "/details"):
            assert code(world.accept(None, text, what)) == (401, "USER_AUTHENTICATION_REQUIRED")
            for kind in ("restricted", "anonymous"):
                user = world.sandbox.create_user(kind)
                answer = code(world.accept(user, text, what))
                assert answer == (403, "TEAM_INVITATION_RESTRICTED_USER_NOT_ALLOWED")
                assert not world.is_member(user)
        assert world.accept(world.carol, text).status_code == 200

    def test_inviting_takes_the_permission(self, world: World) -> None:
        """Nobody, who is no member and who may not are refused, and no e-mail is written."""
        world.sandbox.revoke(world.bob, "team_member", world.team)
        assert code(world.send(world.bob)) == (401, "TEAM_PERMISSION_REQUIRED")
        assert code(world.send(world.carol)) == (401, "TEAM_PERMISSION_REQUIRED")
        body = {"team_id": world.team.id, "email": "x@example.test", "callback_url": CALLBACK}
        nobody = world.api.browser(None, "POST", "/team-invitations/send-code", body)
        assert code(nobody) == (401, "USER_AUTHENTICATION_REQUIRED")
        assert code(world.send(email="no address")) == (400, "SCHEMA_ERROR")
        unknown = body | {"team_id": "11111111-1111-4111-8111-111111111111"}
        assert code(world.api.server("POST", "/team-invitations/send-code", unknown)) == (404, "TEAM_NOT_FOUND")
        elsewhere = world.api.server(
            "POST", "/team-invitations/send-code", body | {"callback_url": "https://evil.example/"}
        )
        assert code(elsewhere) == (400, "REDIRECT_URL_NOT_WHITELISTED")
        assert world.sandbox.emails == []

    def test_a_team_lists_and_revokes_its_invitations(self, world: World) -> None:
        """Members list them, who may remove members revokes them, and a revoked code is unknown."""
        text = world.code()
        listing = f"/team-invitations?team_id={world.team.id}"
        items = world.api.browser(world.bob, "GET", listing).json()["items"]
        assert [(item["recipient_email"], item["team_display_name"]) for item in items] == [
            ("carol@example.test", "Team")
        ]
        assert items[0]["expires_at_millis"] == int((world.now + WEEK) * 1000)
        assert "code" not in items[0]
        assert code(world.api.browser(world.carol, "GET", listing)) == (404, "TEAM_MEMBERSHIP_NOT_FOUND")
        one = f"/team-invitations/{items[0]['id']}"
        assert code(world.api.browser(world.bob, "DELETE", f"{one}?team_id={world.team.id}"))[1] == (
            "TEAM_PERMISSION_REQUIRED"
        )
        assert code(world.api.server("DELETE", one)) == (400, None)
        other = world.sandbox.create_team()
        elsewhere = code(world.api.server("DELETE", f"{one}?team_id={other.id}"))
        assert elsewhere == (404, "VERIFICATION_CODE_NOT_FOUND")
        assert world.api.browser(world.ada, "DELETE", f"{one}?team_id={world.team.id}").json() == {"success": True}
        assert code(world.accept(world.carol, text)) == (404, "VERIFICATION_CODE_NOT_FOUND")

    def test_users_accept_what_was_sent_to_their_verified_address(self, world: World) -> None:
        """Without the code; for another's address, or one that is not verified, there is no such invitation."""
        world.code()
        world.sandbox.invite(world.team, "ada@example.test")
        mine = world.api.browser(world.carol, "GET", "/team-invitations?user_id=me").json()["items"]
        assert [item["team_id"] for item in mine] == [world.team.id]
        assert world.api.browser(world.ada, "GET", "/team-invitations?user_id=me").json()["items"] == []
        path = f"/team-invitations/{mine[0]['id']}/accept"
        dan = world.sandbox.create_user(primary_email="carol2@example.test", primary_email_verified=True)
        assert code(world.api.browser(dan, "POST", f"{path}?user_id=me")) == (404, "VERIFICATION_CODE_NOT_FOUND")
        others = world.api.browser(dan, "POST", f"{path}?user_id={world.carol.id}")
        assert code(others) == (400, "CANNOT_GET_OWN_USER_WITHOUT_USER")
        assert not world.is_member(dan)
        assert not world.is_member(world.carol)
        assert world.api.browser(world.carol, "POST", f"{path}?user_id=me").json() == {}
        assert world.is_member(world.carol)
        again = world.api.server("POST", f"{path}?user_id={world.carol.id}")
        assert code(again) == (404, "VERIFICATION_CODE_NOT_FOUND")

    def test_any_verified_address_of_a_user_counts(self, world: World) -> None:
        """One that is not verified does not."""
        world.sandbox.invite(world.team, "second@example.test")
        channel = {"user_id": world.carol.id, "type": "email", "value": "second@example.test", "used_for_auth": False}
        made = world.api.server("POST", "/contact-channels", channel).json()
        assert world.api.browser(world.carol, "GET", "/team-invitations?user_id=me").json()["items"] == []
        world.api.server("PATCH", f"/contact-channels/{world.carol.id}/{made['id']}", {"is_verified": True})
        (item,) = world.api.browser(world.carol, "GET", "/team-invitations?user_id=me").json()["items"]
        accepted = world.api.browser(world.carol, "POST", f"/team-invitations/{item['id']}/accept?user_id=me")
        assert accepted.json() == {}
        assert world.is_member(world.carol)

    @pytest.mark.parametrize("query", ["", "?team_id={team}&user_id={user}"])
    def test_a_list_is_of_one_team_or_of_one_user(self, world: World, query: str) -> None:
        """Neither and both are refused."""
        path = "/team-invitations" + query.format(team=world.team.id, user=world.carol.id)
        assert code(world.api.server("GET", path)) == (400, None)

    def test_an_accepted_invitation_tells_of_a_member_like_any_other(self, world: World) -> None:
        """One webhook of the membership, one of the permission; who is a member already makes none."""
        told: list[tuple[str, Any]] = []

        def receive(body: bytes, headers: Mapping[str, str]) -> int:
            told.append((json.loads(body)["type"], json.loads(body)["data"]))
            return 200

        codes = [world.code(), world.code()]
        with world.sandbox.deliver_webhooks_to(receive):
            for text in codes:
                assert world.accept(world.carol, text).status_code == 200
            world.sandbox.flush_webhooks()
        both = {"team_id": world.team.id, "user_id": world.carol.id}
        assert told == [
            ("team_membership.created", both),
            ("team_permission.created", both | {"id": "team_member"}),
        ]

    def test_invitations_end_with_their_team(self, world: World) -> None:
        """The code leads nowhere."""
        text = world.code()
        world.sandbox.delete_team(world.team)
        assert code(world.accept(world.carol, text)) == (404, "VERIFICATION_CODE_NOT_FOUND")


class TestDefinitions:
    def test_an_administrator_defines_and_changes_permissions(self, world: World) -> None:
        """A renamed one is held by who held it; a deleted one by nobody."""
        path = "/team-permission-definitions"
        body = {"id": "editor", "description": "Edits", "contained_permission_ids": ["$read_members"]}
        made = world.api.admin("POST", path, body)
        assert (made.status_code, made.json()) == (201, body)
        world.sandbox.grant(world.bob, "editor", world.team)

        def held() -> set[str]:
            query = f"team_id={world.team.id}&user_id={world.bob.id}"
            return {item["id"] for item in world.api.server("GET", f"/team-permissions?{query}").json()["items"]}

        renamed = world.api.admin("PATCH", f"{path}/editor", {"id": "writer"}).json()
        assert renamed == body | {"id": "writer"}
        assert held() == {"team_member", "writer"}
        listed = [item["id"] for item in world.api.admin("GET", path).json()["items"]]
        assert "writer" in listed
        assert "$update_team" in listed
        assert world.api.admin("DELETE", f"{path}/writer").json() == {"success": True}
        assert held() == {"team_member"}

    @pytest.mark.parametrize(
        ("method", "path", "body", "answer"),
        [
            ("POST", "", {"id": "team_admin"}, (400, "PERMISSION_ID_ALREADY_EXISTS")),
            ("POST", "", {"id": "$mine"}, (400, "SCHEMA_ERROR")),
            ("POST", "", {"id": "Mine"}, (400, "SCHEMA_ERROR")),
            ("POST", "", {}, (400, "SCHEMA_ERROR")),
            ("POST", "", {"id": "a", "contained_permission_ids": ["b"]}, (400, "CONTAINED_PERMISSION_NOT_FOUND")),
            ("PATCH", "/team_member", {"id": "team_admin"}, (400, "PERMISSION_ID_ALREADY_EXISTS")),
            ("PATCH", "/unknown", {}, (404, "PERMISSION_NOT_FOUND")),
            ("DELETE", "/unknown", None, (404, "PERMISSION_NOT_FOUND")),
            ("DELETE", "/$update_team", None, (404, "PERMISSION_NOT_FOUND")),
            ("DELETE", "/of_project", None, (404, "PERMISSION_NOT_FOUND")),
        ],
    )
    def test_what_cannot_be_defined_is_refused(
        self, world: World, method: str, path: str, body: Any, answer: tuple[int, str]
    ) -> None:
        """And nothing is changed."""
        world.sandbox.define_permission("of_project", scope="project")
        before = world.api.admin("GET", "/team-permission-definitions").json()
        assert code(world.api.admin(method, f"/team-permission-definitions{path}", body)) == answer
        assert world.api.admin("GET", "/team-permission-definitions").json() == before

    def test_definitions_are_for_administrators(self, world: World) -> None:
        """A server and a browser are refused."""
        for scope in ("team", "project"):
            path = f"/{scope}-permission-definitions"
            assert code(world.api.server("GET", path)) == (401, "INSUFFICIENT_ACCESS_TYPE")
            assert code(world.api.browser(world.ada, "GET", path)) == (401, "INSUFFICIENT_ACCESS_TYPE")
            assert world.api.admin("GET", path).status_code == 200
