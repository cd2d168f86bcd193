"""``foretell score --server``: every format in every other, stopped and gone on with, over TLS, with keys."""

from __future__ import annotations

import csv
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foretell.cli.main import cli
from foretell.cli.scoring import column_files, parts, remote, work
from foretell.cli.scoring import run as run_module
from foretell.cli.scoring.exchange import Broken, Request, exchange
from foretell.cli.scoring.local import ScoringFailed
from foretell.cli.scoring.parts import Part
from foretell.cli.scoring.receiving import ColumnAnswers, even
from foretell.cli.scoring.scorer import Job
from foretell.cli.scoring.sending import open_source, plain_schema
from foretell.core.access.principal import Principal
from foretell.errors import OperatorError
from foretell.security.tls.context import FollowingContext
from foretell.security.tls.files import TlsFiles
from foretell.settings_reading import API_KEY
from tests.certificates import Issuer
from tests.gates import Keys, gate
from tests.serving import Running, running

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

ROWS = 2500
BAD = 1234
TEXTS = ("csv", "ndjson")
SUFFIXES = (*TEXTS, "parquet", "arrow", "arrows")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL_PATH", "HOST", "PORT", "FORETELL_MODELS", API_KEY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(parts, "PART_BYTES", 16 * 1024)
    monkeypatch.setattr(column_files, "LEAST_ROWS", 100)
    monkeypatch.setattr(run_module, "STREAM_ROWS", 300)
    monkeypatch.setattr(work, "CHECKPOINT_S", 0.0)
    monkeypatch.setenv("FORETELL_STATE", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as opened:
        yield opened


def score(*args: str, code: int = 0) -> str:
    """Standard error; raises what the command raises."""
    result = CliRunner().invoke(cli, ["score", *args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stderr


def at(server: Running, scheme: str = "http", host: str = "127.0.0.1") -> tuple[str, ...]:
    return "--server", f"{scheme}://{host}:{server.port}", "--model", "sum", "--processes", "2"


def write(path: Path, rows: int = ROWS, bad: int | None = BAD) -> None:
    """Rows whose answers are their own; the one at ``bad`` has no x."""
    ids, xs = [f"n{n}" for n in range(rows)], [None if n == bad else float(n) for n in range(rows)]
    if path.suffix == ".csv":
        lines = [f"{i},{'' if x is None else x},1\n" for i, x in zip(ids, xs, strict=True)]
        path.write_text("id,x,y\n" + "".join(lines))
        return
    if path.suffix == ".ndjson":
        given = [{"id": i, "x": x, "y": 1} for i, x in zip(ids, xs, strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in given))
        return
    table = pa.table({"id": pa.array(ids).dictionary_encode(), "x": xs, "y": [1] * rows})
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=700)
        return
    with (pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream)(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=700)


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".ndjson":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    else:
        opened = pa.ipc.open_file if path.suffix == ".arrow" else pa.ipc.open_stream
        found = opened(pa.memory_map(str(path))).read_all().to_pylist()
    return found


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", SUFFIXES)
def test_every_format_is_answered_in_every_other(server: Running, folder: Path, source: str, target: str) -> None:
    write(folder / f"in.{source}")
    said = score(f"in.{source}", f"out.{target}", *at(server), code=3)
    assert said.startswith(f"{ROWS:,} rows") and "1 faulty" in said
    rows = read(folder / f"out.{target}")
    assert [row["id"] for row in rows] == [f"n{n}" for n in range(ROWS)]
    predictions = [None if row["prediction"] in (None, "") else float(row["prediction"]) for row in rows]
    assert predictions == [None if n == BAD else 10.0 * n + 1 for n in range(ROWS)]
    assert [n for n, row in enumerate(rows) if row.get("error")] == [BAD]
    assert set(rows[0]) >= {"id", "x", "y", "prediction"}
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"in.{source}", f"out.{target}"])


@pytest.mark.parametrize(("source", "target"), [("parquet", "parquet"), ("ndjson", "csv"), ("csv", "arrow")])
def test_bad_rows_may_be_left_out(server: Running, folder: Path, source: str, target: str) -> None:
    write(folder / f"in.{source}")
    said = score(f"in.{source}", f"out.{target}", *at(server), "--on-error", "skip", code=3)
    assert "1 faulty" in said
    rows = read(folder / f"out.{target}")
    assert [row["id"] for row in rows] == [f"n{n}" for n in range(ROWS) if n != BAD]
    assert "error" not in rows[0]


@pytest.mark.parametrize(
    ("source", "target"),
    [("parquet", "parquet"), ("arrow", "csv"), ("arrows", "arrows"), ("csv", "arrow"), ("ndjson", "parquet")],
)
def test_a_run_that_was_stopped_goes_on_and_gives_the_same_bytes(
    server: Running, folder: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str
) -> None:
    write(folder / f"in.{source}")
    out = folder / f"out.{target}"
    command = (f"in.{source}", out.name, *at(server))
    score(*command, code=3)
    whole = out.read_bytes()
    out.unlink()
    append, calls = work.Work.append, [0]

    def stopped(self: work.Work, scored: Any) -> None:
        append(self, scored)
        calls[0] += 1
        if calls[0] in (1, 3):
            raise KeyboardInterrupt

    monkeypatch.setattr(work.Work, "append", stopped)
    for _ in range(2):
        assert "goes on from here" in score(*command, code=130)
    assert not out.exists()
    assert "by an earlier run" in score(*command, code=3)
    assert out.read_bytes() == whole


def test_files_without_rows_have_columns_where_the_server_tells_them(server: Running, folder: Path) -> None:
    write(folder / "in.csv", rows=0)
    score("in.csv", "out.parquet", *at(server))
    assert parquet.read_schema(folder / "out.parquet").names == ["id", "x", "y", "prediction", "error"]
    for suffix in ("arrow", "arrows", "parquet"):
        write(folder / f"in.{suffix}", rows=0)
        score(f"in.{suffix}", "out.arrow", *at(server))
        assert read(folder / "out.arrow") == []
    (folder / "in.ndjson").write_text("\n \n")
    score("in.ndjson", "out.csv", *at(server))
    assert read(folder / "out.csv") == []


def test_columns_the_model_does_not_take_are_told_in_the_servers_words(server: Running, folder: Path) -> None:
    parquet.write_table(pa.table({"x": [1.0], "z": [2.0]}), folder / "in.parquet")
    with pytest.raises(ScoringFailed, match="missing") as caught:
        score("in.parquet", "out.parquet", *at(server))
    assert caught.value.exit_code == 65


def test_a_file_that_is_damaged_further_on_ends_the_run_with_words(server: Running, folder: Path) -> None:
    write(folder / "in.parquet", bad=None)
    damaged = bytearray((folder / "in.parquet").read_bytes())
    damaged[5000:9000] = b"\xff" * 4000
    (folder / "in.parquet").write_bytes(damaged)
    with pytest.raises(ScoringFailed, match=r"in\.parquet cannot be read"):
        score("in.parquet", "out.parquet", *at(server))


def job(path: Path, kind: str) -> Job:
    return Job(str(path), kind, "arrow", 0, "null", 1 << 20)


def test_what_is_sent_is_small_plain_and_the_same_each_time(folder: Path) -> None:
    rows = 500
    kinds = pa.schema([("d", pa.dictionary(pa.int8(), pa.string())), ("v", pa.string_view()), ("b", pa.binary_view())])
    texts = [f"{n:05}" * 2000 for n in range(rows)]
    table = pa.table(
        [
            pa.array(["a", "b"] * 250).dictionary_encode().cast(kinds[0].type),
            pa.array(texts, pa.string_view()),
            pa.array([b"x"] * rows, pa.binary_view()),
        ],
        schema=kinds,
    )
    with pa.ipc.new_file(str(folder / "in.arrow"), table.schema) as writer:
        writer.write_table(table)
    source = open_source(job(folder / "in.arrow", "arrow"))
    body = source.body(Part(0, 0, rows))
    sent = b"".join(body.pieces())
    assert sent == b"".join(source.body(Part(0, 0, rows)).pieces())
    assert body.rows() == rows
    source.close()
    batches = list(pa.ipc.open_stream(sent))
    assert [str(field.type) for field in plain_schema(kinds)] == ["string", "string", "binary"]
    assert all(batch.nbytes <= 1 << 20 for batch in batches) and len(batches) > 1
    assert pa.Table.from_batches(batches).column("v").to_pylist() == texts


def test_batches_have_the_same_sizes_wherever_those_that_came_end() -> None:
    table = pa.table({"n": list(range(100))})
    for size in (1, 3, 7, 33, 100):
        found = list(even(iter(table.to_batches(max_chunksize=size)), 30))
        assert [batch.num_rows for batch in found] == [30, 30, 30, 10]
        assert pa.Table.from_batches(found).column("n").to_pylist() == list(range(100))
    assert [batch.num_rows for batch in even(iter(table.to_batches(max_chunksize=10)), 50)] == [50, 50]


def test_an_answer_that_is_no_stream_of_batches_is_asked_for_again(folder: Path) -> None:
    with (folder / "part").open("wb") as out:
        answers = ColumnAnswers(out, Part(0, 0, 1), folder / "aside")
        answers.take(b"no such thing")
        with pytest.raises(Broken, match="no Arrow stream"):
            answers.end()
        answers.close()
    assert [path.name for path in folder.iterdir()] == ["part"]


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer.make()


@pytest.fixture(scope="module")
def encrypted(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    context = FollowingContext(TlsFiles(*issuer.server(["127.0.0.1"]).write(tmp_path_factory.mktemp("tls"))))
    with running(tls=context) as opened:
        yield opened


@pytest.fixture
def ca(issuer: Issuer, folder: Path) -> str:
    return str(issuer.write(folder / "authority", "ca")[0])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_server_with_tls_scores_where_its_authority_is_named(
    encrypted: Running, folder: Path, ca: str, suffix: str
) -> None:
    write(folder / f"in.{suffix}")
    score(f"in.{suffix}", f"out.{suffix}", *at(encrypted, "https"), "--ca", ca, code=3)
    assert len(read(folder / f"out.{suffix}")) == ROWS


def test_a_certificate_that_is_not_trusted_says_why_and_gets_nothing(
    encrypted: Running, folder: Path, ca: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "in.csv", rows=3)
    monkeypatch.setenv(API_KEY, "ft_secret")
    with pytest.raises(ScoringFailed, match=r"certificate of 127\.0\.0\.1 is not trusted") as caught:
        score("in.csv", "out.csv", *at(encrypted, "https"))
    assert "--ca FILE" in str(caught.value.hint) and caught.value.exit_code == 69
    with pytest.raises(ScoringFailed, match=r"localhost is not trusted: .*not valid for 'localhost'") as caught:
        score("in.csv", "out.csv", *at(encrypted, "https", "localhost"), "--ca", ca)
    assert "as its certificate does" in str(caught.value.hint)
    assert encrypted.observer.every == [] or all(o.status != 401 for o in encrypted.observer.every)


@pytest.mark.parametrize("together", [True, False], ids=["one file", "two files"])
def test_a_server_that_asks_for_certificates_is_shown_one(
    issuer: Issuer, folder: Path, ca: str, tmp_path_factory: pytest.TempPathFactory, together: bool
) -> None:
    files = TlsFiles(*issuer.server(["127.0.0.1"]).write(tmp_path_factory.mktemp("tls")), Path(ca))
    cert, key = issuer.client("batch").write(folder / "caller")
    shown = ["--cert", str(cert), "--cert-key", str(key)]
    if together:
        cert.write_bytes(cert.read_bytes() + key.read_bytes())
        shown = shown[:2]
    write(folder / "in.csv", rows=3, bad=None)
    with running(tls=FollowingContext(files)) as server:
        score("in.csv", "out.csv", *at(server, "https"), "--ca", ca, *shown)
        with pytest.raises(ScoringFailed, match="does not answer"):
            score("in.csv", "again.csv", *at(server, "https"), "--ca", ca)
    assert len(read(folder / "out.csv")) == 3


def test_http_and_https_are_not_taken_for_each_other(
    encrypted: Running, server: Running, folder: Path, ca: str
) -> None:
    write(folder / "in.csv", rows=3)
    for scheme, place in (("http", encrypted), ("https", server)):
        more = ("--ca", ca) if scheme == "https" else ()
        with pytest.raises(ScoringFailed, match="does not answer") as caught:
            score("in.csv", "out.csv", *at(place, scheme), *more)
        assert "mind http and https" in str(caught.value.hint) and caught.value.exit_code == 69
    with pytest.raises(OperatorError, match="--ca and --cert are for"):
        score("in.csv", "out.csv", *at(server), "--ca", ca)
    with pytest.raises(OperatorError, match="are for a server"):
        score("in.csv", "out.csv", "--key-file", ca)


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    scopes: Any = frozenset({"predict", "models:read"})
    keys = {
        "ft_right": Principal("key:a", "key", "a", scopes),
        "ft_reader": Principal("key:b", "key", "b", frozenset({"models:read"})),
    }
    with running(gate=gate(Keys(keys), closed=True)) as opened:
        yield opened


def test_a_key_comes_by_file_or_environment_and_opens_the_server(
    guarded: Running, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "in.parquet", bad=None)
    with pytest.raises(ScoringFailed) as caught:
        score("in.parquet", "out.parquet", *at(guarded))
    assert caught.value.exit_code == 77 and "--key-file" in str(caught.value.hint)
    (folder / "key").write_text("ft_right\n")
    score("in.parquet", "out.parquet", *at(guarded), "--key-file", "key")
    monkeypatch.setenv(API_KEY, "ft_right")
    score("in.parquet", "out.csv", *at(guarded))
    assert len(read(folder / "out.csv")) == ROWS


def test_a_key_that_does_not_open_is_named_by_where_it_came_from(guarded: Running, folder: Path) -> None:
    write(folder / "in.csv", rows=3)
    for secret, hint in (("ft_wrong", "came from key"), ("ft_reader", "scopes predict and models:read")):
        (folder / "key").write_text(secret)
        with pytest.raises(ScoringFailed) as caught:
            score("in.csv", "out.csv", *at(guarded), "--key-file", "key")
        assert caught.value.exit_code == 77 and hint in str(caught.value.hint)
        assert secret not in caught.value.detail + str(caught.value.hint)
    assert not list(folder.glob("*.scoring"))


# -- what servers may answer -------------------------------------------------------------------------------------------


class Scripted(ThreadingHTTPServer):
    """Answers one request after another with what it was given, then as the last."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Scripted)
        self.answers = list(answers)
        self.seen: list[bytes] = []
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __exit__(self, *exit: Any) -> None:
        self.shutdown()
        self.thread.join()
        super().__exit__(*exit)


class _Scripted(BaseHTTPRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Scripted)
        first, chunked = self.rfile.readline(), False
        self.server.seen.append(first)
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            chunked |= line.lower() == b"transfer-encoding: chunked\r\n"
        while chunked and (size := int(self.rfile.readline(), 16)):
            self.rfile.read(size + 2)
        answers = self.server.answers
        self.wfile.write(answers.pop(0) if len(answers) > 1 else answers[0])


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


DESCRIBED = json.dumps({"model": "sum", "version": "v1", "digest": "sha256:0"}).encode()


def test_a_server_that_is_busy_is_asked_again_when_it_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "in.csv", rows=2, bad=None)
    monkeypatch.setattr(remote, "BUSY_WAITS_S", (0.0, 0.0))
    busy = http(429, b'{"detail":"too many requests"}', "Retry-After: 0")
    early = b"HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
    answered = b"id,x,y,prediction,error\nn0,0.0,1,1.0,\nn1,1.0,1,11.0,\n"
    with Scripted(busy, http(200, DESCRIBED), busy, http(503), early + http(200, answered)) as place:
        score("in.csv", "out.csv", "--server", place.url, "--model", "sum", "--processes", "1")
        assert [line.split()[0] for line in place.seen] == [b"GET", b"GET", b"POST", b"POST", b"POST"]
    assert (folder / "out.csv").read_bytes() == answered
    later = http(429, b'{"detail":"The quota is used up."}', "Retry-After: 86400")
    with (
        Scripted(http(200, DESCRIBED), later) as place,
        pytest.raises(ScoringFailed, match=r"The quota is used up\. It asks to wait for 86,400 s") as caught,
    ):
        score("in.csv", "later.csv", "--server", place.url, "--model", "sum", "--processes", "1")
    assert caught.value.exit_code == 75


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(307, b"", "Location: https://elsewhere.example/"), "sends callers on to https://elsewhere"),
        (http(200, b"<html>"), "not in Foretell's way"),
        (http(200, b"[]"), "not in Foretell's way"),
        (http(200, b"[" + b" " * (17 << 20) + b"]"), "not in Foretell's way"),
        (http(200, b'{"version":"v1","state":"loading"}'), "sum v1 is loading on the server, not ready"),
        (http(404, b"<html>"), "answered 404"),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "broke its answer off"),
    ],
)
def test_whatever_answers_is_told_in_a_sentence(folder: Path, answer: bytes, said: str) -> None:
    write(folder / "in.csv", rows=2)
    with Scripted(answer) as place, pytest.raises(OperatorError, match=said):
        score("in.csv", "out.csv", "--server", place.url, "--model", "sum")


def test_answers_that_are_not_as_many_as_rows_are_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "in.parquet", rows=2, bad=None)
    monkeypatch.setattr(remote, "WAITS_S", (0.0,))
    table = pa.record_batch({"id": ["n0"], "prediction": [1.0], "error": pa.nulls(1, pa.string())})
    body = table.schema.serialize().to_pybytes() + table.serialize().to_pybytes()
    with (
        Scripted(http(200, DESCRIBED), http(200, body)) as place,
        pytest.raises(ScoringFailed, match="1 answers came to 2 rows"),
    ):
        score("in.parquet", "out.parquet", "--server", place.url, "--model", "sum", "--processes", "1")


def test_nobody_there_and_no_such_name_are_told(folder: Path) -> None:
    write(folder / "in.csv", rows=2)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ScoringFailed, match="connection refused"):
            score("in.csv", "out.csv", "--server", f"127.0.0.1:{unused.getsockname()[1]}", "--model", "sum")
    with pytest.raises(ScoringFailed, match="does not answer"):
        score("in.csv", "out.csv", "--server", "http://nowhere.invalid", "--model", "sum")


# -- one exchange ------------------------------------------------------------------------------------------------------


def test_an_exchange_that_is_not_wanted_any_more_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port, stopped = listening.getsockname()[1], threading.Event()
        found: list[Exception] = []

        def ask() -> None:
            try:
                exchange(Request("GET", f"http://127.0.0.1:{port}/", {}), print, stopped.is_set)
            except Broken as error:
                found.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        connection, _ = listening.accept()
        stopped.set()
        thread.join(20)
        connection.close()
        assert [str(error) for error in found] == ["it was stopped"]


def test_what_goes_wrong_with_the_file_or_the_disk_ends_an_exchange_at_once() -> None:
    def body() -> Iterator[bytes]:
        yield b"x"
        raise ScoringFailed("the file cannot be read")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with pytest.raises(ScoringFailed, match="cannot be read"):
            exchange(Request("POST", url, {}, body()), print)

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with Scripted(http(200, b"answer")) as place, pytest.raises(Broken, match="No space left"):
        exchange(Request("GET", place.url, {}), full)
