"""Request lines: the same fields by every way, nothing that could break a line or a terminal."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from foretell.core.access.principal import Principal
from foretell.telemetry.lines import Clock, ConsoleLines, JsonLines, plain, traceback_text
from foretell.telemetry.observer import Outcome
from foretell.telemetry.request_log import RequestLog
from foretell.telemetry.sink import Sink

KEYS = [
    *("timestamp", "level", "event", "request_id", "duration_ms", "method", "route", "status", "outcome", "code"),
    *("model", "version", "rows", "batch_rows", "inference_ms", "lane", "principal"),
]
PARTNER = Principal("key:partner-x", "key", "partner-x", frozenset({"predict"}))
SHARED = Outcome(
    request_id="",
    method="POST",
    route="/api/v1/predict",
    status=200,
    model="iris",
    version="v1",
    rows=1,
    batch_rows=2,
    inference_ms=0.25,
    lane=True,
)


class Collected(Sink):
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.blocks: list[tuple[bytes, int]] = []

    def write(self, block: bytes, lines: int = 1) -> None:
        self.blocks.append((block, lines))

    @property
    def text(self) -> bytes:
        return b"".join(block for block, _ in self.blocks)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def test_a_json_line_has_every_field_with_its_unit() -> None:
    sink = Collected()
    RequestLog(sink, JsonLines()).request(replace(SHARED, request_id="r-1", duration_ms=1.23456, principal=PARTNER))
    (event,) = sink.events
    assert list(event) == KEYS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.pop("timestamp"))
    assert event == {
        "level": "info",
        "event": "request",
        "request_id": "r-1",
        "method": "POST",
        "route": "/api/v1/predict",
        "status": 200,
        "outcome": "success",
        "code": None,
        "model": "iris",
        "version": "v1",
        "rows": 1,
        "batch_rows": 2,
        "duration_ms": 1.235,
        "inference_ms": 0.25,
        "lane": True,
        "principal": "key:partner-x",
    }


def test_lines_of_one_batch_are_as_if_written_one_by_one() -> None:
    bulk, single = Collected(), Collected()
    requests = [("r-1", 0.1), ("r-2", 12.3456)]
    RequestLog(bulk, JsonLines()).answered(SHARED, requests)
    for request_id, duration_ms in requests:
        RequestLog(single, JsonLines()).request(replace(SHARED, request_id=request_id, duration_ms=duration_ms))
    assert [lines for _, lines in bulk.blocks] == [2]
    for one, other in zip(bulk.events, single.events, strict=True):
        assert list(one) == list(other)
        assert {**one, "timestamp": ""} == {**other, "timestamp": ""}


def test_a_batch_nobody_waited_for_leaves_no_line() -> None:
    sink = Collected()
    RequestLog(sink, JsonLines()).answered(SHARED, [])
    assert not sink.blocks


def test_console_lines_of_a_batch_show_each_request() -> None:
    sink = Collected()
    RequestLog(sink, ConsoleLines(colour=False)).answered(SHARED, [("r-1", 0.1), ("r-2", 0.2)])
    assert [re.sub(r"^\S+ \S+ ", "", line.decode()) for line in sink.text.splitlines()] == [
        f"info    request request_id=r-{n} duration_ms=0.{n} method=POST route=/api/v1/predict status=200 "
        "outcome=success model=iris version=v1 rows=1 batch_rows=2 inference_ms=0.25 lane=true"
        for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["success", "refused", "disconnected", "failed"]),
        ("info", ["success", "refused", "disconnected", "failed"]),
        ("warning", ["refused", "disconnected", "failed"]),
        ("error", ["failed"]),
    ],
)
def test_the_level_chooses_which_outcomes_are_written(level: str, written: list[str]) -> None:
    sink = Collected()
    log = RequestLog(sink, JsonLines(), level=level)
    for outcome in ("success", "refused", "disconnected", "failed"):
        log.request(replace(SHARED, outcome=outcome))
        log.answered(replace(SHARED, outcome=outcome), [("r", 0.1)])
    assert [event["outcome"] for event in sink.events] == [name for name in written for _ in range(2)]


@pytest.mark.parametrize("lines", [JsonLines(), ConsoleLines()])
def test_a_hostile_field_stays_on_its_line_and_is_clipped(lines: JsonLines | ConsoleLines) -> None:
    sink = Collected()
    hostile = "a\nb\r\x1b[31mred\x9b\x7f\u2028\ud800" + "x" * 1000
    RequestLog(sink, lines).request(replace(SHARED, method=hostile, model=hostile, code=hostile, request_id=hostile))
    assert sink.text.count(b"\n") == 1
    assert b"\x1b[31mred" not in sink.text
    assert "\x9b".encode() not in sink.text
    assert len(sink.text) < 4 * 400 + 600


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("übung 🙂", "übung 🙂"),
        ("a\nb", "a\\nb"),
        ("\x1b[0m", "\\x1b[0m"),
        ("\ud800", "\\ud800"),
        ("y" * 257, "y" * 255 + "…"),
        ("y" * 256, "y" * 256),
    ],
)
def test_plain_text_keeps_what_prints_and_escapes_the_rest(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_the_clock_keeps_up_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for now_ns, text in [
        (1_763_634_600_000_000_000, "2025-11-20T10:30:00.000Z"),
        (1_763_634_600_000_900_000, "2025-11-20T10:30:00.000Z"),
        (1_763_634_600_001_000_000, "2025-11-20T10:30:00.001Z"),
        (1_763_634_661_042_000_000, "2025-11-20T10:31:01.042Z"),
    ]:
        monkeypatch.setattr("time.time_ns", lambda now_ns=now_ns: now_ns)
        assert clock.now() == text


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no")


def test_an_event_with_values_of_any_kind_is_one_json_object() -> None:
    event = {"event": "x", "big": 10**40, "path": Unprintable(), "none": None, "set": {1}, "ratio": 0.5}
    shown = json.loads(JsonLines().encode(event))
    assert shown["big"] == str(10**40)
    assert shown["path"] == "<Unprintable: ValueError>"
    assert json.loads(JsonLines().encode({"set": {1}, "nan": float("nan")})) == {"set": "{1}", "nan": None}


def test_console_values_are_short_and_unambiguous() -> None:
    line = ConsoleLines(colour=False).encode({"event": "e", "a": "two words", "b": "", "c": 1234567.0, "d": False})
    assert line == b" info    e a='two words' b='' c=1.23457e+06 d=false\n"


def test_colour_is_only_there_when_asked_for() -> None:
    assert b"\x1b[" in ConsoleLines().encode({"event": "e", "level": "error"})
    assert b"\x1b[" not in ConsoleLines(colour=False).encode({"event": "e", "level": "error"})


def test_a_traceback_comes_from_an_error_a_triple_or_the_one_in_flight() -> None:
    assert traceback_text(True) is None
    try:
        raise ValueError("bad \x1b[31m value")
    except ValueError as error:
        expected = traceback_text(error)
        assert traceback_text(True) == expected
        assert traceback_text((type(error), error, error.__traceback__)) == expected
    assert expected is not None
    assert expected.endswith("ValueError: bad \\x1b[31m value")
    assert expected.count("\n") >= 2


def test_a_long_traceback_keeps_its_end() -> None:
    text = traceback_text(ValueError("v" * 20_000 + "END"))
    assert text is not None
    assert len(text) == 8192
    assert text.endswith("END")
