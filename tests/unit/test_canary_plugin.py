"""The plugin that plants secrets throughout the suite: it finds one wherever it comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import canary
from tests.canary import FOREIGN, MARK, files_with_secrets, look, look_at_log, look_at_processes


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What these tests plant themselves is no finding of the run."""
    found: list[str] = []
    monkeypatch.setattr(canary, "_found", found)
    yield found


def test_a_secret_in_an_output_fails_the_test_and_is_remembered_for_the_run(forgotten: list[str]) -> None:
    look(b"nothing", "an answer")
    for output in (f"before {MARK}-cookie", f"before {MARK}".encode()):
        with pytest.raises(AssertionError, match="came out in an answer"):
            look(output, "an answer")
    assert len(forgotten) == 2


@pytest.mark.parametrize(
    "token", [b"ft_k7f3m2qa_" + b"x" * 32, b"eyJhbGciOiJS.eyJzdWIiOiJ4.c2lnbmF0dXJlLXNpZ25hdHVyZQ"]
)
def test_no_log_may_hold_a_key_or_a_token_of_anybody(token: bytes) -> None:
    look_at_log(b'{"principal":"ft_k7f3m2qa","path":"eyJhbGciOiJS"}', "a log")
    with pytest.raises(AssertionError, match="came out in a log") as found:
        look_at_log(b"before " + token, "a log")
    assert token.decode() not in str(found.value)


def test_a_file_with_a_secret_is_found_wherever_the_run_left_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "output.log").write_bytes(b"x" * 5000 + MARK.encode())
    (tmp_path / "deep" / "clean.log").write_bytes(b"x" * 5000)
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "output.log")
    (tmp_path / "canary-planted").write_text(MARK, encoding="utf-8")
    assert list(files_with_secrets(tmp_path)) == ["the file deep/output.log"]
    (tmp_path / "deep" / "output.log").rename(tmp_path / "canary-planted.log")


PARENT = """
import json, os, subprocess, sys
told = json.loads(sys.stdin.readline())
command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", *told["arguments"]]
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
with subprocess.Popen(command, env=os.environ | told["environment"], **pipes) as p:
    p.stdout.readline()
    print(p.pid, flush=True)
    sys.stdin.read()
    p.stdin.close()
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", ["command line", "environment"])
def test_a_secret_passed_on_to_a_process_is_found(how: str) -> None:
    told = {
        "arguments": [MARK] if how == "command line" else [],
        "environment": {"PASSWORD": FOREIGN} if how == "environment" else {},
    }
    # a parent of its own: this process may have servers as well, to which secrets were given on purpose
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None and process.stdin is not None
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        with pytest.raises(AssertionError, match=f"came out in the {how} of process {child}"):
            look_at_processes(process.pid)
        process.stdin.close()


def test_a_secret_that_a_passing_test_printed_fails_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "canary-planted"
    folder.mkdir()
    (folder / "test_it.py").write_text("from tests.canary import MARK\ndef test_it(): print(MARK)\n", encoding="utf-8")
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.canary", "-p", "no:cacheprovider", "--rootdir", "."]
    told = subprocess.run(
        [*command, "test_it.py", "--import-mode=importlib", f"--basetemp={folder / 'base'}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1, told.stdout
    assert "1 passed" in told.stdout
    assert "CANARY: a secret came out in test_it.py::test_it, Captured stdout call" in told.stdout
