"""Other model servers are compared fairly: locked versions, right answers only, and no two machines mixed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.machine import ROOT
from benchmarks.peers.__main__ import REASON_CHARACTERS, reason
from benchmarks.peers.environment import digest
from benchmarks.peers.peer import PEERS, SHARED, Peer, first_tensor, most_likely
from benchmarks.peers.subject import Question, Subject, WrongAnswerError, post
from benchmarks.record import Record, Run
from benchmarks.servers import NotStartedError, Recipe, Server

RUN = Run("2026-01-02T03:04:05+00:00", 3, 2)
MACHINE = {"processor": "one", "libraries": {"numpy": "1"}}


@contextmanager
def answering(status: int, answer: bytes) -> Iterator[Server]:
    """A server that answers every POST so."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Server(0, server.server_port, Path("/dev/null"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


QUESTION = Question("/predict", b'{"features": [[1.0]]}', most_likely, [1])


def test_a_right_answer_is_measured() -> None:
    with answering(200, b"[[0.2, 0.8]]") as server:
        QUESTION.check(server)


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (200, b"[[0.8, 0.2]]", "not what the model says"),
        (200, b"[[0.2, 0.8], [0.2, 0.8]]", "not what the model says"),
        (200, b"[1]", "cannot be read"),
        (200, b"<html>", "cannot be read"),
        (500, b"[[0.2, 0.8]]", "answers 500"),
    ],
)
def test_a_wrong_answer_is_not_measured(status: int, answer: bytes, reason: str) -> None:
    with answering(status, answer) as server, pytest.raises(WrongAnswerError, match=reason):
        QUESTION.check(server)


def test_a_server_that_is_ready_but_never_answers_is_reported() -> None:
    how = Recipe("one", ["one"], {}, "/", start_s=0.05)
    with answering(503, b"not yet") as server, pytest.raises(NotStartedError, match="not yet"):
        Subject("one", how, QUESTION, QUESTION).await_answer(server)


def test_where_nobody_listens_there_is_no_answer() -> None:
    with answering(200, b"") as server:
        pass
    with pytest.raises(OSError, match="refused"):
        post(server.port, "/", b"")


def test_the_most_likely_class_is_read_from_each_form_of_answer() -> None:
    rows = [[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]]
    assert most_likely(rows) == [1, 0]
    flat = {"outputs": [{"shape": [2, 3], "data": [value for row in rows for value in row]}]}
    assert first_tensor(flat) == [1, 0]


@pytest.mark.parametrize("peer", PEERS, ids=[peer.name for peer in PEERS])
def test_every_package_of_a_peer_is_locked(peer: Peer) -> None:
    locked = dict(line.partition("==")[::2] for line in peer.lock.read_text(encoding="utf-8").splitlines())
    assert all(locked.values())
    name = peer.requires.partition("==")[0].partition("[")[0]
    assert locked[name] == peer.version
    assert locked["scikit-learn"] == SHARED[0].partition("==")[2], "all predict with the same library"


def test_an_environment_is_built_anew_when_its_lock_changes() -> None:
    one, other = (peer for peer in PEERS if peer.name in ("litserve", "kserve"))
    assert digest(one) == digest(one)
    assert len({digest(one), digest(other), digest(replace(one, prepare="else"))}) == 3


def record(names: str, value: float, machine: object = None, absent: dict[str, str] | None = None) -> Record:
    medians = {f"{name}/memory": {"memory_mib": value} for name in names.split() if name not in (absent or {})}
    runs = {name: RUN for name in names.split() if name not in (absent or {})}
    return Record(machine or MACHINE, runs, medians, absent or {})  # type: ignore[arg-type]


def test_a_run_of_some_keeps_the_figures_of_the_others() -> None:
    both = record("b c", 2.0).onto(record("a b", 1.0))
    assert {case: row["memory_mib"] for case, row in both.medians.items()} == {
        "a/memory": 1.0,
        "b/memory": 2.0,
        "c/memory": 2.0,
    }
    assert set(both.runs) == {"a", "b", "c"}


def test_what_could_not_be_measured_this_time_shows_no_figures_of_last_time() -> None:
    both = record("b", 2.0, absent={"b": "gone"}).onto(record("a b", 1.0))
    assert (set(both.runs), set(both.medians), both.not_measured) == ({"a"}, {"a/memory"}, {"b": "gone"})
    again = record("b", 3.0).onto(both)
    assert (set(again.runs), again.not_measured) == ({"a", "b"}, {})


def test_figures_of_another_machine_are_not_mixed_in() -> None:
    now = record("b", 2.0, machine={"processor": "another"})
    assert now.onto(record("a", 1.0)) == now


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert Record.read(tmp_path / "none.json") is None
    written = record("a b", 1.25, absent={"b": "gone"})
    written.write(tmp_path / "results" / "some.json")
    assert Record.read(tmp_path / "results" / "some.json") == written


def test_a_reason_is_one_line_and_names_no_folder_of_the_machine() -> None:
    said = f"File {ROOT}/one.py\n  File {Path.home()}/two.py\n\tin /run-1/log: no port"
    assert reason(said, "/run-1") == "File /one.py File /two.py in /log: no port"
    assert reason("x" * 1000 + "end", "/run-1").endswith("xend")
    assert len(reason("x" * 1000, "/run-1")) == REASON_CHARACTERS
