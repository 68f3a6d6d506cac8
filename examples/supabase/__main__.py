"""`python -m examples.supabase`: who sees which rows, with a whole Hexclave in memory and a private PostgreSQL.

The two parts that stand in for Supabase, a PostgreSQL server and what PostgREST does with a token, are the tests' own:
run it from the root of the repository.
"""

from __future__ import annotations

import secrets
import sys

import httpx
import psycopg
import pytest

from hexclave_integrations.testing import Sandbox
from tests._postgrest import Postgrest, create_database
from tests._services import running_postgres

from ..demo.servers import running_asgi

API_KEY = "sb_publishable_for_this_demo"
# Of each person: the status of the token endpoint, the rows the browser sees with what it got, those the server reads.
EXPECTED = {
    "nobody": (401, [1], [1]),
    "Bob": (200, [1, 2], [1, 2]),
    "Alice": (200, [1, 2, 3], [1, 2, 3]),
    "restricted": (403, [1], 403),
    "anonymous": (401, [1], 401),
}


def main() -> int:
    """Run the story; 0 when everybody saw what the policies say."""
    try:
        with running_postgres() as server:
            return _play(create_database(server, "supabase"))
    except pytest.skip.Exception as reason:
        print(f"This needs a PostgreSQL server's binaries: {reason}.")
        return 2


def _play(database: str) -> int:
    secret = secrets.token_urlsafe(48)
    sandbox = Sandbox()
    with sandbox.serve() as hexclave:
        alice = sandbox.create_user(display_name="Alice")
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE data SET user_id = %s WHERE id = 3", [alice.id])
        people = {
            "nobody": {},
            "Bob": sandbox.headers(sandbox.create_user(display_name="Bob")),
            "Alice": sandbox.headers(alice),
            "restricted": sandbox.headers(sandbox.create_user("restricted")),
            "anonymous": sandbox.headers(sandbox.create_user("anonymous")),
        }
        with Postgrest(database, secret=secret, api_keys=[API_KEY]).serve() as supabase:
            environ = {
                "HEXCLAVE_API_URL": hexclave,
                "HEXCLAVE_PROJECT_ID": sandbox.config.project_id,
                "SUPABASE_URL": supabase,
                "SUPABASE_ANON_KEY": API_KEY,
                "SUPABASE_JWT_SECRET": secret,
            }
            with running_asgi("examples.supabase.main:app", environ) as backend, httpx.Client(timeout=20) as client:
                seen = {who: _ask(client, backend, supabase, headers) for who, headers in people.items()}
    print(f"\n{'who':<12}{'token':>7}  {'rows in the browser':<21}{'rows through the server'}")
    for who, (status, browser, through_server) in seen.items():
        mark = "" if seen[who] == EXPECTED[who] else "  WRONG"
        print(f"{who:<12}{status:>7}  {browser!s:<21}{through_server}{mark}")
    right = seen == EXPECTED
    print("\nEverybody saw what the policies say." if right else "\nSomebody saw what they should not.")
    return 0 if right else 1


def _ask(
    client: httpx.Client, backend: str, supabase: str, headers: dict[str, str]
) -> tuple[int, list[int], list[int] | int]:
    """What one person gets: from the token endpoint, then from Supabase itself, then through the server."""
    token = client.get(f"{backend}/supabase-token", headers=headers)
    bearer = {"Authorization": f"Bearer {token.json()['token']}"} if token.status_code == 200 else {}
    rows = client.get(f"{supabase}/rest/v1/data", headers={"apikey": API_KEY, **bearer}).json()
    notes = client.get(f"{backend}/notes", headers=headers)
    through_server = [row["id"] for row in notes.json()] if notes.status_code == 200 else notes.status_code
    return token.status_code, [row["id"] for row in rows], through_server


if __name__ == "__main__":
    sys.exit(main())
