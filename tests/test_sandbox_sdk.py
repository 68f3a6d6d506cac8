"""Hexclave's own JavaScript clients, in Node, against `hexclave sandbox`: each call gives what a real server gives.

The packages, of the versions in `tests/data/sdk`, are installed once and kept in a cache folder.
"""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from hexclave_integrations import HexclaveClient, HexclaveConfig

from ._sandbox_command import COMMAND, NAMES, environment, running
from ._services import free_port

DATA: Final = Path(__file__).parent / "data" / "sdk"
LIMIT: Final = 120.0


def told(sdk: Path, script: str) -> dict[str, Any]:
    """What a script prints that `hexclave sandbox` runs as its command."""
    command = [*COMMAND, "--port", "0", "--", "node", str(DATA / script)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
        check=False,
        env=environment({"NODE_PATH": str(sdk / "node_modules")}),
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    *variables, line = done.stdout.splitlines()
    assert [variable.partition("=")[0] for variable in variables] == NAMES
    found: dict[str, Any] = json.loads(line)
    return found


def test_client_of_a_signed_in_user(sdk: Path) -> None:
    """Sign-up to sign-out, with everything that a user can see and change of themselves and of their teams."""
    found = told(sdk, "client.cjs")
    user_id, access_token, api_key = (found.pop(name) for name in ("id", "accessToken", "apiKey"))

    assert access_token.count(".") == 2
    assert api_key.startswith("sk_")
    assert len(user_id) == 36
    assert len(found["project"].pop("id")) == 36
    assert found == {
        "project": {
            "signUpEnabled": True,
            "credentialEnabled": True,
            "magicLinkEnabled": True,
            "passkeyEnabled": False,
            "clientTeamCreationEnabled": True,
            "clientUserDeletionEnabled": True,
            "allowTeamApiKeys": True,
            "allowUserApiKeys": True,
            "oauthProviders": [],
        },
        "nobody": None,
        "signUp": "ok",
        "user": {
            "primaryEmail": "ada@example.com",
            "primaryEmailVerified": False,
            "displayName": None,
            "profileImageUrl": None,
            "hasPassword": True,
            "otpAuthEnabled": False,
            "isAnonymous": False,
            "isRestricted": False,
            "restrictedReason": None,
            "clientMetadata": None,
            "clientReadOnlyMetadata": None,
        },
        "refreshToken": "string",
        "taken": "USER_EMAIL_ALREADY_EXISTS",
        "short": "PASSWORD_TOO_SHORT",
        "wrongPassword": "EMAIL_PASSWORD_MISMATCH",
        "unknown": "EMAIL_PASSWORD_MISMATCH",
        "signIn": "ok",
        "verification": ["email_verification", "ada@example.com", "/handler/page"],
        "verified": "ok",
        "verifiedTwice": "VERIFICATION_CODE_ALREADY_USED",
        "channels": [["ada@example.com", True, True, True]],
        "updated": ["Ada", {"theme": "dark"}, True],
        "team": ["Engines", None, "string"],
        "teams": ["Engines"],
        "teamUpdated": ["Steam Engines", {"color": "red"}],
        "selected": True,
        "permissions": [
            "$delete_team",
            "$invite_members",
            "$manage_api_keys",
            "$read_members",
            "$remove_members",
            "$update_team",
            "team_admin",
        ],
        "directPermissions": ["team_admin"],
        "has": [True, False],
        "projectPermissions": [],
        "invitation": ["team_invitation", "otp@example.com"],
        "invitations": ["otp@example.com"],
        "apiKeys": [["laptop", True]],
        "apiKeysValid": [False],
        "sessions": [False, True],
        "sessionsLeft": 1,
        "otherSignedOut": None,
        "passwordChanged": "ok",
        "passwordChangedTwice": "PASSWORD_CONFIRMATION_MISMATCH",
        "forgot": "ok",
        "resetCode": "ok",
        "reset": "ok",
        "signInAfterReset": "ok",
        "signedOut": None,
        "sessionOver": None,
        "anonymous": [True, True, None],
        "anonymousHidden": None,
        "upgrade": "ok",
        "upgraded": [True, False, "late@example.com"],
        "codeSent": "ok",
        "code": ["sign_in_code", "otp@example.com", 6],
        "wrongCode": "VERIFICATION_CODE_NOT_FOUND",
        "codeSignIn": "ok",
        "codeUsedTwice": "VERIFICATION_CODE_ALREADY_USED",
        "codeUser": ["otp@example.com", True, True, False],
        "waiting": "Steam Engines",
        "joined": ["Steam Engines"],
        "memberPermissions": ["$invite_members", "$read_members", "team_member"],
        "memberMayNot": "TEAM_PERMISSION_REQUIRED",
        "left": None,
    }


def test_client_of_a_backend(sdk: Path) -> None:
    """Users, metadata, teams, members, grants, items, the data vault and keys, with the secret server key."""
    found = told(sdk, "server.cjs")

    assert len(found.pop("project")) == 36
    assert found == {
        "taken": "USER_EMAIL_ALREADY_EXISTS",
        "user": ["Ada", "ada@example.com", True, True],
        "metadata": [{"theme": "dark"}, {"plan": "pro"}, {"notes": ["first"]}],
        "noUser": None,
        "page": [["Ada"], True],
        "rest": [["Bob"], None],
        "query": ["Bob"],
        "updated": ["Ada Lovelace", {"plan": "free"}, {"notes": []}, {"theme": "dark"}],
        "restricted": [True, {"type": "restricted_by_administrator"}, "spam"],
        "unrestrictedOnly": ["Ada Lovelace"],
        "lifted": False,
        "team": ["Engines", {"seats": 3}],
        "noTeam": None,
        "twice": "TEAM_MEMBERSHIP_ALREADY_EXISTS",
        "members": [["Ada Lovelace", "Ada Lovelace"], ["Bob", "Bob"]],
        "teams": [1, ["Engines"]],
        "undefinedPermission": "PERMISSION_NOT_FOUND",
        "granted": [True, ["$invite_members", "$read_members", "export_reports", "team_member"]],
        "revoked": False,
        "projectGranted": [True, ["admin"]],
        "projectRevoked": False,
        "invitation": ["carol@example.com", True],
        "invitationsLeft": 0,
        "removed": None,
        "item": ["credits", 0, 0],
        "spent": [True, False],
        "balance": 2,
        "overdrawn": [-8, 0],
        "teamBalance": 2,
        "customBalance": 7,
        "vaultEmpty": None,
        "vault": "größer",
        "vaultOtherSecret": None,
        "keyOfAda": True,
        "keyRevoked": None,
        "keyOfTeam": True,
        "teamKeys": ["deploy"],
        "session": ["string", 1],
        "email": ["ada@example.com", "message", "Hello"],
        "teamDeleted": None,
        "userDeleted": [None, ["Bob"]],
    }


def test_client_goes_on_after_a_restart(sdk: Path, tmp_path: Path) -> None:
    """With `--state`, an SDK that stayed up renews its access token, and a backend takes the new one."""
    options = ("--port", str(free_port()), "--state", str(tmp_path / "state"))
    with running(*options) as first:
        variables = environment(first.variables | {"NODE_PATH": str(sdk / "node_modules")})
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
        with subprocess.Popen(["node", str(DATA / "restart.cjs")], env=variables, text=True, **pipes) as script:
            try:
                assert script.stdout is not None
                before = json.loads(script.stdout.readline())
                assert first.end(signal.SIGTERM)[0] == 0
                with running(*options) as second:
                    out, _ = script.communicate("after the restart\n", timeout=LIMIT)
                    after = json.loads(out)
                    judged = judge(second.config, after.pop("accessToken"))
            finally:
                script.kill()

    assert script.returncode == 0
    assert after == {"id": before["id"], "name": "Ada", "clientMetadata": {"line": "after the restart"}}
    assert judged == before["id"]


def judge(config: HexclaveConfig, token: str) -> str:
    """Who the kit says a token's user is."""
    with HexclaveClient(config) as client:
        user = client.authenticate({"x-stack-access-token": token})
        assert user is not None
        return user.id


@pytest.mark.parametrize("folder", [DATA, DATA.parents[2] / "examples" / "demo" / "sdk"], ids=["tests", "demo"])
def test_packages_are_named_by_version_and_checksum_alone(folder: Path) -> None:
    """A lock file installs from whatever registry a machine has, and nothing that anybody changed."""
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    wanted = json.loads((folder / "package.json").read_text())
    root = locked.pop("")

    for kind in ("dependencies", "devDependencies"):
        assert root.get(kind) == wanted.get(kind)
    for package in locked.values():
        assert package["integrity"].startswith("sha512-")
        assert package.get("resolved", "https://registry.npmjs.org/").startswith("https://registry.npmjs.org/")
