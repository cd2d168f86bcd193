"""A server as ``foretell score`` speaks to it: where it is, its key, and who has to have signed its certificate."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import orjson

from foretell.cli.scoring.exchange import Reply, Request, Untrusted, exchange
from foretell.cli.scoring.local import ScoringFailed
from foretell.core.faults import clip
from foretell.errors import OperatorError, PathMissing
from foretell.settings_reading import API_KEY

MAX_KEY_BYTES = 8 * 1024
BUSY = frozenset({429, 502, 503, 504})
EX_UNAVAILABLE, EX_SOFTWARE, EX_NOPERM, EX_DATAERR = 69, 70, 77, 65
"""Of sysexits.h."""
_PATH = "/%:@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, and where it was found; it is never shown."""

    secret: str = field(repr=False)
    origin: str


@dataclass(frozen=True, slots=True)
class Server:
    """``url`` has the prefix, and is plain ASCII."""

    url: str
    key: Key | None = None
    trust: ssl.SSLContext | None = None

    def ask(
        self,
        method: str,
        path: str,
        sink: Callable[[bytes], object],
        *,
        headers: Mapping[str, str] | None = None,
        body: Iterator[bytes] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Reply:
        """One exchange. Raises Broken, and ScoringFailed where the server is not the one it says it is."""
        key = {} if self.key is None else {"authorization": f"Bearer {self.key.secret}"}
        request = Request(method, self.url + path, {**(headers or {}), **key}, body, self.trust)
        try:
            return exchange(request, sink, stopped)
        except Untrusted as error:
            raise self._untrusted(error) from error

    def _untrusted(self, error: Untrusted) -> ScoringFailed:
        host = urlsplit(self.url).hostname
        hint = "name the server as its certificate does"
        if not error.of_another:
            hint = "where you know the server: --ca FILE, with the certificate of the authority that signed its own"
        return ScoringFailed(
            f"The certificate of {host} is not trusted: {error}. Nothing was sent.",
            hint=hint,
            exit_code=EX_UNAVAILABLE,
        )

    def refusal(self, reply: Reply) -> ScoringFailed:
        """What a reply that is no success comes to."""
        detail = detail_of(reply)
        if reply.status == 401:
            hint = f"give a key: --key-file FILE, or {API_KEY} in the environment"
            if self.key is not None:
                hint = f"the key came from {self.key.origin}; foretell keys list, at the server, shows those it knows"
            return ScoringFailed(detail, hint=hint, exit_code=EX_NOPERM)
        if reply.status == 403:
            hint = "a key for this needs the scopes predict and models:read, and has to reach this model"
            return ScoringFailed(detail, hint=hint, exit_code=EX_NOPERM)
        if reply.status in (301, 302, 303, 307, 308):
            place = reply.headers.get("location", "another place")
            return ScoringFailed(
                f"The server sends callers on to {clip(place)}; that is not followed.",
                hint="give the address where it is: --server URL",
                exit_code=EX_UNAVAILABLE,
            )
        return ScoringFailed(detail, exit_code=EX_DATAERR if reply.status < 500 else EX_SOFTWARE)


def detail_of(reply: Reply) -> str:
    """The server's own words."""
    try:
        return str(orjson.loads(reply.problem)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {reply.status}, and not in Foretell's way. Is it Foretell?"


def open_server(url: str, trust: ssl.SSLContext | None, *, key: Key | None, insecure_key: bool = False) -> Server:
    """The server at ``url``; ``trust`` says whose certificates are believed.

    Raises OperatorError, also where ``key`` would be sent for anybody on the way to read, unless ``insecure_key``.
    """
    parts = urlsplit(url)
    try:
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except UnicodeError:
        raise OperatorError(f"'{url}' is no address of a server.", hint="https://example.com, for instance") from None
    place = f"[{host}]" if ":" in host else host
    place += "" if parts.port is None else f":{parts.port}"
    plain = f"{parts.scheme}://{place}{quote(parts.path, safe=_PATH)}"
    if parts.scheme == "https":
        return Server(plain, key, trust)
    if key is not None and not insecure_key and not _loopback(host):
        raise OperatorError(
            f"The key of {key.origin} was not sent: over plain http, anybody on the way to {host} could read it.",
            hint="use https://, or --insecure-key where you trust all of the network between"
            + (f"; unset {API_KEY} where the server needs none" if key.origin == API_KEY else ""),
        )
    return Server(plain, key)


def trusting(ca: Path) -> ssl.SSLContext:
    """Believes the authorities of a file, and no other. Raises OperatorError."""
    try:
        return ssl.create_default_context(cafile=ca)
    except FileNotFoundError:
        raise PathMissing(f"{ca} does not exist.") from None
    except ssl.SSLError as error:
        raise OperatorError(
            f"{ca} holds no certificate that can be read ({error.reason or error}).", hint="--ca takes a PEM file"
        ) from error
    except OSError as error:
        raise OperatorError(f"{ca} cannot be read: {error.strerror}.") from error


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def find_key(file: Path | None, environ: Mapping[str, str]) -> Key | None:
    """The key in a file, else that of the environment, else none. Raises OperatorError where it is no key."""
    if file is None:
        found, origin = environ.get(API_KEY, "").strip(), API_KEY
        if not found:
            return None
    else:
        found, origin = _read(file), str(file)
    if not found or not all("!" <= char <= "~" for char in found):
        raise OperatorError(
            f"{origin} holds no key: a key is one word of plain ASCII.", hint="foretell keys create NAME makes one"
        )
    return Key(found, origin)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_KEY_BYTES + 1)
    except FileNotFoundError:
        raise PathMissing(f"{file} does not exist.") from None
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_KEY_BYTES:
        raise OperatorError(f"{file} is too large to be a key.", hint="put the key into it, and nothing else")
    return content.decode("utf-8", "replace").strip()
