"""How costs grow with the number of users that are remembered, and of keys that a project has."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from hexclave_integrations import HexclaveClient
from hexclave_integrations._memory.caches import MAX_ANSWERS
from hexclave_integrations._token.keys import MAX_KEYS
from hexclave_integrations.testing import Sandbox

from ._measure import Contender, Scale, Table, compare, interleave
from ._population import crowds, steps

__all__ = ["tables"]

ROUNDS = 40
BATCH = 20
PERMISSION = "export_reports"


def tables(scale: Scale) -> list[Table]:
    """Measure."""
    return [_tokens(scale), _permissions(scale), _keys(scale)]


def _tokens(scale: Scale) -> Table:
    counts = steps(scale)
    found = {crowd.count: crowd.microseconds for crowd in crowds(counts[-1], counts)}
    rows = {f"{count:,} remembered": (us, us / found[1]) for count, us in found.items()}
    note = "Up to a thousand of them take turns: large numbers also pay for memory that the processor has to wait for."
    return Table("Growth: a repeated token", {"us": ".2f", "x one": ".2f"}, rows, note)


def _permissions(scale: Scale) -> Table:
    contenders: list[Contender[str]] = []
    for count in (1, scale.of(1000, 5), scale.of(100_000, 500)):
        sandbox = Sandbox()
        team, user = sandbox.create_team(), sandbox.create_user()
        sandbox.grant(user, PERMISSION, team=team)
        client = HexclaveClient(sandbox.config)
        for _ in range(count - 1):  # what answers about others leave behind
            client._core.answers.put(
                f"permissions:{team.id}:{uuid.uuid4()}", object(), now=client._core.clock(), ttl=600, tags=(team.id,)
            )

        def has(user_id: str, client: HexclaveClient = client, team_id: str = team.id) -> None:
            assert client.has_permission(user_id, PERMISSION, team_id)

        has(user.id)
        contenders.append(Contender(f"{count:,} asked about", has, [[user.id] * BATCH * 5]))
    interleave(contenders, scale.of(ROUNDS))
    note = f"Of any number of answers, {MAX_ANSWERS:,} are remembered."
    return compare("Growth: a remembered permission", contenders, {"x one": contenders[0].name}, note)


def _keys(scale: Scale) -> Table:
    rounds = scale.of(ROUNDS)
    sandbox = Sandbox()
    user = sandbox.create_user()
    batches = [[sandbox.token(user, 3600) for _ in range(BATCH)] for _ in range(rounds)]
    url = f"{sandbox.config.api_url}/api/v1/projects/{sandbox.config.project_id}/.well-known/jwks.json"
    in_process: Any = sandbox.config.transport
    with httpx.Client(transport=in_process) as http:
        real = http.get(url).json()["keys"]
    contenders = []
    for count in (1, 6, MAX_KEYS):
        keys = real[:count] + [_jwk(number) for number in range(count - len(real))]
        transport = httpx.MockTransport(lambda _, keys=keys: httpx.Response(200, json={"keys": keys}))
        client = HexclaveClient(sandbox.config, transport=transport)
        client.warm()
        name = f"{count} keys" if count > 1 else "1 key"
        contenders.append(Contender(name, client.verify_token, batches))
    interleave(contenders, rounds)
    note = f"First sight of a token. A set of more than {MAX_KEYS} keys is refused: Hexclave's has six."
    return compare("Growth: keys of a project", contenders, {"x one": contenders[0].name}, note)


def _jwk(number: int) -> dict[str, object]:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {**ECAlgorithm.to_jwk(key, as_dict=True), "kid": f"another-{number}", "alg": "ES256"}
