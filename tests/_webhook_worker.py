"""A worker process of an application that receives webhooks; tests start several, and kill them.

    python -m tests._webhook_worker URL EFFECTS CLAIM_TTL deliver|hang          one delivery from standard input
    python -m tests._webhook_worker URL EFFECTS CLAIM_TTL serve|serve-hang PORT   an HTTP server

Each run of the handler appends `begun` and, at its end, `ended` to the file EFFECTS. The worker says `ready`, does its
work once a line comes, and prints the status of its answer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from hexclave_integrations.stores import RedisStore
from hexclave_integrations.webhooks import WebhookEvent, Webhooks


def main() -> None:
    """Do what the arguments say."""
    url, effects, claim_ttl, mode, *port = sys.argv[1:]
    secrets = [os.environ["HEXCLAVE_WEBHOOK_SECRET"]]
    webhooks = Webhooks(secrets, RedisStore(url), claim_ttl=float(claim_ttl))

    @webhooks.on("*")
    def handler(event: WebhookEvent) -> None:
        note(effects, "begun")
        time.sleep(600 if mode.endswith("hang") else 0.05)
        note(effects, "ended")

    if mode.startswith("serve"):
        serve(webhooks, int(port[0]))
        return
    print("ready", flush=True)
    body, headers = json.loads(sys.stdin.readline())
    print(webhooks.receive(body.encode(), headers)[0], flush=True)


def note(path: str, text: str) -> None:
    """Append a line in one write, which processes can do at once."""
    with Path(path).open("ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


def serve(webhooks: Webhooks, port: int) -> None:
    """Serve a FastAPI application until killed."""
    import uvicorn
    from fastapi import FastAPI

    from hexclave_integrations.fastapi import webhook_router

    app = FastAPI()
    app.include_router(webhook_router(webhooks, "/hooks"))
    uvicorn.run(app, port=port, log_level="warning")


if __name__ == "__main__":
    main()
