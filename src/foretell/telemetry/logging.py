"""Events of the server: structlog and the standard library's loggers, written through one sink."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import structlog

from foretell.telemetry.lines import Clock, ConsoleLines, JsonLines, Lines, traceback_text
from foretell.telemetry.request_log import RequestLog
from foretell.telemetry.sink import STOP_S, Sink
from foretell.telemetry.target import Descriptor, LogFile

STDOUT = 1
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

# loggers that tell at level info what our own events tell already
_CHATTY = ("uvicorn", "uvicorn.error", "asyncio", "httpx2", "httpcore2")


class Log:
    """The open log: ``observer`` takes requests, ``structlog.get_logger()`` and ``logging`` take events.

    Close it to flush and to leave structlog and ``logging`` as they were.
    """

    def __init__(self, sink: Sink, lines: Lines, *, level: str = "info") -> None:
        self.sink = sink
        self.observer = RequestLog(sink, lines, level=level)
        self._clock = Clock()
        self._lines = lines
        self._route_structlog(LEVELS[level])
        self._route_stdlib(LEVELS[level])

    def _route_structlog(self, level: int) -> None:
        self._before = structlog.get_config()
        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, self._render],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=lambda *_: _SinkLogger(self.sink),
            cache_logger_on_first_use=False,
        )

    def _route_stdlib(self, level: int) -> None:
        root = logging.getLogger()
        self._handler = _SinkHandler(self)
        self._handlers_before, self._level_before = root.handlers[:], root.level
        root.handlers[:] = [self._handler]
        root.setLevel(level)
        self._levels_before = {name: logging.getLogger(name).level for name in _CHATTY}
        for name in _CHATTY:
            logging.getLogger(name).setLevel(level if level <= logging.DEBUG else max(level, logging.WARNING))

    def _render(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> bytes:
        return self.encode(event)

    def encode(self, event: Mapping[str, Any]) -> bytes:
        """One event as a line, with time and level in front and any traceback behind."""
        rest = {key: value for key, value in event.items() if key not in ("level", "event", "exc_info")}
        line = {
            "timestamp": self._clock.now(),
            "level": event.get("level", "info"),
            "event": event.get("event"),
            **rest,
        }
        if (exc_info := event.get("exc_info")) and (text := traceback_text(exc_info)):
            line["exception"] = text
        return self._lines.encode(line)

    def close(self, timeout_s: float = STOP_S) -> int:
        """Flushes, for ``timeout_s`` at most, and returns the lines that could not be written."""
        root = logging.getLogger()
        if root.handlers == [self._handler]:
            root.handlers[:] = self._handlers_before
            root.setLevel(self._level_before)
            for name, level in self._levels_before.items():
                logging.getLogger(name).setLevel(level)
            structlog.configure(**self._before)
        return self.sink.close(timeout_s)


class _SinkLogger:
    """What structlog hands finished lines to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, line: bytes) -> None:
        self._sink.write(line)

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


class _SinkHandler(logging.Handler):
    """Writes the standard library's records as events."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception as error:  # arguments that do not fit the format: the record still counts
            text = f"{record.msg} ({error})"
        event = {"level": record.levelname.lower(), "event": text, "logger": record.name, "exc_info": record.exc_info}
        self._log.sink.write(self._log.encode(event))


def open_log(
    *,
    format: str = "auto",
    level: str = "info",
    path: Path | None = None,
    max_buffered_lines: int = 16_384,
    shared: bool = False,
) -> Log:
    """Opens the log on a file or standard output, as ``foretell.settings.Log`` describes its options.

    ``shared`` says that other worker processes write to the same output. Raises OSError where the file does not open.
    """
    console = format == "console" or (format == "auto" and path is None and _is_terminal(STDOUT))
    lines: Lines = ConsoleLines(colour=path is None and "NO_COLOR" not in os.environ) if console else JsonLines()
    clock = Clock()

    def tell(dropped: int) -> bytes:
        event = {"timestamp": clock.now(), "level": "warning", "event": "log_lines_dropped", "dropped": dropped}
        return lines.encode(event)

    target = Descriptor(STDOUT, shared=shared) if path is None else LogFile(path)
    return Log(Sink(target, max_lines=max_buffered_lines, tell=tell), lines, level=level)


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
