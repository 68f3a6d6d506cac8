"""`python -m examples.convex_app`: whom Convex knows, with a whole Hexclave in memory and a stand-in for Convex.

The stand-in, which judges a token as Convex does, is the tests' own: run it from the root of the repository.
"""

from __future__ import annotations

import sys
from typing import Any

import httpx

from hexclave_integrations.convex import providers_config
from hexclave_integrations.testing import Sandbox
from tests._convex import Deployment

from ..demo.servers import running_asgi

# Of each person: what the application answers, and what Convex says to the token itself.
EXPECTED = {
    "nobody": (401, None, "nobody"),
    "Alice": (200, "Alice", "known"),
    "restricted": (403, None, "NoAuthProvider"),
    "anonymous": (401, None, "known"),
}


def main() -> int:
    """Run the story; 0 when everybody was seen as expected."""
    sandbox = Sandbox()
    with sandbox.serve() as hexclave:
        project_id = sandbox.config.project_id
        people = {
            "nobody": {},
            "Alice": sandbox.headers(sandbox.create_user(display_name="Alice")),
            "restricted": sandbox.headers(sandbox.create_user("restricted")),
            "anonymous": sandbox.headers(sandbox.create_user("anonymous")),
        }
        with Deployment(providers_config(project_id, hexclave)).serve() as convex:
            environ = {"HEXCLAVE_API_URL": hexclave, "HEXCLAVE_PROJECT_ID": project_id, "CONVEX_URL": convex}
            with running_asgi("examples.convex_app.main:app", environ) as backend, httpx.Client(timeout=20) as client:
                seen = {who: _ask(client, backend, convex, headers) for who, headers in people.items()}
    print(f"\n{'who':<12}{'status':>7}  {'seen in Convex':<16}the token itself, in Convex")
    for who, (status, name, direct) in seen.items():
        mark = "" if seen[who] == EXPECTED[who] else "  WRONG"
        print(f"{who:<12}{status:>7}  {name!s:<16}{direct}{mark}")
    right = seen == EXPECTED
    print("\nEverybody was seen as expected." if right else "\nSomebody was seen as another.")
    return 0 if right else 1


def _ask(client: httpx.Client, backend: str, convex: str, headers: dict[str, str]) -> tuple[int, str | None, str]:
    """What one person gets: from the application, then from Convex with their token in hand."""
    answer = client.get(f"{backend}/whoami", headers=headers)
    name = answer.json()["in_convex"] if answer.status_code == 200 else None
    token = headers.get("x-stack-access-token")
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    call = {"path": "whoami:get", "args": {}, "format": "json"}
    direct: dict[str, Any] = client.post(f"{convex}/api/query", json=call, headers=bearer).json()
    said = str(direct["code"]) if "code" in direct else "known" if direct["value"] else "nobody"
    return answer.status_code, name, said


if __name__ == "__main__":
    sys.exit(main())
