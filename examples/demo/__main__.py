"""`python -m examples.demo`: run the story against every example application and print who got what, and why."""

from __future__ import annotations

import argparse
import sys
import time

import httpx

from hexclave_integrations.testing import Sandbox

from .javascript import sign_up
from .servers import COMMANDS, running
from .story import Scene, Story


def main() -> int:
    """Run the demo; 0 when every answer was the expected one."""
    parser = argparse.ArgumentParser(prog="examples.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay up, and print lines to try")
    keep: bool = parser.parse_args().keep
    sandbox = Sandbox()
    with sandbox.serve() as url:
        config = sandbox.config
        environ = {
            "DJANGO_SETTINGS_MODULE": "examples.django_project.settings",
            "HEXCLAVE_API_URL": url,
            "HEXCLAVE_PROJECT_ID": config.project_id,
            "HEXCLAVE_PUBLISHABLE_CLIENT_KEY": config.publishable_client_key or "",
            "HEXCLAVE_SECRET_SERVER_KEY": config.secret_server_key or "",
            "HEXCLAVE_WEBHOOK_SECRET": config.webhook_secrets[0],
        }
        print(f"A whole Hexclave at {url}.", flush=True)
        story = Story(sandbox, sign_up(environ))
        print(f"Starting {', '.join(COMMANDS)} ...", flush=True)
        with running(list(COMMANDS), environ) as urls:
            for application in urls.values():
                sandbox.deliver_webhooks_to(f"{application}/webhooks/hexclave")
            wrong = _play(story, urls)
            sandbox.flush_webhooks()
            refused = sum(delivery.status != 200 for delivery in sandbox.deliveries)
            print(f"\n{len(sandbox.deliveries)} webhooks delivered, {refused} refused.")
            wrong += refused
            if keep:
                _stay(story, urls)
            sandbox.close()
    print(f"\n{wrong} wrong answers." if wrong else "\nEvery answer was right.")
    return 1 if wrong else 0


def _play(story: Story, urls: dict[str, str]) -> int:
    columns = "".join(f"{name:>9}" for name in urls)
    print(f"\n{'who':<12}{'request':<32}{columns}  why")
    wrong = 0
    with httpx.Client(timeout=10) as client:
        for scene in story.scenes():
            answers = {name: _ask(client, url, scene) for name, url in urls.items()}
            marks = "".join(f"{answer}{' ' if answer == scene.status else '!'}".rjust(9) for answer in answers.values())
            print(f"{scene.who:<12}{_short(scene.request):<32}{marks}  {scene.why}", flush=True)
            wrong += sum(answer != scene.status for answer in answers.values())
    return wrong


def _ask(client: httpx.Client, url: str, scene: Scene) -> int:
    method, path = scene.request.split(" ")
    return client.request(method, url + path, headers=scene.headers).status_code


def _short(request: str) -> str:
    return " ".join(request.split(" ")) if len(request) < 32 else f"{request[:20]}.../reports"


def _stay(story: Story, urls: dict[str, str]) -> None:
    for name, url in urls.items():
        print(f"\n{name}: {url}")
        print("\n".join(story.curl_lines(url)))
    try:
        print("\nCtrl+C ends it.", flush=True)
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
