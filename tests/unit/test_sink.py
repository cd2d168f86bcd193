"""The sink never waits, loses nothing it can write, and counts what it drops."""

from __future__ import annotations

import fcntl
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foretell.telemetry.sink import Sink, _cut
from foretell.telemetry.target import Descriptor, LogFile

F_SETPIPE_SZ = 1031


def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        pause.wait(0.005)


def told(dropped: int) -> bytes:
    return b"dropped=%d\n" % dropped


def sink_on(target: Descriptor | LogFile, max_lines: int = 1000) -> Sink:
    return Sink(target, max_lines=max_lines, tell=told)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError as error:
            assert error.errno == 9  # the test closed it itself


def drain(reader: int, until_text: bytes, within_s: float = 10.0) -> bytes:
    got, deadline = b"", time.monotonic() + within_s
    while until_text not in got:
        assert time.monotonic() < deadline, got[-200:]
        if select.select([reader], [], [], 0.05)[0]:
            got += os.read(reader, 65536)
    return got


class Broken:
    """A target that fails until it is mended, and takes ``torn`` bytes before it fails."""

    block_bytes = 65536

    def __init__(self) -> None:
        self.error: OSError | None = OSError(28, "No space left on device")
        self.torn = 0
        self.got = b""
        self.attempts = 0

    def write(self, block: memoryview) -> int:
        self.attempts += 1
        if self.error is None:
            self.got += bytes(block)
            return len(block)
        if self.torn:
            taken, self.torn = self.torn, 0
            self.got += bytes(block[:taken])
            return taken
        raise self.error

    def close(self) -> None:
        self.error = OSError(9, "closed")


def test_lines_are_written_within_200_ms_without_a_stop(pipe: tuple[int, int]) -> None:
    sink = sink_on(Descriptor(pipe[1]))
    started = time.monotonic()
    sink.write(b"one\n")
    assert select.select([pipe[0]], [], [], 5)[0]
    assert time.monotonic() - started < 0.2
    assert os.read(pipe[0], 100) == b"one\n"
    assert sink.close() == 0


def test_stop_writes_what_is_buffered_at_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = sink_on(LogFile(path), max_lines=10_000)
    for number in range(3000):
        sink.write(b"%d\n" % number)
    assert sink.close() == 0
    assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(3000))


def test_a_line_after_stop_is_still_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = sink_on(LogFile(path))
    sink.write(b"before\n")
    sink.stop()
    sink.write(b"after\n")
    assert sink.close() == 0
    assert path.read_bytes() == b"before\nafter\n"


def test_a_line_after_close_is_dropped_and_touches_no_descriptor_of_others(tmp_path: Path) -> None:
    sink = sink_on(LogFile(tmp_path / "log"))
    sink.write(b"before\n")
    sink.close()
    with (tmp_path / "other").open("wb"):  # takes the number of the descriptor that was closed
        sink.write(b"after\n")
        assert sink.stop() == 1
    assert (tmp_path / "other").read_bytes() == b""
    assert (tmp_path / "log").read_bytes() == b"before\n"


def test_stop_of_an_unused_sink_starts_nothing(tmp_path: Path) -> None:
    before = threading.active_count()
    sink = sink_on(LogFile(tmp_path / "log"))
    assert sink.close() == 0
    assert threading.active_count() == before


def test_a_reader_that_stands_still_costs_writers_nothing_and_the_dropped_are_told(pipe: tuple[int, int]) -> None:
    sink = sink_on(Descriptor(pipe[1]), max_lines=500)
    line = b"x" * 99 + b"\n"
    slowest = 0.0
    for _ in range(5000):
        started = time.perf_counter()
        sink.write(line)
        slowest = max(slowest, time.perf_counter() - started)
    dropped = sink.dropped_total
    assert dropped >= 4000
    assert slowest < 1.0
    got = drain(pipe[0], b"dropped=")
    assert got.count(line) == 5000 - dropped
    assert got.endswith(told(dropped))
    sink.write(b"again\n")
    assert drain(pipe[0], b"again\n").endswith(b"again\n")
    assert sink.close() == 0


def test_stop_is_bounded_while_the_output_is_stuck(pipe: tuple[int, int]) -> None:
    sink = sink_on(Descriptor(pipe[1]))
    sink.write(b"y" * 20_000 + b"\n")
    sink.write(b"z\n")
    started = time.monotonic()
    assert sink.stop(timeout_s=0.3) == 2
    assert 0.2 < time.monotonic() - started < 2
    assert drain(pipe[0], b"z\n").endswith(b"y\nz\n")


def test_a_sink_stopped_while_stuck_goes_on_with_new_lines_once_it_drains(pipe: tuple[int, int]) -> None:
    before = set(threading.enumerate())
    sink = sink_on(Descriptor(pipe[1]))
    sink.write(b"y" * 20_000 + b"\n")
    sink.stop(timeout_s=0.1)
    sink.write(b"later\n")
    assert b"later\n" in drain(pipe[0], b"later\n")
    assert sink.close() == 0
    until(lambda: set(threading.enumerate()) <= before)


def test_a_nonblocking_descriptor_that_is_full_is_tried_again(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    sink = sink_on(Descriptor(pipe[1]))
    sink.write(b"a" * 50_000 + b"\n")
    assert drain(pipe[0], b"\n") == b"a" * 50_000 + b"\n"
    assert sink.close() == 0


def test_a_full_nonblocking_descriptor_is_given_up_at_stop(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    sink = sink_on(Descriptor(pipe[1]))
    sink.write(b"a" * 50_000 + b"\n")
    sink.stop(timeout_s=0.2)
    until(lambda: sink.dropped_total == 1)


def test_a_reader_that_is_gone_makes_lines_drop_not_raise(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    sink = sink_on(Descriptor(pipe[1]))
    sink.write(b"one\n")
    sink.write(b"two\n")
    until(lambda: sink.dropped_total == 2)
    assert sink.close() == 2


def test_a_full_disk_is_survived_and_the_dropped_are_told_when_there_is_room() -> None:
    target = Broken()
    sink = Sink(target, max_lines=100, tell=told)
    target.torn = 6
    sink.write(b"whole\ntorn apart\nlost\n", 3)
    until(lambda: sink.dropped_total == 2)
    target.error = None
    sink.write(b"after\n")
    until(lambda: target.got.endswith(b"dropped=2\n"))
    assert target.got == b"whole\nafter\ndropped=2\n"
    assert sink.close() == 0


def test_a_line_torn_by_an_error_does_not_swallow_the_next() -> None:
    target = Broken()
    target.torn = 4
    sink = Sink(target, max_lines=100, tell=told)
    sink.write(b"torn apart\n")
    until(lambda: sink.dropped_total == 1)
    target.error = None
    sink.write(b"next\n")
    until(lambda: b"dropped" in target.got)
    assert target.got == b"torn\nnext\ndropped=1\n"
    assert sink.close() == 0


def test_a_block_over_the_bound_is_dropped_whole(tmp_path: Path) -> None:
    sink = sink_on(LogFile(tmp_path / "log"), max_lines=3)
    sink.write(b"1\n2\n3\n4\n", 4)
    assert sink.dropped_total == 4
    assert sink.close() == 4


def test_a_full_buffer_is_written_before_the_gathering_time_is_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = sink_on(LogFile(path), max_lines=100_000)
    for _ in range(2000):
        sink.write(b"n\n")
    until(lambda: path.stat().st_size == 4000)
    assert sink.close() == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_writes_its_own_lines_and_not_its_parents(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = sink_on(LogFile(path))
    with sink._lock:  # a lock held by another thread at the fork must not stop the child
        sink.write(b"parent\n")
        child = os.fork()
        if not child:
            sink.write(b"child\n")
            os._exit(sink.stop())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sink.close() == 0
    assert sorted(path.read_bytes().splitlines()) == [b"child", b"parent"]


def test_a_file_moved_away_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.telemetry.target._LOOK_S", 0.0)
    path = tmp_path / "log"
    sink = sink_on(LogFile(path))
    sink.write(b"old\n")
    sink.stop()
    path.rename(tmp_path / "log.1")
    sink.write(b"new\n")
    sink.close()
    assert (tmp_path / "log.1").read_bytes() == b"old\n"
    assert path.read_bytes() == b"new\n"


def test_a_file_that_stays_is_not_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.telemetry.target._LOOK_S", 0.0)
    target = LogFile(tmp_path / "log")
    fd = target._fd
    target.write(memoryview(b"line\n"))
    assert target._fd == fd
    target.close()


def test_a_pipe_shared_by_processes_gets_whole_lines_in_atomic_writes(pipe: tuple[int, int], tmp_path: Path) -> None:
    assert Descriptor(pipe[1], shared=True).block_bytes == 4096
    assert Descriptor(pipe[1]).block_bytes > 4096
    with (tmp_path / "log").open("wb") as file:
        assert Descriptor(file.fileno(), shared=True).block_bytes > 4096
    assert Descriptor(9999, shared=True).block_bytes == 4096


@pytest.mark.parametrize(
    ("data", "start", "size", "stop"),
    [
        (b"aa\nbb\ncc\n", 0, 7, 6),
        (b"aa\nbb\ncc\n", 3, 100, 9),
        (b"aa\nbb\ncc\n", 0, 3, 3),
        (b"aaaaaa\nbb\n", 0, 4, 7),
        (b"aaaaaaa", 0, 4, 7),
    ],
)
def test_blocks_end_with_a_whole_line(data: bytes, start: int, size: int, stop: int) -> None:
    assert _cut(data, start, size) == stop
