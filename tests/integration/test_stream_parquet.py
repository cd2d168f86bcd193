"""Parquet over ``/predict/stream``: nothing is left on the disk, and the loop stays free."""

from __future__ import annotations

import errno
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foretell.codecs.stream.spool import Spool
from tests.columnar_bodies import parquet
from tests.integration.test_stream import PATH, Stream, chunked, head, stream
from tests.serving import Running, running

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

KIND = "application/vnd.apache.parquet"


def sums(rows: int, **columns: Any) -> bytes:
    made = {"id": list(range(rows)), "x": [1.0] * rows, "y": [float(n % 10) for n in range(rows)]}
    return parquet(pa.table({**made, **columns}), row_group_size=3000)


def kept() -> int:
    """How many files without a name this process holds where uploads are kept."""
    links = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(each.readlink()))
        except FileNotFoundError:  # the one that lists the others
            continue
    return sum(link.startswith(f"{tempfile.gettempdir()}/") and "deleted" in link for link in links)


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "ordinary"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(lane=request.param) as opened:
        yield opened


def test_a_file_goes_in_and_a_file_comes_out(server: Running) -> None:
    before = kept()
    body = sums(20_000)
    with stream(server, *(body[at : at + 5000] for at in range(0, len(body), 5000)), b"", kind=KIND) as opened:
        status, headers = opened.begin()
        assert (status, headers["content-type"]) == (200, KIND)
        table = pq.read_table(io.BytesIO(opened.rest()))
    assert table["id"].to_pylist() == list(range(20_000))
    assert table["prediction"].to_pylist() == [10.0 + n % 10 for n in range(20_000)]
    server.eventually(lambda: kept() == before and server.services.servable.leases == 0)


def test_a_caller_that_leaves_in_the_middle_of_an_upload_leaves_nothing_on_the_disk(server: Running) -> None:
    before = kept()
    with stream(server, sums(5000)[:30_000], kind=KIND):
        server.eventually(lambda: kept() == before + 1)
    server.eventually(lambda: kept() == before and server.services.servable.leases == 0)


def test_a_caller_that_leaves_in_the_middle_of_the_answer_ends_the_work() -> None:
    rows = 200_000
    with running() as server:
        before = kept()
        with Stream(server.port, head(PATH, "Accept: text/csv", kind=KIND)) as opened:
            opened.send(chunked(sums(rows)) + chunked(b""))
            assert opened.begin()[0] == 200
            opened.piece()
        server.eventually(lambda: kept() == before and server.services.servable.leases == 0)
        server.eventually(lambda: any(each.code == "client_disconnected" for each in server.observer.outcomes))
        assert server.services.servable.served.rows < rows


def test_a_server_that_stops_and_a_time_limit_end_a_file_that_is_being_answered() -> None:
    rows = 400_000
    with running() as server, Stream(server.port, head(PATH, "Accept: application/x-ndjson", kind=KIND)) as opened:
        opened.send(chunked(sums(rows)) + chunked(b""))
        assert opened.begin()[0] == 200
        opened.piece()
        server.services.drain()
        assert b"draining" in opened.broken_off()
        assert server.services.servable.served.rows < rows


@pytest.mark.parametrize(
    ("body", "more", "status", "code"),
    [
        (b"no such file", "", 400, "malformed_parquet"),
        (sums(10)[:-30], "", 400, "malformed_parquet"),
        (parquet(pa.table({"x": [1.0]})), "", 422, "missing_column"),
        (parquet(pa.table({"x": [1.0], "y": [1.0], "z": [[1]]})), "", 400, "nested_column"),
        (parquet(pa.table({"x": [1.0, None], "y": [1.0, 2.0]})), "?on_error=fail", 422, "bad_row"),
    ],
)
def test_what_is_wrong_with_a_file_has_a_status_of_its_own(
    server: Running, body: bytes, more: str, status: int, code: str
) -> None:
    before = kept()
    with stream(server, body, b"", path=PATH + more, kind=KIND) as opened:
        answer = opened.answer()
    assert (answer.status, answer.json["code"]) == (status, code)
    server.eventually(lambda: kept() == before)


def test_a_row_group_that_is_damaged_breaks_off_what_was_begun(server: Running) -> None:
    body = bytearray(parquet(pa.table({"x": [1.0] * 9000, "y": [1.0] * 9000}), row_group_size=3000, compression="none"))
    second = pq.read_metadata(io.BytesIO(bytes(body))).row_group(2).column(0)
    at = second.dictionary_page_offset or second.data_page_offset
    body[at : at + 20] = b"\xff" * 20
    with stream(server, bytes(body), b"", path=PATH, kind=KIND) as opened:
        assert opened.begin()[0] == 200
        assert opened.broken_off()[:4] == b"PAR1"
    server.eventually(lambda: any(each.code == "malformed_parquet" for each in server.observer.outcomes))


def test_a_file_beyond_the_bound_and_a_full_disk_have_a_status_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(limits={"max_spool_bytes": 2000}) as server:
        with stream(server, sums(5000), b"", kind=KIND) as opened:
            answer = opened.answer()
        assert (answer.status, answer.json["code"]) == (413, "body_too_large")
        assert "limits.max_spool_bytes" in answer.json["detail"]

        class Full:
            def write(self, _: Any) -> int:
                raise OSError(errno.ENOSPC, "no space")

            def close(self) -> None:
                """Nothing was opened."""

        monkeypatch.setattr(Spool, "file", property(lambda _: Full()))
        with stream(server, sums(10)[:1500], b"", kind=KIND) as opened:
            answer = opened.answer()
        assert (answer.status, answer.json["code"]) == (507, "storage_full")
        assert answer.headers["connection"] == "close"
