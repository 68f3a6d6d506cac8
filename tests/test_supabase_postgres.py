"""Supabase tokens on a real PostgreSQL: the documentation's table and policies decide who sees which rows."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from postgrest import APIError, SyncPostgrestClient

from hexclave_integrations import HexclaveClient, HexclaveUser
from hexclave_integrations.errors import AnonymousNotAllowed, RestrictedNotAllowed
from hexclave_integrations.fastapi import Hexclave, supabase_router
from hexclave_integrations.supabase import ClaimsRefused, SupabaseSigner
from hexclave_integrations.testing import Sandbox, SandboxUser

from ._minting import encode
from ._postgrest import Postgrest, Refused, create_database

ROOT = Path(__file__).parents[1]
SECRET = "jI4uWv0O5fCYgdq2Vp1zHn8sKtXb7LmR"
PUBLISHABLE = "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH"
KID = "3a18cfe2-7226-43b0-bbb4-7c5242f2406e"
ALGORITHMS = ["HS256", "ES256", "RS256"]
DATABASE = "supabase_proof"


@cache
def keys(algorithm: str) -> tuple[Any, dict[str, Any]]:
    """A key as the signer takes it, and what the database side has to know of it."""
    if algorithm == "HS256":
        return SECRET, {"secret": SECRET}
    if algorithm == "ES256":
        pair = ec.generate_private_key(ec.SECP256R1())
        private, public = (ECAlgorithm.to_jwk(key, as_dict=True) for key in (pair, pair.public_key()))
    else:
        primes = rsa.generate_private_key(65537, 2048)
        private, public = (RSAAlgorithm.to_jwk(key, as_dict=True) for key in (primes, primes.public_key()))
    public |= {"kid": KID, "alg": algorithm}
    return private | {"kid": KID, "key_ops": ["sign", "verify"]}, {"jwks": [public]}


@pytest.fixture(scope="module")
def database(postgres_url: str) -> Iterator[str]:
    """A database of this module's own, with Supabase's part and the documentation's schema; its superuser's URL."""
    url = create_database(postgres_url, DATABASE)
    with psycopg.connect(url) as connection:
        # What a policy may ask about its caller, to look at.
        connection.execute("CREATE VIEW caller AS SELECT current_user AS role, auth.uid() AS id, auth.jwt() AS claims")
        connection.execute("CREATE TABLE account (id bigint PRIMARY KEY)")
        connection.execute("INSERT INTO account VALUES (1)")
        connection.execute("ALTER TABLE account ENABLE ROW LEVEL SECURITY")
        connection.execute(
            "CREATE POLICY accounts ON account TO authenticated "
            "USING ((auth.jwt() ->> 'is_anonymous')::boolean IS NOT TRUE)"
        )
    yield url
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {DATABASE}")


@pytest.fixture
def alice(database: str, hexclave_sandbox: Sandbox) -> SandboxUser:
    """The owner of row 3."""
    owner = hexclave_sandbox.create_user(display_name="Alice")
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE data SET user_id = %s WHERE id = 3", [owner.id])
    return owner


def verified(sandbox: Sandbox, who: SandboxUser) -> HexclaveUser:
    """The user as a client finds them in a request."""
    with HexclaveClient(sandbox.config) as client:
        user = client.authenticate(sandbox.headers(who))
    assert user is not None
    return user


def unsigned(header: dict[str, str], payload: str) -> str:
    return f"{encode(json.dumps(header).encode())}.{payload}."


def by_hand(header: dict[str, str], payload: str, secret: bytes) -> str:
    """A token with an HMAC of any secret, which libraries would refuse to make of a public key."""
    signed = unsigned(header, payload)[:-1]
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def stranger() -> bytes:
    """A private key that no project knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def seen(side: Postgrest, headers: dict[str, str]) -> list[int]:
    """The ids of the rows of the documentation's table."""
    return [row["id"] for row in side.rows("data", {name.lower(): value for name, value in headers.items()})]


def refusal(side: Postgrest, token: str) -> int:
    """The status with which a token is refused."""
    with pytest.raises(Refused) as caught:
        side.rows("data", bearer(token))
    return caught.value.status


# --- the documentation's rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_who_sees_which_rows(algorithm: str, database: str, alice: SandboxUser, hexclave_sandbox: Sandbox) -> None:
    """An anonymous caller, a signed-in user and the owner see 1, 2 and 3 rows, with each kind of key."""
    key, public = keys(algorithm)
    side, signer = Postgrest(database, **public), SupabaseSigner(key)
    bob = hexclave_sandbox.create_user()

    assert seen(side, {}) == [1]
    assert seen(side, signer.headers_for(verified(hexclave_sandbox, bob))) == [1, 2]
    assert seen(side, signer.headers_for(verified(hexclave_sandbox, alice))) == [1, 2, 3]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_database_knows_the_caller(
    algorithm: str, database: str, alice: SandboxUser, hexclave_sandbox: Sandbox
) -> None:
    """Policies find role, id and further claims of the token's user."""
    key, public = keys(algorithm)
    headers = bearer(SupabaseSigner(key).token_for(verified(hexclave_sandbox, alice), {"plan": "free", "é": "ü"}))
    (caller,) = Postgrest(database, **public).rows("caller", headers)

    assert (caller["role"], str(caller["id"])) == ("authenticated", alice.id)
    assert caller["claims"].items() >= {"sub": alice.id, "role": "authenticated", "plan": "free", "é": "ü"}.items()


def test_role_of_its_own(database: str, alice: SandboxUser, hexclave_sandbox: Sandbox) -> None:
    """The signer's role decides which policies count: as `anon`, even the owner sees what everyone sees."""
    side, signer = Postgrest(database, secret=SECRET), SupabaseSigner(SECRET, role="anon")

    assert seen(side, signer.headers_for(verified(hexclave_sandbox, alice))) == [1]


# --- who is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_expired_token(algorithm: str, database: str, alice: SandboxUser, hexclave_sandbox: Sandbox) -> None:
    """A token is refused when its time and the clocks' skew are over, and serves until then."""
    key, public = keys(algorithm)
    side, user = Postgrest(database, **public), verified(hexclave_sandbox, alice)

    def aged(seconds: float) -> str:
        return SupabaseSigner(key, expires_in=60, clock=lambda: time.time() - seconds).token_for(user)

    assert seen(side, bearer(aged(50))) == [1, 2, 3]
    assert refusal(side, aged(60 + 31)) == 401


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_forged_tokens(algorithm: str, database: str, alice: SandboxUser, hexclave_sandbox: Sandbox) -> None:
    """What the project's key did not sign is refused: bent, unsigned, signed by another key, or by the public one."""
    key, public = keys(algorithm)
    side, user = Postgrest(database, **public), verified(hexclave_sandbox, alice)
    genuine = SupabaseSigner(key).token_for(user)
    head, payload, signature = genuine.split(".")
    service = encode(b'{"role":"service_role"}')
    kid = {} if algorithm == "HS256" else {"kid": KID}
    secrets = {"another secret": SECRET[::-1].encode(), "the id as a secret": KID.encode()}
    if algorithm != "HS256":
        pem = jwt.PyJWK(public["jwks"][0]).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        secrets |= {"the public key as a secret": pem, "no secret": b""}

    forged = {
        "another payload": f"{head}.{service}.{signature}",
        "another signature": f"{head}.{payload}.{signature[::-1]}",
        "no signature": f"{head}.{payload}.",
        **{f"alg {name}": unsigned({"alg": name, **kid}, payload) for name in ("none", "None", "nOnE", "")},
        **{name: by_hand({"alg": "HS256", **kid}, payload, secret) for name, secret in secrets.items()},
        "another key": SupabaseSigner(stranger(), kid=KID).token_for(user),
        "garbage": "a.b.c",
        "nothing": "",
    }
    assert {name: refusal(side, token) for name, token in forged.items()} == dict.fromkeys(forged, 401)


def test_wrong_key_for_the_project(database: str, alice: SandboxUser, hexclave_sandbox: Sandbox) -> None:
    """A token of one kind of key is refused by a project that has another, and where its id is not known."""
    user = verified(hexclave_sandbox, alice)
    tokens = {name: SupabaseSigner(keys(name)[0]).token_for(user) for name in ALGORITHMS}

    for name in ALGORITHMS:
        side = Postgrest(database, **keys(name)[1])
        assert {refusal(side, token) for other, token in tokens.items() if other != name} == {401}
    unknown = [keys("ES256")[1]["jwks"][0] | {"kid": "another"}]
    assert refusal(Postgrest(database, jwks=unknown), tokens["ES256"]) == 401


def test_project_that_rotates_its_keys(database: str, alice: SandboxUser, hexclave_sandbox: Sandbox) -> None:
    """While a project moves from the secret to signing keys, tokens of each serve."""
    user = verified(hexclave_sandbox, alice)
    side = Postgrest(database, secret=SECRET, **keys("ES256")[1])

    for name in ("HS256", "ES256"):
        assert seen(side, bearer(SupabaseSigner(keys(name)[0]).token_for(user))) == [1, 2, 3]


def test_restricted_users(database: str, alice: SandboxUser, hexclave_sandbox: Sandbox) -> None:
    """A restricted user gets no token and sees what everyone sees, unless the signer was told otherwise."""
    side = Postgrest(database, secret=SECRET)
    rita = verified(hexclave_sandbox, hexclave_sandbox.create_user("restricted"))

    with pytest.raises(RestrictedNotAllowed):
        SupabaseSigner(SECRET).headers_for(rita)
    assert seen(side, {}) == [1]
    assert seen(side, SupabaseSigner(SECRET, allow_restricted=True).headers_for(rita)) == [1, 2]


def test_anonymous_users(database: str, alice: SandboxUser, hexclave_sandbox: Sandbox) -> None:
    """An anonymous user gets no token unless asked for, and then one that policies can tell from a regular user's."""
    side = Postgrest(database, secret=SECRET)
    guest = verified(hexclave_sandbox, hexclave_sandbox.create_user("anonymous"))
    with pytest.raises(AnonymousNotAllowed):
        SupabaseSigner(SECRET).headers_for(guest)

    signer = SupabaseSigner(SECRET, allow_anonymous=True)
    as_guest, as_alice = (bearer(signer.token_for(user)) for user in (guest, verified(hexclave_sandbox, alice)))
    assert side.rows("caller", as_guest)[0]["claims"]["is_anonymous"] is True
    assert "is_anonymous" not in side.rows("caller", as_alice)[0]["claims"]
    assert (side.rows("account", as_guest), side.rows("account", as_alice)) == ([], [{"id": 1}])
    assert seen(side, as_guest) == [1, 2]  # the documentation's policies do not ask


# --- the service role -----------------------------------------------------------------------------------------


def test_service_role_sees_everything(database: str, alice: SandboxUser) -> None:
    """The database side obeys a genuine service token: what follows shows the signer, not a deaf database."""
    token = jwt.encode({"role": "service_role", "exp": time.time() + 60}, SECRET, "HS256")

    assert seen(Postgrest(database, secret=SECRET), bearer(token)) == [1, 2, 3]


def test_roles_that_are_not_granted(database: str) -> None:
    """A genuine token for a role that the authenticator may not take is refused, and none gives its own rights."""
    side = Postgrest(database, secret=SECRET)

    assert refusal(side, jwt.encode({"role": "postgres"}, SECRET, "HS256")) == 403
    assert refusal(side, jwt.encode({"role": "none"}, SECRET, "HS256")) == 403


@pytest.mark.parametrize(
    "claims",
    [
        *({"role": "service_role"}, {"ROLE": "service_role"}, {"Role": "service_role"}, {"role ": "service_role"}),
        *({"roles": ["service_role"]}, {"app_metadata": {"role": "service_role"}}, {"user_role": "/service_role/"}),
        *({"sub": "someone"}, {"Sub": "someone"}, {"exp": 2**31}, {"aud": "service_role"}),
    ],
    ids=str,
)
def test_no_claim_reaches_the_service_role(
    claims: dict[str, Any], alice: SandboxUser, hexclave_sandbox: Sandbox
) -> None:
    """A claim that PostgREST could take for the role or the user, with some configuration, is never signed."""
    with pytest.raises(ClaimsRefused):
        SupabaseSigner(SECRET).token_for(verified(hexclave_sandbox, alice), claims)


def test_why_claims_are_compared_without_case(database: str) -> None:
    """PostgreSQL's settings know no case: with a PostgREST that sets one for each claim, `Sub` would be the user."""
    victim = "3241a285-8329-4d69-8f3d-316e08cf140c"
    with psycopg.connect(database) as connection:
        connection.execute("SELECT set_config('request.jwt.claim.Sub', %s, true)", [victim])
        found = connection.execute("SELECT auth.uid()::text").fetchone()

    assert found == (victim,)


def test_why_nul_is_refused(database: str) -> None:
    """A token with the character NUL in a claim would fail at every policy that reads the claims."""
    token = jwt.encode({"role": "authenticated", "note": "\0", "sub": KID}, SECRET, "HS256")

    assert refusal(Postgrest(database, secret=SECRET), token) == 400


# --- over HTTP ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_headers_over_http(algorithm: str, database: str, alice: SandboxUser, hexclave_sandbox: Sandbox) -> None:
    """The server's own HTTP client reads a user's rows through the gateway, and nothing without the API key."""
    key, public = keys(algorithm)
    signer, user = SupabaseSigner(key), verified(hexclave_sandbox, alice)
    with serving(Postgrest(database, api_keys=[PUBLISHABLE], **public)) as client:
        rows = client.get("/rest/v1/data", headers=signer.headers_for(user, PUBLISHABLE))
        public_rows = client.get("/rest/v1/data", headers={"apikey": PUBLISHABLE})
        keyless = client.get("/rest/v1/data", headers=signer.headers_for(user))

    assert [row["text"] for row in rows.json()] == [
        "Everyone can see this",
        "Only authenticated users can see this",
        "Only user with specific id can see this",
    ]
    assert [row["id"] for row in public_rows.json()] == [1]
    assert keyless.status_code == 401


def test_postgrest_client(database: str, alice: SandboxUser, hexclave_sandbox: Sandbox) -> None:
    """Supabase's own Python client for PostgREST takes the headers as they are."""
    signer, user = SupabaseSigner(SECRET), verified(hexclave_sandbox, alice)
    side = Postgrest(database, secret=SECRET, api_keys=[PUBLISHABLE])

    def ids(url: str, headers: dict[str, str]) -> list[Any]:
        with httpx.Client() as http, SyncPostgrestClient(f"{url}/rest/v1", headers=headers, http_client=http) as client:
            return [row["id"] for row in client.from_("data").select("*").execute().data]  # type: ignore[index,call-overload]  # JSON

    with side.serve() as url:
        assert ids(url, signer.headers_for(user, PUBLISHABLE)) == [1, 2, 3]
        assert ids(url, {"apikey": PUBLISHABLE}) == [1]
        old = SupabaseSigner(SECRET, clock=lambda: time.time() - 7200).headers_for(user, PUBLISHABLE)
        with pytest.raises(APIError, match="JWT expired"):
            ids(url, old)


def test_whole_chain(database: str, alice: SandboxUser, hexclave_sandbox: Sandbox) -> None:
    """A browser's access token becomes a Supabase token at the application's endpoint, and that the user's rows."""
    app = FastAPI()
    Hexclave(app, hexclave_sandbox.config)
    app.include_router(supabase_router(SupabaseSigner(SECRET)))
    people = {
        "alice": alice,
        "bob": hexclave_sandbox.create_user(),
        "rita": hexclave_sandbox.create_user("restricted"),
        "guest": hexclave_sandbox.create_user("anonymous"),
        "nobody": None,
    }
    statuses: dict[str, int] = {}
    rows: dict[str, list[int]] = {}
    with serving(Postgrest(database, secret=SECRET, api_keys=[PUBLISHABLE])) as supabase, TestClient(app) as backend:
        for name, who in people.items():
            answer = backend.get("/supabase-token", headers=hexclave_sandbox.headers(who) if who else {})
            statuses[name] = answer.status_code
            assert answer.headers["Cache-Control"] == "private, no-store"
            headers = {"apikey": PUBLISHABLE}
            if answer.status_code == 200:
                assert answer.json()["expires_at"] == pytest.approx(time.time() + 3600, abs=10)
                headers |= bearer(answer.json()["token"])
            rows[name] = [row["id"] for row in supabase.get("/rest/v1/data", headers=headers).json()]

    assert statuses == {"alice": 200, "bob": 200, "rita": 403, "guest": 401, "nobody": 401}
    assert rows == {"alice": [1, 2, 3], "bob": [1, 2], "rita": [1], "guest": [1], "nobody": [1]}


@contextmanager
def serving(side: Postgrest) -> Iterator[httpx.Client]:
    """A client of the database side over HTTP."""
    with side.serve() as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


# --- the example ----------------------------------------------------------------------------------------------


def test_example(postgres_url: str) -> None:
    """The example's story ends well, on a PostgreSQL server of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HEXCLAVE_", "STACK_"))}
    command = [sys.executable, "-m", "examples.supabase"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert "Alice           200  [1, 2, 3]            [1, 2, 3]" in done.stdout
    assert "Everybody saw what the policies say." in done.stdout
