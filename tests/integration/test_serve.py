"""``foretell serve`` as a process: how it starts, what it says when it cannot, and how it stops."""

from __future__ import annotations

import json
import os
import pickle
import pty
import select
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from foretell.execution.hosted.place import temporary_prefix
from tests.e2e.process import Serving, command, environment, serving, until
from tests.limited import iris


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return iris(tmp_path_factory.mktemp("models"))


def called(*args: str, folder: Path, **variables: str) -> tuple[int, str]:
    """The exit code and standard error of `foretell` with these arguments."""
    run = subprocess.run(
        [*command(), *args],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.returncode, run.stderr


def ask(port: int, path: str = "/api/v1/predict", body: Any = None) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"content-type": "application/json"})
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=30) as answer:
        return json.loads(answer.read())


# -- what cannot be served -------------------------------------------------------------------------------------------


def test_a_path_that_is_missing_is_66_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    assert called("serve", "modles", folder=tmp_path) == (66, "error: modles does not exist. Did you mean models?\n")
    assert called("serve", "no/such", folder=tmp_path) == (66, "error: no/such does not exist.\n")


def test_a_path_from_the_environment_names_it(tmp_path: Path) -> None:
    code, said = called("serve", folder=tmp_path, MODEL_PATH="xyz")
    assert (code, said) == (66, "error: xyz (from MODEL_PATH) does not exist.\n")


def test_no_path_at_all_asks_for_one(tmp_path: Path) -> None:
    code, said = called("serve", folder=tmp_path)
    assert code == 1
    assert "foretell serve PATH" in said


def test_settings_that_cannot_be_used_are_78_and_all_named(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text("prot = 1")
    code, said = called("serve", ".", "--workers", "0", folder=tmp_path, FORETELL_HOTS="x")
    assert code == 78
    for part in ("did you mean port?", "did you mean FORETELL_HOST?", "--workers: '0'"):
        assert part in said


@pytest.mark.parametrize("options", [[], ["--workers", "2"], ["--reload"]])
def test_a_port_in_use_is_69_before_anything_is_loaded(tmp_path: Path, options: list[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, said = called("serve", ".", "--port", str(port), *options, folder=tmp_path)
    assert code == 69
    assert f"127.0.0.1:{port} is in use" in said


def test_what_is_told_before_the_server_opens_its_log_is_in_the_logs_format(tmp_path: Path) -> None:
    left = tmp_path / f"{temporary_prefix()}left"
    left.mkdir(mode=0o700)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        said = subprocess.run(
            [*command(), "serve", ".", "--port", str(other.getsockname()[1])],
            cwd=tmp_path,
            env=environment(TMPDIR=str(tmp_path)),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout
    assert not left.exists()
    assert [json.loads(line)["event"] for line in said.splitlines()] == ["folders_swept"]


def test_a_pickle_is_65_with_the_exact_line_that_adds_it(tmp_path: Path) -> None:
    (tmp_path / "churn.pkl").write_bytes(pickle.dumps({"a": 1}))
    code, said = called("serve", "churn.pkl", "--port", "0", folder=tmp_path)
    assert code == 65
    assert "foretell add churn" in said
    assert "churn.pkl" in said
    assert "--trust-pickle" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("options", [[], ["--workers", "2"]])
def test_a_single_broken_model_is_65_and_told_once(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "churn.onnx").write_text("no model at all")
    code, said = called("serve", "churn.onnx", "--port", "0", *options, folder=tmp_path)
    assert code == 65
    assert said.count("error: Nothing to serve. churn v1") == 1


def test_a_default_model_that_is_not_there_is_78(repository: Path, tmp_path: Path) -> None:
    code, said = called("serve", str(repository), "--port", "0", "--default-model", "irs", folder=tmp_path)
    assert code == 78
    assert "Did you mean 'iris'" in said


def test_several_broken_models_are_all_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "models" / name / "v1").mkdir(parents=True)
        (tmp_path / "models" / name / "v1" / "model.onnx").write_text("no model")
    code, said = called("serve", "models", "--port", "0", folder=tmp_path)
    assert code == 65
    assert "  - one v1: " in said
    assert "  - two v1: " in said


# -- one process -----------------------------------------------------------------------------------------------------


def test_it_serves_rescans_on_sighup_and_stops_with_0(repository: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(repository, models)
    (models / "bad" / "v1").mkdir(parents=True)
    (models / "bad" / "v1" / "model.onnx").write_text("no model")
    with serving(models, tmp_path / "run", options=["--default-model", "iris"]) as server:
        assert ask(server.port, body={"features": [5.1, 3.5, 1.4, 0.2]})["model_version"] == "v1"
        with urllib.request.urlopen(f"{server.url}/health") as answer:
            assert answer.headers["server"] is None
            assert answer.headers["date"]
        (event,) = [event for event in server.events() if event["event"] == "serving"]
        assert (event["models"], event["failed"], event["lane"]) == ("iris v1", "bad v1", True)
        shutil.copytree(models / "iris" / "v1", models / "iris" / "v2")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: _version(server) == "v2", "the rescan finds the new version")
        assert server.stop() == 0
    assert "Traceback" not in server.text
    assert server.events()[-1]["event"] == "model_retired"


def _version(server: Serving) -> str:
    return str(ask(server.port, body={"features": [5.1, 3.5, 1.4, 0.2]})["model_version"])


def test_an_interrupt_stops_with_0_too(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path / "run") as server:
        assert server.stop(signal.SIGINT) == 0
    assert "Traceback" not in server.text


def test_a_stop_during_the_start_is_quick_and_clean(repository: Path, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        arguments = [*command(), "serve", str(repository), "--port", "0"]
        process = subprocess.Popen(
            arguments, cwd=tmp_path, env=environment(TMPDIR=str(tmp_path)), stdout=log, stderr=log
        )
    until(lambda: catches(process.pid, signal.SIGHUP), "it listens to signals, this one last", 60)
    process.terminate()
    assert process.wait(30) == 0
    assert (tmp_path / "log").read_text() == ""


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler of its own for the signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (number - 1) & 1)


@contextmanager
def on_a_terminal(*args: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[str], str]]]:
    """`foretell` whose output is a terminal; the function reads until a text is there."""
    parent, terminal = pty.openpty()
    env = {name: value for name, value in environment().items() if name not in ("FORETELL_LOG__FORMAT", "NO_COLOR")}
    process = subprocess.Popen(
        [*command(), *args],
        cwd=folder,
        env={**env, "COLUMNS": "200", "TERM": "xterm"},
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    seen = b""

    def read_until(text: str) -> str:
        nonlocal seen
        deadline = time.monotonic() + 60
        while text.encode() not in seen:
            assert time.monotonic() < deadline, seen.decode()
            if select.select([parent], [], [], 0.1)[0]:
                seen += os.read(parent, 65536)
        return seen.decode()

    try:
        yield process, read_until
    finally:
        process.kill()
        process.wait()
        os.close(parent)


def test_people_on_a_terminal_get_a_table_and_a_line_that_works(repository: Path, tmp_path: Path) -> None:
    with on_a_terminal("serve", str(repository), "--port", "0", folder=tmp_path) as (process, read_until):
        shown = read_until("curl ")
        shown = read_until("'}") if "}'" not in shown else shown
        line = next(line for line in shown.splitlines() if "curl " in line).strip()
        run = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=False)
        assert json.loads(run.stdout)["status"] == "success"
        process.terminate()
        assert process.wait(30) == 0


# -- several processes -----------------------------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_workers_share_the_port_survive_a_death_and_stop_together(repository: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(repository, models)
    with serving(models, tmp_path / "run", options=["--workers", "2"]) as server:
        workers = children(server.process.pid)
        assert len(workers) == 2
        until(lambda: _ready_count(server) == 2, "both are ready")
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: len(set(children(server.process.pid)) - set(workers)) == 1, "the dead one is replaced")
        until(lambda: _ready_count(server) == 3, "the new one is ready")
        shutil.copytree(models / "iris" / "v1", models / "iris" / "v2")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: _ready_count(server, "v2") == 2, "each finds the new version")
        assert _version(server) == "v2"
        assert sum(event["event"] == "serving" for event in server.events()) == 1
        workers = children(server.process.pid)
        assert server.stop() == 0
        assert gone(workers)


def _ready_count(server: Serving, version: str = "v1") -> int:
    return sum(event["event"] == "model_ready" and event["version"] == version for event in server.events())


def test_no_worker_outlives_a_parent_that_is_killed(repository: Path, tmp_path: Path) -> None:
    log = (tmp_path / "log").open("wb")
    arguments = [*command(), "serve", str(repository), "--port", "0", "--workers", "2"]
    process = subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stdout=log, stderr=log)
    log.close()
    until(lambda: '"serving"' in (tmp_path / "log").read_text(), "it starts", 60)
    workers = children(process.pid)
    assert len(workers) == 2
    process.kill()
    process.wait()
    until(lambda: gone(workers), "the workers end")


def test_reload_starts_anew_when_a_file_changes(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with serving(repository, tmp_path / "run", options=["--reload"]) as server:
        (tmp_path / "run" / "train.py").write_text("x = 1")
        until(lambda: "reload: train.py changed" in server.text, "the change is seen")
        until(lambda: _ready_count(server) == 2, "it serves again", 60)
        assert server.stop() == 0
