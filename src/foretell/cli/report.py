"""An error as people see it on the command line."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from foretell.errors import ForetellError

EX_SOFTWARE = 70  # sysexits.h

_RED, _DIM, _RESET = "\x1b[1;31m", "\x1b[2m", "\x1b[0m"


def report(error: ForetellError, *, exit_code: int | None = None, stream: TextIO | None = None) -> int:
    """Writes the error, and its hint where there is one, to standard error. Returns the exit code."""
    stream = sys.stderr if stream is None else stream
    colour = stream.isatty() and "NO_COLOR" not in os.environ
    red, dim, reset = (_RED, _DIM, _RESET) if colour else ("", "", "")
    stream.write(f"{red}error:{reset} {printable(error.detail)}\n")
    if error.hint:
        stream.write(f"{dim}hint:{reset}  {printable(error.hint)}\n")
    stream.flush()
    return int(getattr(error, "exit_code", 1)) if exit_code is None else exit_code


def printable(text: str) -> str:
    """Text fit for a terminal: whatever would steer it, as file names may, is escaped; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
