"""`Sandbox`: a whole Hexclave in memory that speaks the real wire format, for tests without the network."""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from standardwebhooks import Webhook

from ..config import HexclaveConfig
from ._api import handle
from ._cors import is_preflight, preflight, with_cors
from ._deliveries import Message, Receiver, WebhookEndpoint
from ._explain import explain
from ._gate import header_reader
from ._handles import SandboxApiKey, SandboxDelivery, SandboxRequest
from ._holdings import SandboxHoldings
from ._outage import Outage, OutageKind
from ._page import answer_page, is_page
from ._people import SandboxPeople
from ._project import Project
from ._recent import RecentList
from ._records import Scope
from ._server import loopback_names, serving
from ._transport import SandboxTransport
from ._wire import Reply, random_text

__all__ = ["Sandbox"]

_IN_PROCESS_URL = "https://sandbox.hexclave.invalid"


class Sandbox(SandboxPeople, SandboxHoldings):
    """One Hexclave project in memory: users, teams, permissions, sessions, API keys, tokens and the REST API.

    `config` connects a client to it without any socket; `serve()` opens it on real HTTP. Keys are made anew
    for every sandbox. Methods may be called from any thread; for a user or team, its id does as well.

    Args:
        project_id: a UUID; a new one when None.
        clock: the time, epoch seconds.
        tells_clients: whether clients with the in-process `config` forget permissions, memberships and API keys with
            each change, as the fixture `hexclave_sandbox` has it. Otherwise they remember as long as in production.
        require_email_verification: whether whoever signs up is restricted until they verified their address.
        domains: origins, such as `https://app.example.com`, that links in e-mails may lead to besides localhost.
    """

    def __init__(
        self,
        *,
        project_id: str | None = None,
        clock: Callable[[], float] = time.time,
        tells_clients: bool = False,
        require_email_verification: bool = False,
        domains: Sequence[str] = (),
    ) -> None:
        super().__init__(Project((project_id or str(uuid.uuid4())).lower(), _IN_PROCESS_URL, clock))
        self._project.require_email_verification = require_email_verification
        self._project.domains = [domain.rstrip("/") for domain in domains]
        self._webhook_secret = f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
        self._outages: list[Outage] = []
        self._transport = SandboxTransport(self._answer)
        self._tells_clients = tells_clients
        self._project.emit = self.send_webhook
        self._endpoints: list[WebhookEndpoint] = []
        self._changed: Callable[[], None] = _nothing
        self._asked = 0
        self.requests: RecentList[SandboxRequest] = RecentList()
        self.deliveries: RecentList[SandboxDelivery] = RecentList()

    @property
    def config(self) -> HexclaveConfig:
        """Settings that lead here: through the in-process transport, or to the URL while `serve()` is on."""
        base_url = self._project.base_url
        served = base_url != _IN_PROCESS_URL
        return HexclaveConfig(
            project_id=self._project.id,
            secret_server_key=self._project.secret_server_key,
            publishable_client_key=self._project.publishable_client_key,
            api_url=base_url,
            issuer_urls=(_IN_PROCESS_URL,) if served else (),
            webhook_secrets=(self._webhook_secret,),
            transport=None if served else self._transport,
        )

    @property
    def super_secret_admin_key(self) -> str:
        """The key for admin access."""
        return self._project.super_secret_admin_key

    def webhook(
        self, type: str, data: Any, *, id: str | None = None, timestamp: float | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a delivery, signed as Svix does with `config.webhook_secrets` (contract 6).

        Args:
            type: `user.created` and the like.
            id: of the message; a delivery that is repeated keeps its id. A new one when None.
            timestamp: epoch seconds; now when None.
        """
        body = json.dumps({"type": type, "data": data}, separators=(",", ":"))
        message_id = id or f"msg_{random_text(27)}"
        moment = int(self._project.clock() if timestamp is None else timestamp)
        signature = Webhook(self._webhook_secret).sign(message_id, datetime.fromtimestamp(moment, UTC), body)
        headers = {
            "content-type": "application/json",
            "svix-id": message_id,
            "svix-timestamp": str(moment),
            "svix-signature": signature,
        }
        return body.encode(), headers

    def deliver_webhooks_to(
        self, receiver: str | Receiver, *, retries: Sequence[float] = (0.1, 0.5, 2.0), timeout: float = 15
    ) -> WebhookEndpoint:
        """Send webhooks of what happens from now on, as Hexclave does (contract 6); what was sent is in `deliveries`.

        They go out in the background, one after the other. An answer other than 2xx is followed by another
        attempt, which others may overtake: no order is promised. Without an endpoint nothing is sent.

        Args:
            receiver: a URL; or, without HTTP, a function of body and headers that returns a status, as such or
                first in a tuple, such as `Webhooks.receive` or `Webhooks.areceive`.
            retries: seconds before each further attempt; when they are used up, the message is given up.
            timeout: longest wait for an answer, seconds.

        Returns:
            The endpoint, which `.end()` or the end of its `with` block removes.
        """

        def sign(message: Message) -> tuple[bytes, dict[str, str]]:
            return self.webhook(message.type, message.data, id=message.id)

        endpoint = WebhookEndpoint(
            receiver, sign, self.deliveries.append, self._end_endpoint, retries=tuple(retries), timeout=timeout
        )
        with self._lock:
            self._endpoints.append(endpoint)
        return endpoint

    def send_webhook(self, type: str, data: Any) -> None:
        """Send any webhook to the endpoints: `stack.test`, or what nothing in a sandbox makes happen.

        Args:
            type: `user.created` and the like.
        """
        self._tell_clients()
        message = Message(f"msg_{random_text(27)}", type, json.loads(json.dumps(data)))
        with self._lock:
            for endpoint in self._endpoints:
                endpoint.put(message)

    def flush_webhooks(self, timeout: float = 10) -> None:
        """Wait until every message was accepted or given up.

        Args:
            timeout: seconds.

        Raises:
            TimeoutError: some are still under way.
        """
        end = time.monotonic() + timeout
        for endpoint in list(self._endpoints):
            endpoint.wait(max(0.0, end - time.monotonic()))

    def close(self) -> None:
        """Remove all webhook endpoints; messages on their way are dropped."""
        for endpoint in list(self._endpoints):
            endpoint.end()

    def outage(
        self, kind: OutageKind = "refused", *, paths: str | tuple[str, ...] = (), retry_after: int | None = 1
    ) -> Outage:
        """Stop answering, now; until `.end()` of the result or the end of its `with` block.

        Args:
            kind: `refused` (no connection in process, a dropped one over HTTP), `error` (500), `garbage`
                (200 with HTML), `rate_limit` (429).
            paths: prefixes below `/api/v1` that fail, such as `/team-permissions`; none means everything.
            retry_after: seconds in the `Retry-After` of a 429; None leaves the header out.
        """
        outage = Outage(kind, (paths,) if isinstance(paths, str) else paths, retry_after, self._end_outage)
        with self._lock:
            self._outages.append(outage)
        return outage

    @contextmanager
    def serve(self, port: int = 0) -> Iterator[str]:
        """Serve real HTTP on the loopback interface for the length of the block; yields the base URL.

        Meanwhile `config` points there, and tokens name it as their issuer; those minted before stay genuine.
        `localhost` and `[::1]` answer as 127.0.0.1 does; `/` is a page for people, `/_sandbox/emails` the e-mails.

        Args:
            port: 0 for any free one.

        Raises:
            RuntimeError: it is being served already.
            OSError: the port is taken.
        """
        if self._project.base_url != _IN_PROCESS_URL:
            raise RuntimeError("This sandbox is being served already.")
        with serving(self._answer_http, port, self._project.clock) as url:
            self._move(url)
            try:
                yield url
            finally:
                self._move(_IN_PROCESS_URL)

    def count(self, path_suffix: str) -> int:
        """How many of `requests` were for a path that ends so, `/jwks.json` for instance."""
        return sum(request.path.endswith(path_suffix) for request in list(self.requests))

    def _answer_http(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Reply | None:
        """Answer what came through a socket: the page, whatever outage is on, and the API."""
        if is_page(path):
            return answer_page(self, self._changed, method, path, headers, body)
        reply = self._answer(method, path, query, headers, body)
        if method not in ("GET", "HEAD", "OPTIONS"):
            self._changed()
        return reply

    def _answer(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Reply | None:
        with self._lock:
            outage = next((outage for outage in self._outages if outage.covers(path)), None)
            reply = outage.reply() if outage else handle(self._project, method, path, query, headers, body)
            if reply is not None:  # a browser shows a page what went wrong only if the headers of CORS are there
                reply = preflight() if is_preflight(method, path) else with_cors(path, reply)
            status = None if reply is None else _real_status(reply)
            code, reason = explain(self._project, headers, reply, status, outage.kind if outage else None)
            request = SandboxRequest(
                method=method,
                path=path,
                query=dict(parse_qsl(query, keep_blank_values=True)),
                access_type=header_reader(headers)("access-type"),
                status=status,
                code=code,
                reason=reason,
                at=self._project.clock(),
                number=self._asked,
            )
            self._asked += 1
            self.requests.append(request)
            if method != "GET" and not path.endswith("/check"):  # which only reads an API key
                self._tell_clients()
            return reply

    def revoke_api_key(self, key: SandboxApiKey) -> None:
        """Revoke an API key."""
        super().revoke_api_key(key)
        self._tell_clients()

    def define_permission(self, permission: str, contains: Iterable[str] = (), *, scope: Scope = "team") -> None:
        """Define a permission, or define it anew; holding it is holding what it contains, at any depth.

        Raises:
            ValueError: the id is no custom permission's (contract 4.3).
        """
        super().define_permission(permission, contains, scope=scope)
        self._tell_clients()

    def _tell_clients(self) -> None:
        if self._tells_clients:
            self._transport.tell_clients()

    def _end_endpoint(self, endpoint: WebhookEndpoint) -> None:
        with self._lock:
            if endpoint in self._endpoints:
                self._endpoints.remove(endpoint)

    def _end_outage(self, outage: Outage) -> None:
        with self._lock:
            if outage in self._outages:
                self._outages.remove(outage)

    def _move(self, base_url: str) -> None:
        with self._lock:
            self._project.base_url = base_url
            self._project.issuer_bases = (_IN_PROCESS_URL, *loopback_names(base_url))


def _real_status(reply: Reply) -> int:
    """The status of an answer, also where a client has asked for it to be hidden behind a 200 (contract 3.3)."""
    hidden = reply.headers.get("x-stack-actual-status")
    return reply.status if hidden is None else int(hidden)


def _nothing() -> None:
    """Nobody waits for changes."""
