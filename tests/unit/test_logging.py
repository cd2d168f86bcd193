"""Events reach the sink from structlog and from the standard library, and closing leaves no trace."""

from __future__ import annotations

import json
import logging
import os
import pty
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

from foretell.telemetry.logging import open_log
from foretell.telemetry.observer import Outcome


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_events_requests_and_stdlib_records_share_one_output_and_one_look(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = open_log(path=path)
    structlog.get_logger().info("model_ready", model="iris", version="v1")
    logging.getLogger("uvicorn.error").warning("slow %s", "client")
    log.observer.request(Outcome("r-1", "GET", "/health", 200))
    assert log.close() == 0
    ready, slow, request = events(path)
    assert list(ready)[:3] == list(slow)[:3] == list(request)[:3] == ["timestamp", "level", "event"]
    assert {**ready, "timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "event": "model_ready",
        "model": "iris",
        "version": "v1",
    }
    assert (slow["event"], slow["logger"], slow["level"]) == ("slow client", "uvicorn.error", "warning")
    assert request["request_id"] == "r-1"


def test_tracebacks_stand_in_the_log(tmp_path: Path) -> None:
    log = open_log(path=tmp_path / "log")
    try:
        raise ValueError("inner")
    except ValueError as error:
        structlog.get_logger().exception("model_failed", model="iris")
        structlog.get_logger().error("again", exc_info=error)
        logging.getLogger("x").exception("from stdlib")
    log.close()
    for event in events(tmp_path / "log"):
        assert event["exception"].startswith("Traceback")
        assert event["exception"].endswith("ValueError: inner")
        assert "exc_info" not in event


def test_the_level_holds_for_all_three(tmp_path: Path) -> None:
    log = open_log(path=tmp_path / "log", level="error")
    structlog.get_logger().warning("no")
    logging.getLogger("x").warning("no")
    log.observer.request(Outcome("r", "GET", "/", 404, outcome="refused"))
    structlog.get_logger().error("yes")
    log.close()
    assert [event["event"] for event in events(tmp_path / "log")] == ["yes"]


def test_uvicorns_own_start_lines_show_only_when_debugging(tmp_path: Path) -> None:
    for level, shown in (("info", []), ("debug", ["Started"])):
        path = tmp_path / level
        log = open_log(path=path, level=level)
        logging.getLogger("uvicorn.error").info("Started")
        log.close()
        assert [event["event"] for event in events(path)] == shown


def test_a_record_whose_arguments_do_not_fit_is_still_written(tmp_path: Path) -> None:
    log = open_log(path=tmp_path / "log")
    logging.getLogger("x").warning("%d of %d", *["one"])
    log.close()
    assert events(tmp_path / "log")[0]["event"].startswith("%d of %d (")


def test_closing_leaves_structlog_and_logging_as_they_were(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.getLogger("uvicorn.error").level, structlog.get_config())
    open_log(path=tmp_path / "log").close()
    assert (root.handlers[:], root.level, logging.getLogger("uvicorn.error").level, structlog.get_config()) == before


def test_closing_the_first_of_two_does_not_silence_the_second(tmp_path: Path) -> None:
    first = open_log(path=tmp_path / "first")
    second = open_log(path=tmp_path / "second")
    before = second
    first.close()
    logging.getLogger("x").warning("heard")
    before.close()
    assert events(tmp_path / "second")[0]["event"] == "heard"
    logging.getLogger().handlers[:] = [h for h in logging.getLogger().handlers if h is not first._handler]


def test_dropped_lines_are_told_in_the_log_itself(tmp_path: Path) -> None:
    log = open_log(path=tmp_path / "log", max_buffered_lines=64)
    log.sink.write(b"{}\n" * 65, 65)
    structlog.get_logger().info("after")
    log.close()
    after, told = events(tmp_path / "log")
    assert after["event"] == "after"
    assert (told["event"], told["level"], told["dropped"]) == ("log_lines_dropped", "warning", 65)


@pytest.mark.parametrize(
    ("format", "environment", "starts"),
    [("auto", {}, b"\x1b[2m20"), ("auto", {"NO_COLOR": "1"}, b"20"), ("json", {}, b'{"timestamp"')],
)
def test_a_terminal_gets_lines_for_people_unless_json_is_asked_for(
    format: str, environment: dict[str, str], starts: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parent, terminal = pty.openpty()
    monkeypatch.setattr("foretell.telemetry.logging.STDOUT", terminal)
    log = open_log(format=format)
    structlog.get_logger().info("model_ready")
    log.close()
    assert os.read(parent, 1000).startswith(starts)
    os.close(parent)
    os.close(terminal)


def test_without_standard_output_the_log_is_json_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.telemetry.logging.STDOUT", 9999)
    monkeypatch.setattr("foretell.telemetry.logging.os.isatty", _no_such_descriptor)
    log = open_log()
    structlog.get_logger().info("lost")
    assert log.close() == 1


def _no_such_descriptor(_fd: int) -> bool:
    raise OSError(9, "Bad file descriptor")


def test_importing_the_log_pulls_in_no_framework() -> None:
    import subprocess

    heavy = "('fastapi', 'pydantic', 'numpy')"
    code = f"import sys, foretell.telemetry.logging; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
