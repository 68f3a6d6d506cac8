"""The database side of Supabase: what PostgREST and the gateway before it do with a token, over HTTP on loopback.

It knows nothing of the signer that it judges. Of PostgREST's queries it has only "all rows of a relation".
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import psycopg
from psycopg import sql

SQL: Final = Path(__file__).parents[1] / "examples" / "supabase"
LEEWAY: Final = 30
"""Seconds of clock skew that PostgREST allows."""


def create_database(superuser_url: str, name: str) -> str:
    """Make a database with the example's two files; the URL for its superuser.

    Args:
        superuser_url: a server, as its superuser.
        name: a name that is free there.
    """
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = urlsplit(superuser_url)._replace(path=f"/{name}").geturl()
    with psycopg.connect(url) as connection:
        for file in ("local.sql", "schema.sql"):
            connection.execute((SQL / file).read_bytes())
    return url


class Refused(Exception):
    """A request is refused.

    Attributes:
        status: what PostgREST answers.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Postgrest:
    """PostgREST with `db-anon-role = anon`, as Supabase runs it.

    Args:
        database: the URL of a database, whoever its user is: requests come as `authenticator`.
        secret: the legacy secret; its UTF-8 bytes are the key.
        jwks: public keys in the form of `/auth/v1/.well-known/jwks.json`.
        api_keys: what the gateway takes in the header `apikey`; none for no gateway.
    """

    def __init__(
        self,
        database: str,
        *,
        secret: str | None = None,
        jwks: Iterable[Mapping[str, Any]] = (),
        api_keys: Iterable[str] = (),
    ) -> None:
        host = urlsplit(database)
        self._database = host._replace(netloc=f"authenticator@{host.hostname}:{host.port}").geturl()
        self._keys = [jwt.PyJWK(dict(jwk)) for jwk in jwks]
        if secret is not None:
            encoded = jwt.utils.base64url_encode(secret.encode()).decode()
            self._keys.append(jwt.PyJWK({"kty": "oct", "k": encoded, "alg": "HS256"}))
        self._api_keys = frozenset(api_keys)

    def rows(self, relation: str, headers: Mapping[str, str]) -> list[dict[str, Any]]:
        """All rows of a table or view that the request may see.

        Args:
            headers: the request's, with lower-case names.

        Raises:
            Refused: the gateway, PostgREST or PostgreSQL does not answer it.
        """
        if self._api_keys and headers.get("apikey") not in self._api_keys:
            raise Refused(401, "No API key found in request")
        claims = self._claims(headers.get("authorization"))
        query = sql.SQL("SELECT * FROM public.{} ORDER BY 1").format(sql.Identifier(relation))
        try:
            with (
                psycopg.connect(self._database, row_factory=psycopg.rows.dict_row) as connection,
                connection.transaction(),
            ):
                # SET LOCAL ROLE and SET LOCAL, with values that need no quoting.
                connection.execute("SELECT set_config('role', %s, true)", [claims.get("role", "anon")])
                connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [json.dumps(claims)])
                return connection.execute(query).fetchall()
        except psycopg.errors.InsufficientPrivilege as error:
            raise Refused(403 if claims else 401, str(error)) from None
        except psycopg.Error as error:
            raise Refused(400, str(error)) from None

    def _claims(self, authorization: str | None) -> dict[str, Any]:
        """The claims of the bearer token; without one none, which is the role `anon`."""
        if authorization is None:
            return {}
        scheme, _, token = authorization.partition(" ")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError:
            raise Refused(401, "JWT couldn't be decoded") from None
        for key in self._keys:
            if scheme.lower() == "bearer" and kid in (None, key.key_id):  # without a kid, one by one
                try:
                    # `aud` is not looked at: PostgREST takes every audience by default.
                    return jwt.decode(token, key, [key.algorithm_name], {"verify_aud": False}, leeway=LEEWAY)
                except jwt.ExpiredSignatureError:
                    raise Refused(401, "JWT expired") from None
                except jwt.PyJWTError:
                    continue
        raise Refused(401, "No suitable key")

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Answer `GET /rest/v1/<relation>`; yields the project's URL."""
        postgrest = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                relation = urlsplit(self.path).path.removeprefix("/rest/v1/")
                try:
                    status, content = 200, postgrest.rows(relation, headers)
                except Refused as refusal:
                    status, content = refusal.status, {"message": str(refusal)}  # type: ignore[assignment]  # an object
                body = json.dumps(content, default=str).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Write nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()
