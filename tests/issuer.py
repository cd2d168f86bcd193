"""An OpenID Connect issuer of the tests' own: a real HTTP server with discovery, keys and a token endpoint."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs

from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

AUDIENCE = "foretell-tests"
CLIENT = ("robot", "a secret of the robot")
_making = threading.Lock()


def make_key(kind: str, number: int = 0) -> Key:
    """A key of a kind such as RS256; the same one for the same number, also for the issuer's threads."""
    with _making:
        return _made(kind, number)


@cache
def _made(kind: str, _: int) -> Key:
    if kind.startswith(("RS", "PS")):
        return RSAKey.generate_key(2048)
    if kind.startswith("ES"):
        return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[kind])
    return OKPKey.generate_key("Ed25519")


def signed(claims: Mapping[str, Any] | bytes, key: Key, header: Mapping[str, Any]) -> str:
    """A token, whatever it says: nothing is checked here."""
    registry = jws.JWSRegistry(algorithms=list(jws.JWSRegistry.algorithms), strict_check_header=False)
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # EdDSA goes by another name now; issuers still use it
        return jws.serialize_compact(dict(header), payload, key, registry=registry)


@dataclass
class Issuer:
    """What the server knows and what it was asked. Change it while it runs."""

    url: str = ""
    kind: str = "RS256"
    current: int = 0
    published: list[int] = field(default_factory=lambda: [0])
    fault: tuple[int, bytes, dict[str, str]] | None = None
    asked: list[str] = field(default_factory=list)

    def rotate(self) -> None:
        """A new key signs from here on; the old one is no longer published."""
        self.current += 1
        self.published = [self.current]

    @property
    def kid(self) -> str:
        return f"key-{self.current}"

    def claims(self, **more: Any) -> dict[str, Any]:
        """Good claims; ``more`` stands in their place, None leaves one out."""
        now = int(time.time())
        made = {"iss": self.url, "aud": AUDIENCE, "sub": "robot", "iat": now, "exp": now + 600, "scope": "predict"}
        return {name: value for name, value in (made | more).items() if value is not None}

    def token(self, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A good token; ``claims`` and ``header`` stand in place of what it would say."""
        head = {"alg": self.kind, "kid": self.kid, "typ": "JWT"} | dict(header or {})
        key = make_key(self.kind, self.current)
        return signed(self.claims(**claims), key, {name: value for name, value in head.items() if value is not None})

    def fetches(self, path: str = "/jwks") -> int:
        """How often a path was asked for."""
        return self.asked.count(path)

    def answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers for a GET."""
        if self.fault is not None:
            return self.fault
        if path == "/.well-known/openid-configuration":
            found: dict[str, Any] = {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "token_endpoint": f"{self.url}/token",
                "grant_types_supported": ["client_credentials"],
            }
        elif path == "/jwks":
            found = {"keys": [self._published(number) for number in self.published]}
        else:
            return 404, b"{}", {}
        return 200, json.dumps(found).encode(), {}

    def _published(self, number: int) -> dict[str, Any]:
        return {**make_key(self.kind, number).as_dict(private=False), "kid": f"key-{number}", "use": "sig"}

    def grant(self, form: Mapping[str, list[str]]) -> tuple[int, bytes, dict[str, str]]:
        """What the token endpoint answers."""
        if (form.get("client_id"), form.get("client_secret")) != ([CLIENT[0]], [CLIENT[1]]):
            return 401, b'{"error":"invalid_client"}', {}
        token = self.token(scope=form.get("scope", ["predict"])[0])
        return 200, json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 600}).encode(), {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        issuer = cast("_Server", self.server).issuer
        issuer.asked.append(self.path)
        self._send(*issuer.answer(self.path))

    def do_POST(self) -> None:
        issuer = cast("_Server", self.server).issuer
        body = self.rfile.read(int(self.headers["content-length"]))
        self._send(*issuer.grant(parse_qs(body.decode())))

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    issuer: Issuer
    daemon_threads = True


@contextmanager
def issuing(kind: str = "RS256") -> Iterator[Issuer]:
    """An issuer on a free port of this machine."""
    server = _Server(("127.0.0.1", 0), _Handler)
    issuer = server.issuer = Issuer(f"http://127.0.0.1:{server.server_port}", kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
