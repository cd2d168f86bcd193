"""``/predict/stream`` over real sockets: answers before the end, back-pressure both ways, and how a stream ends."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from foretell.core.access.principal import Principal
from foretell.execution.threaded import ThreadedExecutor
from tests.gates import Keys, gate
from tests.serving import Running, Sum, running
from tests.tooling import find_tool
from tests.wire import Wire

PATH = "/api/v1/models/sum/predict/stream"


def head(path: str = PATH, *headers: str, kind: str = "application/x-ndjson") -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {kind}",
        "Transfer-Encoding: chunked",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b"0\r\n\r\n"


class Stream(Wire):
    """One stream on a connection of its own."""

    def __init__(self, port: int, first: bytes) -> None:
        super().__init__(port)
        self.send(first)

    def begin(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return int(lines[0].split(" ")[1]), headers

    def piece(self) -> bytes:
        """The next piece of the answer; empty at its end. Raises EOFError where it is broken off."""
        size = int(self._until(b"\r\n"), 16)
        return self._exactly(size + 2)[:-2]

    def rest(self) -> bytes:
        """All that still comes, up to the answer's end."""
        found = b""
        while piece := self.piece():
            found += piece
        return found

    def broken_off(self) -> bytes:
        """All that still comes, up to where the server breaks the answer off."""
        found = b""
        try:
            while piece := self.piece():
                found += piece
        except EOFError:
            return found
        raise AssertionError("the answer ended as if it were whole")


def objects(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@contextmanager
def stream(server: Running, *parts: bytes, path: str = PATH, kind: str = "application/x-ndjson") -> Iterator[Stream]:
    with Stream(server.port, head(path, kind=kind) + b"".join(map(chunked, parts))) as opened:
        yield opened


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "ordinary"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(lane=request.param) as opened:
        yield opened


def test_answers_start_before_the_upload_ends(server: Running) -> None:
    with stream(server, b"[1,2]\n[3,") as opened:
        status, headers = opened.begin()
        assert (status, headers["content-type"]) == (200, "application/x-ndjson")
        assert headers["x-model"] == "sum"
        assert opened.piece() == b'{"features":[1,2],"prediction":12.0}\n'
        opened.send(chunked(b"4]\n"))
        assert opened.piece() == b'{"features":[3,4],"prediction":34.0}\n'
        opened.send(chunked(b""))
        assert objects(opened.rest()) == [{"summary": {"rows": 2, "faulty": 0, "complete": True}}]
    server.eventually(lambda: server.services.servable.leases == 0)


@pytest.mark.parametrize(
    "path", ["/predict/stream", "/api/v1/predict/stream", "/api/v1/models/sum/versions/latest/predict/stream"]
)
def test_every_path_streams(server: Running, path: str) -> None:
    with stream(server, b"x,y\n1,2\n", b"", path=path, kind="text/csv") as opened:
        assert opened.begin()[0] == 200
        assert opened.rest() == b"x,y,prediction,error\n1,2,12.0,\n"


def test_order_and_count_hold_over_many_chunks(server: Running) -> None:
    rows = 20_000
    body = b"y,n,x\n" + b"".join(b"%d,%d,1\n" % (n % 10, n) for n in range(rows))
    with Stream(server.port, head(kind="text/csv") + chunked(body) + chunked(b"")) as opened:
        assert opened.begin()[0] == 200
        lines = opened.rest().splitlines()
    assert lines[1:] == [b"%d,%d,1,%d.0," % (n % 10, n, 10 + n % 10) for n in range(rows)]
    server.eventually(lambda: any(outcome.rows == rows for outcome in server.observer.outcomes))


@pytest.mark.parametrize(
    ("kind", "more", "body", "status", "code"),
    [
        ("application/json", "", b"{}", 415, "unsupported_media_type"),
        ("text/csv", "?on_error=never", b"x,y\n", 422, "invalid_parameter"),
        ("text/csv", "?on_error=skip&on_error=skip", b"x,y\n", 422, "invalid_parameter"),
        ("text/csv", "?" + "&".join(f"a{n}=1" for n in range(30)), b"x,y\n", 422, "invalid_parameter"),
        ("text/csv", "?sumary=false", b"x,y\n", 422, "invalid_parameter"),
        ("text/csv", "", b"x,z\n1,2\n", 422, "missing_column"),
        ("text/csv", "?on_error=fail", b"x,y\n1,z\n", 422, "bad_row"),
    ],
)
def test_what_is_wrong_from_the_start_has_a_status_of_its_own(
    server: Running, kind: str, more: str, body: bytes, status: int, code: str
) -> None:
    with stream(server, body, b"", path=PATH + more, kind=kind) as opened:
        answer = opened.answer()
    assert (answer.status, answer.json["code"]) == (status, code)
    assert server.services.servable.leases == 0


def test_an_unknown_model_and_an_unknown_answer_format_are_refused(server: Running) -> None:
    with stream(server, b"", path="/api/v1/models/summ/predict/stream") as opened:
        assert opened.answer().status == 404
    with Stream(server.port, head(PATH, "Accept: image/png") + chunked(b"")) as opened:
        assert opened.answer().status == 406


def test_the_first_bad_row_ends_a_stream_that_must_not_have_one(server: Running) -> None:
    with stream(server, b"[1,2]\n", path=PATH + "?on_error=fail") as opened:
        assert opened.begin()[0] == 200
        assert opened.piece() == b'{"features":[1,2],"prediction":12.0}\n'
        opened.send(chunked(b'[3,"4"]\n'))
        [last] = objects(opened.broken_off())
    assert last["summary"]["complete"] is False
    assert last["summary"]["reason"].startswith("bad_row: Row 1 is wrong")
    server.eventually(lambda: any(outcome.code == "bad_row" for outcome in server.observer.outcomes))


def test_rows_may_be_left_out_and_the_summary_too(server: Running) -> None:
    with stream(server, b'[1,2]\n["a",1]\n', b"", path=PATH + "?on_error=skip&summary=false") as opened:
        assert opened.begin()[0] == 200
        assert opened.rest() == b'{"features":[1,2],"prediction":12.0}\n'


def test_a_caller_that_leaves_is_noticed_and_costs_nothing_more(server: Running) -> None:
    with stream(server, b"[1,2]\n") as opened:
        opened.begin()
        opened.piece()
        assert server.services.servable.leases == 1
    server.eventually(lambda: server.services.servable.leases == 0)
    server.eventually(lambda: any(outcome.code == "client_disconnected" for outcome in server.observer.outcomes))


def test_a_caller_that_does_not_read_makes_the_server_stop_reading() -> None:
    line = b'{"x":1,"y":2,"pad":"' + b"p" * 1000 + b'"}\n'
    with running() as server, Stream(server.port, head()) as opened:
        opened.socket.settimeout(1.0)
        piece, sent, limit = chunked(line * 64), 0, 400
        with pytest.raises(TimeoutError):
            while sent < limit:
                opened.send(piece)
                sent += 1
        assert sent < limit
        assert server.services.servable.served.rows < 64 * limit
    # what was sent and not read by anybody is bounded by the sockets' own buffers and a few chunks


def test_a_model_that_is_slow_makes_the_server_stop_reading() -> None:
    model = Sum()
    model.gate.clear()
    with running(model, make_executor=ThreadedExecutor) as server, Stream(server.port, head()) as opened:
        opened.socket.settimeout(1.0)
        piece = chunked(b"[1,2]\n" * 20_000)
        with pytest.raises(TimeoutError):
            for _ in range(400):
                opened.send(piece)
        model.gate.set()


def test_a_stream_that_stands_still_is_ended() -> None:
    with running(limits={"stream_idle_s": 0.3}) as server, stream(server, b"[1,2]\n") as opened:
        assert opened.begin()[0] == 200
        found = objects(opened.broken_off())
    assert found[0]["prediction"] == 12.0
    assert found[-1]["summary"]["reason"].startswith("deadline_exceeded: No row came for 0.3 seconds")


def test_a_caller_that_does_not_read_for_long_is_given_up() -> None:
    line = b'{"x":1,"y":2,"pad":"' + b"p" * 1000 + b'"}\n'
    with running(limits={"stream_idle_s": 0.3}) as server, Stream(server.port, head()) as opened:
        opened.socket.settimeout(0.2)
        with pytest.raises((TimeoutError, OSError)):
            for _ in range(2000):
                opened.send(chunked(line * 64))
        server.eventually(lambda: any(outcome.code == "client_too_slow" for outcome in server.observer.outcomes))
        assert server.services.servable.leases == 0


def test_a_time_limit_the_caller_names_holds_for_the_whole_stream(server: Running) -> None:
    with Stream(server.port, head(PATH, "X-Request-Timeout: 0.3") + chunked(b"[1,2]\n")) as opened:
        assert opened.begin()[0] == 200
        assert b"X-Request-Timeout" in opened.broken_off()


def test_a_server_that_stops_answers_what_it_read_and_breaks_off() -> None:
    with running() as server, stream(server, b"[1,2]\n") as opened:
        assert opened.begin()[0] == 200
        assert opened.piece() == b'{"features":[1,2],"prediction":12.0}\n'
        server.services.drain()
        [last] = objects(opened.broken_off())
        assert last["summary"]["reason"].startswith("draining")
        with stream(server, b"[1,2]\n", b"") as late:
            assert late.answer().status == 503


def test_a_csv_stream_that_is_not_answered_to_its_end_is_broken_off() -> None:
    with running() as server, stream(server, b"x,y\n1,2\n", kind="text/csv") as opened:
        assert opened.begin()[0] == 200
        assert opened.piece() == b"x,y,prediction,error\n1,2,12.0,\n"
        server.services.drain()
        opened.send(chunked(b"3,4\n"))
        assert opened.broken_off() == b""


def test_streams_do_not_keep_single_predictions_waiting(server: Running) -> None:
    with Stream(server.port, head() + chunked(b"[1,2]\n" * 30_000)) as opened, Wire(server.port) as wire:
        opened.begin()
        for _ in range(20):
            wire.send(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18\r\n\r\n")
            wire.send(b'{"features":[1,2]}')
            assert wire.answer().json["prediction"] == 12.0


def test_curl_uploads_a_file_of_any_size(server: Running, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("x,y\n" + "1,2\n" * 100_000, encoding="utf-8")
    url = f"http://127.0.0.1:{server.port}{PATH}"
    command = [find_tool("curl"), "-sS", "--fail", "-X", "POST", "-T", str(rows), "-H", "content-type: text/csv", url]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert answer.count(b"1,2,12.0,\n") == 100_000


def test_too_many_streams_are_refused(server: Running) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.services.service, "_max_streams", 0)
        with stream(server, b"[1,2]\n", b"") as opened:
            answer = opened.answer()
    assert (answer.status, answer.json["code"]) == (503, "queue_full")
    assert "retry-after" in answer.headers


def keyed(secret: str) -> bytes:
    return head(PATH, f"X-API-Key: {secret}")


def partner(name: str) -> Principal:
    return Principal(f"key:{name}", "key", name, frozenset({"predict"}))


@pytest.mark.parametrize("moving", [True, False], ids=["rows come", "no row comes"])
def test_a_stream_ends_when_its_credential_does_and_not_when_another_does(moving: bool) -> None:
    keys = Keys({"ft_a": partner("a"), "ft_b": partner("b")})
    with running(gate=gate(keys)) as server, Stream(server.port, keyed("ft_a") + chunked(b"[1,2]\n")) as opened:
        assert opened.begin()[0] == 200
        assert opened.piece() == b'{"features":[1,2],"prediction":12.0}\n'
        del keys.principals["ft_b"]
        keys.changed()
        opened.send(chunked(b"[3,4]\n"))
        assert opened.piece() == b'{"features":[3,4],"prediction":34.0}\n'
        del keys.principals["ft_a"]
        keys.changed()
        if moving:
            opened.send(chunked(b"[5,6]\n"))
        [last] = objects(opened.broken_off())
        assert last["summary"]["reason"].startswith("credential_invalid: The credential is not valid")
        assert (last["summary"]["rows"], last["summary"]["complete"]) == (2, False)
    server.eventually(lambda: any(outcome.code == "credential_invalid" for outcome in server.observer.outcomes))
    assert server.services.servable.leases == 0


def test_a_stream_goes_on_as_whom_it_began_as_or_not_at_all() -> None:
    keys = Keys({"ft_a": partner("a")})
    with (
        running(gate=gate(keys, mode="off")) as server,
        Stream(server.port, keyed("ft_a") + chunked(b"[1,2]\n")) as known,
        Stream(server.port, keyed("ft_c") + chunked(b"[1,2]\n")) as stranger,
    ):
        for opened in (known, stranger):
            assert opened.begin()[0] == 200
            opened.piece()
        keys.principals.clear()
        keys.changed()
        assert b"credential_invalid" in known.broken_off()
        stranger.send(chunked(b"[3,4]\n") + chunked(b""))
        assert objects(stranger.rest())[-1]["summary"]["complete"]


def test_a_token_that_memory_let_go_of_is_looked_at_again() -> None:
    keys = Keys({"eyJ.a": partner("a")}, {"eyJ.a": partner("a")})
    with running(gate=gate(keys)) as server, Stream(server.port, keyed("eyJ.a") + chunked(b"[1,2]\n")) as opened:
        assert opened.begin()[0] == 200
        opened.piece()
        keys.principals.clear()
        keys.changed()
        opened.send(chunked(b"[3,4]\n") + chunked(b""))
        assert objects(opened.rest())[-1]["summary"]["complete"]
    assert keys.asked == [b"eyJ.a"]


def test_one_caller_takes_no_more_than_its_part_of_the_streams() -> None:
    keys = Keys({"ft_a": partner("a"), "ft_b": partner("b")})
    with running(gate=gate(keys)) as server:
        server.services.service._max_streams = 7
        with Stream(server.port, keyed("ft_a") + chunked(b"[1,2]\n")) as first:
            assert first.begin()[0] == 200
            with Stream(server.port, keyed("ft_a") + chunked(b"[1,2]\n") + chunked(b"")) as second:
                answer = second.answer()
            assert (answer.status, answer.json["code"]) == (503, "queue_full")
            assert "of this caller" in answer.json["detail"]
            with Stream(server.port, keyed("ft_b") + chunked(b"[1,2]\n") + chunked(b"")) as other:
                assert other.begin()[0] == 200
                assert other.rest()
            first.send(chunked(b""))
            assert first.rest()
        server.eventually(lambda: not server.services.service._streams)
        with Stream(server.port, keyed("ft_a") + chunked(b"[1,2]\n") + chunked(b"")) as again:
            assert again.begin()[0] == 200


def test_a_failure_of_ours_breaks_the_answer_off(server: Running) -> None:
    from foretell.codecs.stream.ndjson import NdjsonWriter

    with pytest.MonkeyPatch.context() as patch, stream(server, b"[1,2]\n") as opened:
        assert opened.begin()[0] == 200
        opened.piece()
        patch.setattr(NdjsonWriter, "write", lambda *_: 1 / 0)
        opened.send(chunked(b"[3,4]\n"))
        assert opened.broken_off() == b""
    server.eventually(lambda: server.services.servable.leases == 0)


def test_a_socket_that_closes_without_a_word_before_the_first_row(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(head())
    server.eventually(lambda: server.services.servable.leases == 0)
