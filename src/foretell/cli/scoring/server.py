"""A server as ``foretell score`` speaks to it: where it is, its key, and who has to have signed its certificate."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import orjson

from foretell.cli.calling import Key, refused_hint
from foretell.cli.scoring.exchange import Reply, Request, Untrusted, exchange
from foretell.cli.scoring.local import ScoringFailed
from foretell.core.faults import clip
from foretell.errors import OperatorError

BUSY = frozenset({429, 502, 503, 504})
EX_UNAVAILABLE, EX_SOFTWARE, EX_NOPERM, EX_DATAERR = 69, 70, 77, 65
"""Of sysexits.h."""
_PATH = "/%:@!$&'()*+,;=~"


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
        key = {} if self.key is None else self.key.headers
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
            return ScoringFailed(detail, hint=refused_hint(self.key), exit_code=EX_NOPERM)
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


def open_server(url: str, trust: ssl.SSLContext | None, key: Key | None) -> Server:
    """The server at ``url``; ``trust`` says whose certificates are believed. Raises OperatorError."""
    parts = urlsplit(url)
    try:
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except UnicodeError:
        raise OperatorError(f"'{url}' is no address of a server.", hint="https://example.com, for instance") from None
    place = f"[{host}]" if ":" in host else host
    place += "" if parts.port is None else f":{parts.port}"
    return Server(f"{parts.scheme}://{place}{quote(parts.path, safe=_PATH)}", key, trust)
