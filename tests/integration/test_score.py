"""``foretell score`` as it is called: the model here or on a server, killed and gone on with."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from foretell.cli.main import cli
from foretell.cli.scoring import column_files, parts, work
from foretell.cli.scoring import run as run_module
from foretell.cli.scoring.answering import answer
from foretell.cli.scoring.local import LocalAnswerer, ScoringFailed
from foretell.cli.scoring.scorer import call_rows
from foretell.cli.scoring.version import find_version
from foretell.codecs.stream.base import Chunk
from foretell.core.execution import ExecutionOptions
from foretell.core.signature import Column, Signature
from foretell.core.values import Inputs, Matrix, Outputs
from foretell.errors import OperatorError, PathMissing
from tests.serving import Running, Sum, running, until
from tests.versions import manifest_of, write_version
from tests.zoo import specimen

ROWS = 3000


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score") / "models" / "iris" / "v1"
    folder.mkdir(parents=True)
    specimen("sklearn-iris-named").write(folder)
    return folder.parent.parent


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL_PATH", "HOST", "PORT", "FORETELL_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(parts, "PART_BYTES", 16 * 1024)
    monkeypatch.setattr(work, "CHECKPOINT_S", 0.0)
    return tmp_path


def flowers(path: Path, rows: int = ROWS, bad: tuple[int, ...] = ()) -> list[list[str]]:
    """A file of flowers with an id of their own; those at ``bad`` have a word for a number."""
    measured = np.round(np.random.default_rng(7).uniform(0.1, 8, (rows, 4)), 1).tolist()
    lines = [[f"n{n}", *map(str, row)] for n, row in enumerate(measured)]
    for n in bad:
        lines[n][2] = "oops"
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["id", *specimen("sklearn-iris-named").X.columns])
        writer.writerows(lines)
    return lines


def invoke(*args: str) -> Result:
    return CliRunner().invoke(cli, ["score", *args])


def score(*args: str, code: int = 0) -> str:
    """Standard error; raises what the command raises."""
    result = invoke(*args)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stderr


def answered(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as out:
        return list(csv.reader(out))


def expected(lines: list[list[str]]) -> list[str]:
    rows = np.array([[float(cell) for cell in line[1:]] for line in lines])
    return [str(label) for label in specimen("sklearn-iris-named").predict(rows)]


def test_every_row_comes_back_with_the_models_own_answer(models: Path, folder: Path) -> None:
    lines = flowers(folder / "in.csv")
    said = score("in.csv", "out.csv", "--model", "iris", "--models", str(models), "--processes", "2")
    header, *rows = answered(folder / "out.csv")
    assert header[:1] + header[5:] == ["id", "prediction", "confidence", "error"]
    assert [row[:5] for row in rows] == lines
    assert [row[5] for row in rows] == expected(lines)
    assert said.startswith(f"{ROWS:,} rows, ")
    assert sorted(path.name for path in folder.iterdir()) == ["in.csv", "out.csv"]


def test_the_output_does_not_depend_on_the_number_of_processes(models: Path, folder: Path) -> None:
    flowers(folder / "in.csv", bad=(5, 2999))
    for processes in ("1", "3"):
        score("in.csv", f"out{processes}.csv", "--models", str(models), "--processes", processes, code=3)
    assert (folder / "out1.csv").read_bytes() == (folder / "out3.csv").read_bytes()


def test_bad_rows_are_counted_and_have_an_exit_code_of_their_own(models: Path, folder: Path) -> None:
    flowers(folder / "in.csv", bad=(1, 1500))
    path = str(models / "iris" / "v1" / "model.skops")
    assert "2 faulty" in score("in.csv", "out.ndjson", "--model", path, "--processes", "1", code=3)
    rows = [json.loads(line) for line in (folder / "out.ndjson").read_text().splitlines()]
    assert len(rows) == ROWS
    assert [n for n, row in enumerate(rows) if "error" in row] == [1, 1500]
    score("in.csv", "skipped.csv", "--model", path, "--on-error", "skip", "--processes", "1", code=3)
    assert len(answered(folder / "skipped.csv")) == ROWS - 1
    with pytest.raises(ScoringFailed, match=r"Row 2 is wrong: wrong_type.*oops") as caught:
        score("in.csv", "failed.csv", "--model", path, "--on-error", "fail", "--processes", "1")
    assert caught.value.exit_code == 65
    assert not (folder / "failed.csv").exists()


def test_json_lines_become_csv_whatever_part_they_are_in(models: Path, folder: Path) -> None:
    names = specimen("sklearn-iris-named").X.columns
    lines = flowers(folder / "in.csv")
    rows = [{"id": line[0], **dict(zip(names, map(float, line[1:]), strict=True))} for line in lines]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    score("in.jsonl", "out.csv", "--models", str(models), "--processes", "2")
    header, *found = answered(folder / "out.csv")
    assert header[0] == "id"
    assert [row[5] for row in found] == expected(lines)


def test_a_file_without_a_header_or_without_rows(models: Path, folder: Path) -> None:
    (folder / "bare.csv").write_text("5.1,3.5,1.4,0.2\n6.3,3.3,6.0,2.5\n")
    score("bare.csv", "out.csv", "--models", str(models), "--no-header", "--processes", "1")
    assert [row[4] for row in answered(folder / "out.csv")] == ["prediction", "0", "2"]
    (folder / "empty.csv").write_text("")
    assert score("empty.csv", "none.csv", "--models", str(models)).startswith("0 rows")
    flowers(folder / "head.csv", rows=0)
    score("head.csv", "head_out.csv", "--models", str(models), "--processes", "1")
    assert len(answered(folder / "head_out.csv")) == 1


def test_a_run_that_was_stopped_goes_on_and_gives_the_same_bytes(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowers(folder / "in.csv", bad=(17,))
    command = ("in.csv", "out.csv", "--models", str(models), "--processes", "1")
    score(*command, code=3)
    whole = (folder / "out.csv").read_bytes()
    (folder / "out.csv").unlink()
    append, calls = work.Work.append, [0]

    def stopped(self: work.Work, scored: Any) -> None:
        append(self, scored)
        calls[0] += 1
        if calls[0] % 2 == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(work.Work, "append", stopped)
        for _ in range(2):
            assert "goes on from here" in score(*command, code=130)
    assert not (folder / "out.csv").exists()
    assert "by an earlier run" in score(*command, code=3)
    assert (folder / "out.csv").read_bytes() == whole
    assert calls == [4]


def test_a_run_that_was_killed_goes_on_and_gives_the_same_bytes(models: Path, folder: Path) -> None:
    """The process itself, with parts of their real size."""
    flowers(folder / "in.csv", rows=400_000)
    arguments = ["in.csv", "out.csv", "--models", str(models), "--processes", "2"]
    command = [sys.executable, "-m", "foretell", "score", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    whole = (folder / "out.csv").read_bytes()
    journal = folder / "out.csv.scoring" / "journal"
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
            seen = journal.stat().st_size if journal.exists() else 0
            grown = lambda seen=seen: process.poll() is not None or (journal.exists() and journal.stat().st_size > seen)  # noqa: E731
            until(grown)
            process.send_signal(signal.SIGKILL)
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert (folder / "out.csv").read_bytes() == whole
    assert not journal.parent.exists()


def test_another_version_options_or_input_do_not_go_on_with_a_run(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowers(folder / "in.csv")
    command = ("in.csv", "out.csv", "--models", str(models), "--processes", "1")

    def stopped(_: work.Work, __: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(work.Work, "finish", stopped)
        score(*command, code=130)
    with pytest.raises(work.RunDiffers, match="--on-error was null and is skip") as caught:
        score(*command, "--on-error", "skip")
    assert caught.value.exit_code == 75
    flowers(folder / "in.csv", rows=ROWS + 1)
    with pytest.raises(work.RunDiffers, match="input size"):
        score(*command)
    score(*command, "--restart")
    assert len(answered(folder / "out.csv")) == ROWS + 2


def test_an_input_that_changes_meanwhile_gives_no_output(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowers(folder / "in.csv")
    checkpoint = work.Work.checkpoint

    def changed(self: work.Work) -> None:
        os.utime(folder / "in.csv", (1, 1))
        checkpoint(self)

    monkeypatch.setattr(work.Work, "checkpoint", changed)
    with pytest.raises(OperatorError, match="was changed while it was read"):
        score("in.csv", "out.csv", "--models", str(models), "--processes", "1")
    assert not (folder / "out.csv").exists()


def test_what_cannot_be_scored_says_why(models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flowers(folder / "in.csv", rows=3)
    with pytest.raises(PathMissing, match=r"nowhere\.csv"):
        score("nowhere.csv", "out.csv", "--models", str(models))
    with pytest.raises(OperatorError, match="formats there are"):
        score("in.csv", "out.xlsx", "--models", str(models))
    with pytest.raises(OperatorError, match=r"There is no model 'irs'. There are: iris"):
        score("in.csv", "out.csv", "--model", "irs", "--models", str(models))
    with pytest.raises(OperatorError, match=r"no version 'v7'. There are: v1"):
        score("in.csv", "out.csv", "--models", str(models), "--version", "v7")
    with pytest.raises(OperatorError, match="No model"):
        score("in.csv", "out.csv")
    (folder / "in.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ScoringFailed, match="missing") as caught:
        score("in.csv", "out.csv", "--models", str(models), "--processes", "1")
    assert caught.value.exit_code == 65
    assert [path.name for path in folder.iterdir()] == ["in.csv"]
    (folder / "folder.csv").mkdir()
    with pytest.raises(OperatorError):
        score("folder.csv", "out.csv", "--models", str(models), "--processes", "1")


def test_a_call_has_as_many_rows_as_signature_and_manifest_say() -> None:
    narrow, wide = Signature((Column("x"),)), Signature(tuple(Column(f"c{n}") for n in range(4096)))
    assert [call_rows(narrow), call_rows(narrow, 100), call_rows(wide)] == [8192, 100, 256]


def test_a_version_with_a_python_of_its_own_is_left_to_servers(folder: Path) -> None:
    manifest = replace(manifest_of(), execution=ExecutionOptions(python="venv"))
    write_version(folder / "models" / "apart" / "v1", manifest=manifest)
    flowers(folder / "in.csv", rows=3)
    with pytest.raises(OperatorError, match=r"apart v1 has a Python of its own \(execution\.python\)") as caught:
        score("in.csv", "out.csv", "--models", "models")
    assert "--server" in str(caught.value.hint)
    assert sorted(path.name for path in folder.iterdir()) == ["in.csv", "models"]


def test_several_models_have_to_be_told_apart(models: Path, folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        place = tmp_path / "many" / name / "v1"
        place.mkdir(parents=True)
        specimen("sklearn-iris-named").write(place)
    flowers(folder / "in.csv", rows=3)
    with pytest.raises(OperatorError, match="several models: a, b"):
        score("in.csv", "out.csv", "--models", "many")


def test_a_bar_on_a_terminal_shows_rows_a_second(models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flowers(folder / "in.csv")
    monkeypatch.setenv("FORCE_COLOR", "1")
    said = score("in.csv", "out.csv", "--models", str(models), "--processes", "1")
    assert "rows/s" in said


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("in.csv", "out.parquet"),
        ("in.csv", "out.arrow"),
        ("in.parquet", "out.parquet"),
        ("in.parquet", "out.csv"),
        ("in.arrow", "out.ndjson"),
        ("in.arrows", "out.arrows"),
    ],
)
def test_files_of_columns_go_in_and_come_out(models: Path, folder: Path, source: str, target: str) -> None:
    lines = flowers(folder / "in.csv", bad=(5,))
    if source != "in.csv":
        names = ["id", *specimen("sklearn-iris-named").X.columns]
        cells = [None if line[2] == "oops" else [line[0], *map(float, line[1:])] for line in lines]
        rows = [dict(zip(names, row, strict=True)) if row else {"id": "n5"} for row in cells]
        write_columns(folder / source, rows, names)
    said = score(source, target, "--models", str(models), "--processes", "1", code=3)
    assert said.startswith(f"{ROWS:,} rows") and "1 faulty" in said
    found = read_rows(folder / target)
    right = [line for n, line in enumerate(lines) if n != 5]
    assert [str(row["prediction"]) for n, row in enumerate(found) if n != 5] == expected(right)
    assert [row["id"] for row in found] == [line[0] for line in lines]
    assert found[5]["error"]


def write_columns(path: Path, rows: list[dict[str, Any]], names: list[str]) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    made = pa.table({name: [row.get(name) for row in rows] for name in names})
    if path.suffix == ".parquet":
        parquet.write_table(made, path, row_group_size=700)
        return
    opened = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
    with opened(str(path), made.schema) as writer:
        writer.write_table(made, max_chunksize=700)


def read_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        header, *records = answered(path)
        return [dict(zip(header, record, strict=True)) for record in records]
    if path.suffix == ".ndjson":
        return [json.loads(line) for line in path.read_text().splitlines()]
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    else:
        opened = pa.ipc.open_file if path.suffix == ".arrow" else pa.ipc.open_stream
        found = opened(pa.memory_map(str(path))).read_all().to_pylist()
    return found


def test_a_file_of_columns_in_many_parts_gives_the_same_bytes_after_a_stop(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["id", *specimen("sklearn-iris-named").X.columns]
    rows = [dict(zip(names, [line[0], *map(float, line[1:])], strict=True)) for line in flowers(folder / "in.csv")]
    write_columns(folder / "in.parquet", rows, names)
    monkeypatch.setattr(column_files, "LEAST_ROWS", 100)
    monkeypatch.setattr(column_files, "PART_ROWS", 300)
    command = ("in.parquet", "out.parquet", "--models", str(models), "--processes", "1")
    score(*command)
    whole = (folder / "out.parquet").read_bytes()
    append, calls = work.Work.append, [0]

    def stopped(self: work.Work, scored: Any) -> None:
        append(self, scored)
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(work.Work, "append", stopped)
    score(*command, code=130)
    score(*command)
    assert (folder / "out.parquet").read_bytes() == whole
    assert calls[0] == 3000 // 700 * 3 + 1 + (3000 % 700 + 299) // 300 - 1


def test_files_of_columns_that_cannot_be_read_say_so(models: Path, folder: Path) -> None:
    for name in ("in.parquet", "in.arrow"):
        (folder / name).write_bytes(b"no such thing")
        with pytest.raises(OperatorError, match="cannot be read as"):
            score(name, "out.csv", "--models", str(models))
    (folder / "empty.csv").write_text("")
    score("empty.csv", "empty.parquet", "--models", str(models), "--processes", "1")
    assert read_rows(folder / "empty.parquet") == []


class Moody(Sum):
    """NaN above 90, and a failure on 7."""

    def predict(self, inputs: Inputs) -> Outputs:
        outputs = super().predict(inputs)
        assert outputs.values is not None
        outputs.values[outputs.values > 90] = np.nan
        return outputs


@pytest.mark.parametrize("xs", [[1, 2], [9, 1, 7, 2], [7], [9], [7, 7, 1, 9, 3]])
def test_a_row_that_fails_costs_no_other(xs: list[float]) -> None:
    inputs = Matrix(np.array([[x, 1.0] for x in xs], dtype=np.float64))
    found = answer(Moody(poison=7), Chunk(0, len(xs), None, inputs))  # type: ignore[arg-type]
    values = [] if found.outputs is None or found.outputs.values is None else found.outputs.values.tolist()
    assert values == [10 * x + 1 for x in xs if x not in (7, 9)]
    assert {row: text[:10] for row, text in found.faults.items()} == {
        row: "model_fail" if x == 7 else "model_gave" for row, x in enumerate(xs) if x in (7, 9)
    }
    assert answer(Moody(), Chunk(0, 1, None, None, {0: "bad"})).outputs is None  # type: ignore[arg-type]


# -- against a server --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as opened:
        yield opened


def sums(path: Path, rows: int = 5000) -> None:
    path.write_text("id,x,y\n" + "".join(f'"n{n}",{n % 100},1\n' for n in range(rows)), encoding="utf-8")


def at(server: Running) -> tuple[str, ...]:
    return "--server", f"http://127.0.0.1:{server.port}", "--model", "sum", "--processes", "2"


def test_a_server_scores_a_file_part_by_part(server: Running, folder: Path) -> None:
    sums(folder / "in.csv")
    assert score("in.csv", "out.csv", *at(server)).startswith("5,000 rows")
    header, *rows = answered(folder / "out.csv")
    assert header == ["id", "x", "y", "prediction", "error"]
    assert rows == [[f"n{n}", str(n % 100), "1", f"{n % 100 * 10 + 1}.0", ""] for n in range(5000)]


def test_a_servers_bad_rows_are_counted(server: Running, folder: Path) -> None:
    (folder / "in.csv").write_text("x,y\n" + '1,2\nz,"a\nb"\n3,4\n' * 500)
    assert "500 faulty" in score("in.csv", "out.csv", *at(server), code=3)
    assert len(answered(folder / "out.csv")) == 1501
    assert "500 faulty" in score("in.csv", "skipped.csv", *at(server), "--on-error", "skip", code=3)
    assert len(answered(folder / "skipped.csv")) == 1001
    (folder / "in.ndjson").write_text('{"x":1,"y":2}\n["prediction",null]\n' * 300)
    assert "300 faulty" in score("in.ndjson", "out.ndjson", *at(server), code=3)
    score("in.csv", "cross.ndjson", *at(server), code=3)
    (folder / "bare.csv").write_text("1,2\n3,4\n")
    score("bare.csv", "bare_out.csv", *at(server), "--no-header")
    assert answered(folder / "bare_out.csv")[1:] == [["1", "2", "12.0", ""], ["3", "4", "34.0", ""]]


def test_what_a_server_refuses_is_told_in_its_words(server: Running, folder: Path) -> None:
    sums(folder / "in.csv", rows=3)
    with pytest.raises(OperatorError, match="sum"):
        score("in.csv", "out.csv", "--server", f"127.0.0.1:{server.port}", "--model", "summ")
    with pytest.raises(OperatorError, match="say which"):
        score("in.csv", "out.csv", "--server", f"127.0.0.1:{server.port}")
    with pytest.raises(OperatorError, match="needs the model here"):
        score("in.csv", "out.csv", *at(server), "--on-error", "fail")
    with pytest.raises(OperatorError, match="no address"):
        score("in.csv", "out.csv", "--server", "ftp://x", "--model", "sum")
    (folder / "wrong.csv").write_text("x,z\n1,2\n")
    with pytest.raises(ScoringFailed, match="missing"):
        score("wrong.csv", "out.csv", *at(server))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(OperatorError, match="does not answer"):
            score("in.csv", "out.csv", "--server", f"127.0.0.1:{unused.getsockname()[1]}", "--model", "sum")


def test_a_busy_server_is_asked_again(server: Running, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from foretell.cli.scoring import remote

    sums(folder / "in.csv", rows=3)
    monkeypatch.setattr(server.services.service, "_max_streams", 0)
    monkeypatch.setattr(remote, "BUSY_WAITS_S", (0.01,))
    with pytest.raises(ScoringFailed, match=r"streams are open"):
        score("in.csv", "out.csv", *at(server))
    timer = threading.Timer(0.3, lambda: setattr(server.services.service, "_max_streams", 64))
    timer.start()
    monkeypatch.setattr(remote, "BUSY_WAITS_S", (0.05,) * 200)
    score("in.csv", "out.csv", *at(server))
    timer.join()
    assert len(answered(folder / "out.csv")) == 4


# -- the process that answers ------------------------------------------------------------------------------------------


def test_a_process_that_dies_is_named_by_how_it_ended(folder: Path) -> None:
    broken = LocalAnswerer({"job": {}}, os.environ)
    part = parts.Part(0, 0, 1)
    with pytest.raises(Exception, match="ended with exit code 1"):
        broken.score(part, folder / "part")
    broken.stop()
    broken.close()
    with pytest.raises(Exception, match="it was stopped"):
        broken.score(part, folder / "part")


def test_a_model_that_was_changed_meanwhile_is_not_scored_with(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowers(folder / "in.csv", rows=3)
    monkeypatch.setattr(run_module, "find_version", lambda *args: (find_version(*args)[0], "sha256:other"))
    with pytest.raises(ScoringFailed, match="was changed"):
        score("in.csv", "out.csv", "--models", str(models), "--processes", "1")
