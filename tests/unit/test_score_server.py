"""A server that scores, as it is named, believed and given a key; what its refusals come to; how long one waits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from foretell.cli.predicting.place import server_url
from foretell.cli.scoring import remote
from foretell.cli.scoring.exchange import Reply
from foretell.cli.scoring.local import ScoringFailed
from foretell.cli.scoring.remote import LONGEST_WAIT_S, Busy, Remote, patiently
from foretell.cli.scoring.server import MAX_KEY_BYTES, Key, Server, find_key, open_server, trusting
from foretell.errors import OperatorError, PathMissing
from foretell.settings import Settings
from foretell.settings_reading import API_KEY
from tests.certificates import Issuer

KEY = Key("ft_secret", "key.txt")


def reply(status: int, headers: dict[str, str] | None = None, **problem: Any) -> Reply:
    return Reply(status, headers or {}, orjson.dumps(problem) if problem else b"<html>")


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_key_comes_from_its_file_else_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("  ft_file\n")
    assert find_key(None, {}) is None
    assert find_key(None, {API_KEY: " "}) is None
    assert find_key(None, {API_KEY: "ft_env\n"}) == Key("ft_env", API_KEY)
    assert find_key(tmp_path / "key", {API_KEY: "ft_env"}) == Key("ft_file", str(tmp_path / "key"))


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"line\r\nX-Evil: 1", "schlüssel".encode(), b"\xff"])
def test_what_is_no_key_is_not_sent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(OperatorError, match="holds no key"):
        find_key(tmp_path / "key", {})


def test_a_key_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(PathMissing):
        find_key(tmp_path / "nowhere", {})
    with pytest.raises(OperatorError, match="cannot be read"):
        find_key(tmp_path, {})
    (tmp_path / "large").write_bytes(b"x" * (MAX_KEY_BYTES + 1))
    with pytest.raises(OperatorError, match="too large"):
        find_key(tmp_path / "large", {})


def test_a_key_is_never_shown() -> None:
    assert "ft_secret" not in repr(Server("http://127.0.0.1", KEY))


@pytest.mark.parametrize("url", ["http://example.com/api/v1", "http://10.0.0.7:8000", "http://0.0.0.0", "http://[::2]"])
def test_a_key_goes_over_plain_http_to_another_machine_by_consent_alone(url: str) -> None:
    with pytest.raises(OperatorError, match="plain http") as caught:
        open_server(url, None, key=KEY)
    assert "--insecure-key" in str(caught.value.hint)
    with pytest.raises(OperatorError) as caught:
        open_server(url, None, key=Key("ft_secret", API_KEY))
    assert f"unset {API_KEY}" in str(caught.value.hint)
    assert open_server(url, None, key=KEY, insecure_key=True).key == KEY
    assert open_server(url, None, key=None).key is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:80", "https://example.com"])
def test_a_key_goes_to_this_machine_and_over_tls(url: str) -> None:
    assert open_server(url, None, key=KEY).key == KEY


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://Bücher.example:8443/a b/api", "https://xn--bcher-kva.example:8443/a%20b/api"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("http://h/%C3%A9/é", "http://h/%C3%A9/%C3%A9"),
    ],
)
def test_an_address_is_plain_ascii(url: str, plain: str) -> None:
    assert open_server(url, None, key=None).url == plain


@pytest.mark.parametrize("url", ["http://a:99999", "http://a:b", "http://[::1", "http://", "ftp://a", "http://a:0"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(OperatorError, match="no address"):
        server_url(Settings(), url)


def test_an_address_holds_no_credentials_and_does_not_repeat_them() -> None:
    with pytest.raises(OperatorError, match="no name, password or key") as caught:
        server_url(Settings(), "https://me:hunter2@example.com")
    assert "hunter2" not in caught.value.detail
    with pytest.raises(OperatorError, match="no address"):
        open_server(f"http://{'a' * 64}.example", None, key=None)


def test_a_model_is_one_segment_of_the_path() -> None:
    assert Remote(Server("http://h"), "a/../b?c", "v 1", "d").path == (
        "/models/a%2F..%2Fb%3Fc/versions/v%201/predict/stream"
    )


def test_a_signature_in_unknown_words_is_no_traceback() -> None:
    descriptions: list[Any] = [None, {"columns": 1}, {"new": []}, []]
    for described in descriptions:
        with pytest.raises(OperatorError, match="words unknown here"):
            Remote(Server("http://h"), "m", "v1", "d", described).signature()


# -- authorities -------------------------------------------------------------------------------------------------------


def test_a_file_of_authorities_is_believed_alone_or_told_to_be_none(tmp_path: Path) -> None:
    ca, _ = Issuer.make().write(tmp_path, "ca")
    assert len(trusting(ca).get_ca_certs()) == 1
    (tmp_path / "none.pem").write_text("hello")
    with pytest.raises(OperatorError, match="holds no certificate"):
        trusting(tmp_path / "none.pem")
    with pytest.raises(PathMissing):
        trusting(tmp_path / "nowhere.pem")
    with pytest.raises(OperatorError):
        trusting(tmp_path)


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "given", "said", "code"),
    [
        (None, reply(401, detail="carries none"), ("carries none", "--key-file"), 77),
        (KEY, reply(401, detail="not valid"), ("not valid", "key.txt"), 77),
        (KEY, reply(403, detail="needs predict"), ("needs predict", "models:read"), 77),
        (KEY, reply(308, {"location": "https://h/x"}), ("https://h/x", "--server"), 69),
        (KEY, reply(422, detail="a column is missing"), ("a column is missing", ""), 65),
        (KEY, reply(500, detail="failed"), ("failed", ""), 70),
        (KEY, reply(418), ("answered 418", ""), 65),
    ],
)
def test_a_refusal_says_what_to_do(key: Key | None, given: Reply, said: tuple[str, str], code: int) -> None:
    found = Server("http://h", key).refusal(given)
    assert said[0] in found.detail and said[1] in str(found.hint)
    assert found.exit_code == code
    assert "ft_secret" not in found.detail + str(found.hint)


# -- patience ----------------------------------------------------------------------------------------------------------


class Waits:
    """Waits for nothing, and remembers for how long; says to give up after ``most``."""

    def __init__(self, most: int = 10**9) -> None:
        self.waited: list[float] = []
        self.most = most

    def __call__(self, wait_s: float) -> bool:
        self.waited.append(wait_s)
        return len(self.waited) >= self.most


def busy(times: int, after: str | None = None) -> Any:
    left = [times]

    def once() -> str:
        if left[0]:
            left[0] -= 1
            raise Busy(reply(503, {} if after is None else {"retry-after": after}, detail="queue full"))
        return "answered"

    return once


def test_a_busy_server_is_waited_for_as_long_as_it_asks() -> None:
    waits = Waits()
    assert patiently(busy(3, "3"), waits) == "answered"
    assert waits.waited == [3, 3, 3]
    for unsaid in (None, "soon", "-5", "1e9", "Fri, 20 Nov 2026 10:00:00 GMT"):
        waits = Waits()
        assert patiently(busy(2, unsaid), waits) == "answered"
        assert waits.waited == list(remote.BUSY_WAITS_S[:2])


def test_patience_has_an_end() -> None:
    waits = Waits()
    with pytest.raises(ScoringFailed, match="no room: queue full") as caught:
        patiently(busy(10**9), waits)
    assert waits.waited == list(remote.BUSY_WAITS_S)
    assert caught.value.exit_code == 75 and "goes on" in str(caught.value.hint)
    waits = Waits()
    with pytest.raises(ScoringFailed, match=r"asks to wait for 3,600 s"):
        patiently(busy(1, "3600"), waits)
    assert waits.waited == []
    assert patiently(busy(1, f"{LONGEST_WAIT_S:g}"), waits) == "answered"
    with pytest.raises(ScoringFailed):
        patiently(busy(9), Waits(most=2))


def test_the_key_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    Settings.load(environ={API_KEY: "ft_secret"})
    assert "ft_secret" not in str(Settings.load(environ={**os.environ, API_KEY: "ft_secret"}).export())
