"""What is fetched from an issuer: a small document, from where it was asked for, in time."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from foretell.core.access.address import at_home, may_ask
from foretell.security.tokens.fetching import FetchFault, fetch
from tests.issuer import Issuer, issuing


@pytest.fixture(scope="module")
def server() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@pytest.fixture
def issuer(server: Issuer) -> Iterator[Issuer]:
    yield server
    server.fault = None


def fetched(url: str, **options: float) -> bytes:
    return asyncio.run(fetch(url, **options))  # type: ignore[arg-type]


def test_a_document_is_fetched(issuer: Issuer) -> None:
    assert b'"kty"' in fetched(f"{issuer.url}/jwks")


def test_what_is_not_there_is_no_document(issuer: Issuer) -> None:
    with pytest.raises(FetchFault, match="404"):
        fetched(f"{issuer.url}/nothing")


def test_a_redirect_is_not_followed(issuer: Issuer) -> None:
    asked = len(issuer.asked)
    issuer.fault = (302, b"", {"location": f"{issuer.url}/elsewhere"})
    with pytest.raises(FetchFault, match="302"):
        fetched(f"{issuer.url}/jwks")
    assert issuer.asked[asked:] == ["/jwks"]


def test_no_more_is_read_than_may_be(issuer: Issuer) -> None:
    issuer.fault = (200, b" " * (256 * 1024) + b"{}", {})
    with pytest.raises(FetchFault, match="larger than 262144"):
        fetched(f"{issuer.url}/jwks")


def test_a_compressed_answer_is_not_unpacked(issuer: Issuer) -> None:
    issuer.fault = (200, b"\x1f\x8b", {"content-encoding": "gzip"})
    with pytest.raises(FetchFault, match="compressed"):
        fetched(f"{issuer.url}/jwks")


def test_who_does_not_listen_cannot_be_reached() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/jwks"
    with pytest.raises(FetchFault, match="reached"):
        fetched(url)


def test_whoever_is_silent_is_waited_for_so_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        taken: list[socket.socket] = []
        thread = threading.Thread(target=lambda: taken.append(silent.accept()[0]))
        thread.start()
        with pytest.raises(FetchFault, match=r"within 0\.2 s|reached"):
            fetched(f"http://127.0.0.1:{silent.getsockname()[1]}/jwks", timeout_s=0.2)
        thread.join()
        taken[0].close()


@pytest.mark.parametrize(
    ("url", "may", "home"),
    [
        ("https://issuer.example/jwks?x=1", True, False),
        ("https://[2001:db8::1]:8443/", True, False),
        ("http://127.0.0.1:8080/jwks", True, True),
        ("http://[::1]/jwks", True, True),
        ("http://localhost", True, True),
        ("http://issuer.example/jwks", False, False),
        ("http://127.0.0.1.evil.example/", False, False),
        ("http://localhost.evil.example/", False, False),
        ("http://1.evil.example/", False, False),
        ("https://user@issuer.example/", False, False),
        ("https://issuer.example;x/", False, False),
        ("https://issuer.example/a b", False, False),
        ("https://issuer.example/\r\nx", False, False),
        ("HTTPS://issuer.example/", False, False),
        ("file:///etc/passwd", False, False),
        ("https://", False, False),
        ("", False, False),
    ],
)
def test_where_may_be_asked(url: str, may: bool, home: bool) -> None:
    assert (may_ask(url), at_home(url)) == (may, home)
    assert may_ask(url, allow_http=True) == (may or url == "http://issuer.example/jwks" or "evil.example" in url)
