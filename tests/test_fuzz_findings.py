"""What fuzzing has found, each as a test of what happens now."""

from __future__ import annotations

import base64

import pytest

from hexclave_integrations import HexclaveClient, HexclaveConfig, NotAuthenticated
from hexclave_integrations._token.find import collect, find_api_key, wanted_headers
from hexclave_integrations.errors import WebhookVerificationFailed
from hexclave_integrations.requirements import require_api_key
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
CONFIG = HexclaveConfig(project_id="e0b52f4d-dece-408c-af49-d23061bb0f8d")
BLANK = [["", ""], ["", "", ""], [" "], [","], [", "], ["\t"]]


@pytest.mark.parametrize("values", [[""], *BLANK])
def test_a_blank_api_key_header_is_no_api_key(values: list[str]) -> None:
    """An empty header says nothing, also where it comes twice and servers join the two with a comma."""
    found = collect([("x-api-key", value) for value in values], wanted_headers(CONFIG))

    assert find_api_key(found, CONFIG) is None


@pytest.mark.parametrize("values", BLANK)
def test_a_blank_api_key_header_is_answered_as_none(values: list[str], hexclave_sandbox: Sandbox) -> None:
    """Who sends a blank key header sent no credentials; one in `Authorization` counts as without the blank one."""
    client = HexclaveClient(hexclave_sandbox.config)
    key = hexclave_sandbox.create_api_key(user=hexclave_sandbox.create_user())
    blank = [("x-api-key", value) for value in values]

    with pytest.raises(NotAuthenticated):
        client.admit(require_api_key, client.attempt(blank))
    attempt = client.attempt([*blank, ("authorization", f"Bearer {key.value}")])
    assert client.admit(require_api_key, attempt) is not None


@pytest.mark.parametrize("stray", [1, 2, 3])
def test_a_webhook_signature_has_one_spelling(stray: int, hexclave_sandbox: Sandbox) -> None:
    """The last character of a signature carries two bits too many, which have to be zero, as in tokens."""
    body, headers = hexclave_sandbox.webhook("user.deleted", {"id": "3241a285-8329-4d69-8f3d-316e08cf140c"})
    webhooks = Webhooks(hexclave_sandbox.config.webhook_secrets)
    signature = headers["svix-signature"]
    other = signature[:-2] + BASE64[BASE64.index(signature[-2]) ^ stray] + "="
    assert base64.b64decode(other[3:]) == base64.b64decode(signature[3:])

    with pytest.raises(WebhookVerificationFailed):
        webhooks.verify(body, headers | {"svix-signature": other})
    assert webhooks.verify(body, headers).type == "user.deleted"
