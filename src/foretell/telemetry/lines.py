"""How a log line looks: JSON for machines, colour for people; the same keys in the same order for every writer."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

import orjson

MAX_FIELD_CHARS = 256
MAX_EVENT_FIELD_CHARS = 1024  # what happened to the server, in sentences for its operator
MAX_TRACEBACK_CHARS = 8192

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_RESET, _DIM, _BOLD, _CYAN, _MAGENTA = "\x1b[0m", "\x1b[2m", "\x1b[1m", "\x1b[36m", "\x1b[35m"
_LEVEL_COLOURS = {"debug": "\x1b[32m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_LEVEL_COLOURS["critical"] = _LEVEL_COLOURS["error"]


class Lines(Protocol):
    """One way to write events down."""

    def encode(self, event: Mapping[str, Any]) -> bytes:
        """The event as one line with its newline. Never raises, whatever the values are."""
        ...


class Clock:
    """RFC 3339 in UTC with milliseconds; formatted once per millisecond."""

    def __init__(self) -> None:
        self._millisecond = self._second = -1
        self._prefix = self._text = ""

    def now(self) -> str:
        """The time now, such as ``2026-11-20T10:30:00.000Z``."""
        millisecond = time.time_ns() // 1_000_000
        if millisecond != self._millisecond:
            second = millisecond // 1000
            if second != self._second:
                self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
                self._second = second
            self._text = f"{self._prefix}.{millisecond % 1000:03d}Z"
            self._millisecond = millisecond
        return self._text


def plain(text: str, most: int = MAX_FIELD_CHARS) -> str:
    """Text fit for one field: at most 256 characters, control characters and the like escaped."""
    if len(text) > most:
        text = text[: most - 1] + "…"
    return text if text.isprintable() else _escaped(text)


def _escaped(text: str, kept: str = "") -> str:
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode("ascii") for c in text)


def traceback_text(exc_info: Any) -> str | None:
    """The traceback of an exception, of an ``exc_info`` triple, or of what is being handled where it is True."""
    if isinstance(exc_info, BaseException):
        exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
    elif not isinstance(exc_info, tuple):
        exc_info = sys.exc_info()
    if exc_info[0] is None:
        return None
    text = "".join(traceback.format_exception(*exc_info)).rstrip()
    if len(text) > MAX_TRACEBACK_CHARS:  # the innermost frames and the message stand at the end
        text = "…" + text[1 - MAX_TRACEBACK_CHARS :]
    return _escaped(text, kept="\n")


def _field(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return plain(value, MAX_EVENT_FIELD_CHARS)
    try:
        return plain(str(value), MAX_EVENT_FIELD_CHARS)
    except Exception as error:  # a value whose __str__ fails must not cost the line
        return f"<{type(value).__name__}: {type(error).__name__}>"


def _fields(event: Mapping[str, Any]) -> dict[str, Any]:
    return {plain(str(key)): value if key == "exception" else _field(value) for key, value in event.items()}


class JsonLines:
    """One JSON object a line."""

    def encode(self, event: Mapping[str, Any]) -> bytes:
        fields = _fields(event)
        try:
            return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # an integer of more than 64 bits
            return orjson.dumps({k: v if isinstance(v, str) else str(v) for k, v in fields.items()}) + b"\n"


class ConsoleLines:
    """``time [level] event  key=value ...``, in colour; fields that are empty are left out."""

    def __init__(self, *, colour: bool = True) -> None:
        self._colour = colour

    def encode(self, event: Mapping[str, Any]) -> bytes:
        fields = _fields(event)
        exception = fields.pop("exception", None)
        stamp, level = str(fields.pop("timestamp", "")), str(fields.pop("level", "info"))
        head = [
            self._in(_DIM, stamp.replace("T", " ").removesuffix("Z")),
            self._in(_LEVEL_COLOURS.get(level, _BOLD), f"{level:<7}"),
            self._in(_BOLD, str(fields.pop("event", ""))),
        ]
        pairs = [
            f"{self._in(_CYAN, key)}={self._in(_MAGENTA, _shown(value))}"
            for key, value in fields.items()
            if value is not None
        ]
        line = " ".join(head + pairs)
        return (line if exception is None else f"{line}\n{exception}").encode() + b"\n"

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour else text


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}" if abs(value) >= 1000 else f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return repr(text) if " " in text or not text else text
