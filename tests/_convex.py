"""A stand-in for a Convex deployment: it judges a bearer as Convex does, and has one query, `whoami:get`.

What it does follows Convex' open-source backend (get-convex/convex-backend: crates/authentication, crates/keybroker)
and https://docs.convex.dev/auth/advanced/custom-jwt. It shares no code with what it judges.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import httpx
import jwt
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

WHOAMI: Final = "whoami:get"
_LEEWAY: Final = 5
_REGISTERED: Final = ("iss", "sub", "aud", "exp", "nbf", "iat", "jti")


class Refused(Exception):
    """What Convex answers with status 401.

    Attributes:
        code: `NoAuthProvider` or `InvalidAuthHeader`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def fetch_keys(url: str) -> Mapping[str, Any]:
    """A key set over HTTP; Convex wants the right media type too.

    Raises:
        Refused: there is none.
    """
    answer = httpx.get(url, headers={"Accept": "application/json"}, timeout=10)
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    if answer.status_code != 200 or media_type not in ("application/json", "application/jwk-set+json"):
        raise Refused("InvalidAuthHeader", f"no key set at {url}")
    found: dict[str, Any] = answer.json()
    return found


class Deployment:
    """A deployment whose `auth.config.ts` has these providers.

    Args:
        providers: as `providers_config` gives them.
        fetch: gives the key set at a URL.
        clock: gives epoch seconds.

    Attributes:
        bearers: the `Authorization` header of each request so far, None where there was none.
        authenticated: the tokens that websockets were opened with so far, None for a sign-out.
    """

    def __init__(
        self,
        providers: Sequence[Mapping[str, str]],
        *,
        fetch: Callable[[str], Mapping[str, Any]] = fetch_keys,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._providers = providers
        self._fetch = fetch
        self._clock = clock
        self.bearers: list[str | None] = []
        self.authenticated: list[str | None] = []

    def identify(self, token: str) -> dict[str, Any]:
        """What `ctx.auth.getUserIdentity()` gives.

        Raises:
            Refused: the token is not accepted.
        """
        try:
            claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError as error:
            raise Refused("InvalidAuthHeader", "no JWT") from error
        provider = self._provider(claims)
        key = next((key for key in self._fetch(provider["jwks"])["keys"] if key["kid"] == kid), None)
        if key is None:
            raise Refused("InvalidAuthHeader", "the key is not in the provider's key set")
        try:
            # The issuer has been compared; PyJWT would look at the machine's clock.
            jwt.decode(
                token,
                jwt.PyJWK(key).key,
                algorithms=[provider["algorithm"]],
                audience=provider.get("applicationID"),
                options={
                    "verify_aud": "applicationID" in provider,
                    "verify_exp": False,
                    "verify_iat": False,
                    "require": ["exp", "iss", "sub"],
                },
            )
        except jwt.InvalidTokenError as error:
            raise Refused("InvalidAuthHeader", str(error)) from error
        if self._clock() > claims["exp"] + _LEEWAY:
            raise Refused("InvalidAuthHeader", "expired")
        private = {name: value for name, value in claims.items() if name not in _REGISTERED}
        return {
            "tokenIdentifier": f"{claims['iss']}|{claims['sub']}",
            "issuer": claims["iss"],
            "subject": claims["sub"],
            **_flat(private),
        }

    def _provider(self, claims: Mapping[str, Any]) -> Mapping[str, str]:
        """The first whose issuer is the token's, and whose `applicationID`, if any, is among its audiences."""
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        for provider in self._providers:
            same = str(claims.get("iss")).rstrip("/") == provider["issuer"].rstrip("/")
            if same and ("applicationID" not in provider or provider["applicationID"] in audiences):
                return provider
        raise Refused("NoAuthProvider", "No auth provider found matching the given token")

    def answer(self, authorization: str | None, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and body for a POST to the HTTP API (https://docs.convex.dev/http-api)."""
        self.bearers.append(authorization)
        try:
            identity = None if authorization is None else self.identify(authorization.removeprefix("Bearer "))
        except Refused as error:
            return 401, {"code": error.code, "message": str(error)}
        if json.loads(body)["path"] != WHOAMI:
            return 200, {"status": "error", "errorMessage": "Could not find public function", "logLines": []}
        return 200, {"status": "success", "value": identity, "logLines": []}

    @contextmanager
    def serve(self) -> Iterator[str]:
        """The HTTP API on 127.0.0.1; yields the deployment's URL."""
        deployment = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                known = self.path in ("/api/query", "/api/mutation", "/api/action")
                status, content = deployment.answer(self.headers["authorization"], body) if known else (404, {})
                raw = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    @contextmanager
    def serve_sync(self) -> Iterator[str]:
        """What a websocket client meets, as far as it says who it is; yields the deployment's URL."""
        with serve(self._listen, "127.0.0.1", 0) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
            finally:
                server.shutdown()
                thread.join()

    def _listen(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):  # the client does not say goodbye
            for text in connection:
                message = json.loads(text)
                if message["type"] == "Authenticate":
                    self.authenticated.append(message.get("value"))


def _flat(claims: Mapping[str, Any]) -> dict[str, Any]:
    """A custom JWT's claims as a function sees them: an object becomes an entry for each of its names."""
    found: dict[str, Any] = {}
    for name, value in claims.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": one for inner, one in _flat(value).items()}
        else:
            found[name] = float(value) if type(value) is int else value  # JavaScript has no other numbers
    return found
