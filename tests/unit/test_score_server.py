"""A server that scores, as it is named, believed and given a key; what its refusals come to; how long one waits."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from foretell.cli.calling import Key
from foretell.cli.predicting.place import server_url
from foretell.cli.scoring import remote
from foretell.cli.scoring.exchange import Reply
from foretell.cli.scoring.local import ScoringFailed
from foretell.cli.scoring.remote import LONGEST_WAIT_S, Busy, Remote, patiently
from foretell.cli.scoring.server import Server, open_server
from foretell.errors import OperatorError
from foretell.settings import Settings

KEY = Key("ft_secret", "key.txt")


def reply(status: int, headers: dict[str, str] | None = None, **problem: Any) -> Reply:
    return Reply(status, headers or {}, orjson.dumps(problem) if problem else b"<html>")


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
    assert open_server(url, None, None).url == plain


@pytest.mark.parametrize("url", ["http://a:99999", "http://a:b", "http://[::1", "http://", "ftp://a", "http://a:0"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(OperatorError, match="no address"):
        server_url(Settings(), url)


def test_an_address_holds_no_credentials_and_does_not_repeat_them() -> None:
    with pytest.raises(OperatorError, match="no name, password or key") as caught:
        server_url(Settings(), "https://me:hunter2@example.com")
    assert "hunter2" not in caught.value.detail
    with pytest.raises(OperatorError, match="no address"):
        open_server(f"http://{'a' * 64}.example", None, None)


def test_a_model_is_one_segment_of_the_path() -> None:
    assert Remote(Server("http://h"), "a/../b?c", "v 1", "d").path == (
        "/models/a%2F..%2Fb%3Fc/versions/v%201/predict/stream"
    )


def test_a_signature_in_unknown_words_is_no_traceback() -> None:
    descriptions: list[Any] = [None, {"columns": 1}, {"new": []}, []]
    for described in descriptions:
        with pytest.raises(OperatorError, match="words unknown here"):
            Remote(Server("http://h"), "m", "v1", "d", described).signature()


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
