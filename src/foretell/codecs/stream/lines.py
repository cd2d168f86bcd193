"""Bytes of any size into lines, and lines into chunks whose boundaries depend on the rows alone.

A CSV record may hold line ends inside quotes: there a record ends with the first line by whose end the quotes are even.
That is what RFC 4180 comes to, needs no look at single characters, and is the same wherever the bytes were cut.
"""

from __future__ import annotations

from foretell.codecs.stream.base import Raw, StreamLimits

_BOM = b"\xef\xbb\xbf"


class TooLong(bytes):
    """Stands for a line of more bytes than allowed; holds none of them."""


class Lines:
    """Cuts a stream into lines without their ends, blank lines left out. ``quoted``: as CSV has records."""

    def __init__(self, limits: StreamLimits, *, quoted: bool) -> None:
        self._limits = limits
        self._quoted = quoted
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._dropping = False
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._ready: list[bytes] = []
        self._first = 0
        self._ready_bytes = 0
        self._taken = 0
        self._begun = False

    def __len__(self) -> int:
        """How many lines wait to be taken."""
        return len(self._ready) - self._first

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        if not self._begun:
            data = b"".join([*self._tail, data])
            self._tail, self._tail_bytes = [], 0
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._keep(data)
                return
            self._begun = True
            data = data.removeprefix(_BOM)
        del self._ready[: self._first]  # what was taken is not kept: its rows may be long, and streams many
        self._first = 0
        first, newline, rest = data.partition(b"\n")
        if not newline:
            self._keep(first)
            return
        self._line(first)
        *lines, tail = rest.split(b"\n")
        if self._quoted and (self._open or rest.count(b'"')):
            for line in lines:
                self._add(self._bounded(line))
        else:
            self._add_plain(lines, rest)
        self._keep(tail)

    def end(self) -> None:
        """The last line, which needs no end."""
        self._begun = True
        self._line(b"")
        if self._open:
            self._give_up()

    def take(self, *, flush: bool) -> Raw | None:
        """The next chunk of lines."""
        limits, first = self._limits, self._first
        waiting = len(self._ready) - first
        if not waiting or (not flush and waiting < limits.chunk_rows and self._ready_bytes <= limits.chunk_bytes):
            return None
        lines = self._ready[first : first + limits.chunk_rows]
        size = sum(map(len, lines))
        while size > limits.chunk_bytes and len(lines) > 1:
            size -= len(lines.pop())
        self._first += len(lines)
        self._ready_bytes -= size
        if self._first == len(self._ready):
            self._ready, self._first = [], 0
        raw = Raw(self._taken, len(lines), lines)
        self._taken += len(lines)
        return raw

    def next(self) -> bytes:
        """One waiting line, taken before any chunk: a header."""
        line = self._ready[self._first]
        self._first += 1
        self._ready_bytes -= len(line)
        return line

    def peek(self, position: int) -> bytes | None:
        """A line that still waits."""
        at = self._first + position
        return self._ready[at] if len(self._ready) > at else None

    def _keep(self, part: bytes) -> None:
        """The beginning of a line whose end has not come; no more of it than a line may have is kept."""
        if not part or self._dropping:
            return
        self._tail.append(part)
        self._tail_bytes += len(part)
        if self._tail_bytes > self._limits.row_bytes + 1:  # the one may be a carriage return
            self._tail, self._tail_bytes, self._dropping = [], 0, True

    def _line(self, rest: bytes) -> None:
        """The line that was begun ends with ``rest``."""
        line = TooLong() if self._dropping else self._bounded(b"".join([*self._tail, rest]))
        self._tail, self._tail_bytes, self._dropping = [], 0, False
        self._add(line)

    def _bounded(self, line: bytes) -> bytes:
        return line if len(line) - line.endswith(b"\r") <= self._limits.row_bytes else TooLong()

    def _add_plain(self, lines: list[bytes], text: bytes) -> None:
        """Lines in which no quote can stand open."""
        if b"\r" in text:
            lines = [line.removesuffix(b"\r") for line in lines]
        longest = self._limits.row_bytes
        lines = list(filter(None, lines))
        if len(text) > longest:
            lines = [line if len(line) <= longest else TooLong() for line in lines]
        if not self._quoted:
            lines = [line for line in lines if not line.isspace() or isinstance(line, TooLong)]
        self._ready.extend(lines)
        self._ready_bytes += sum(map(len, lines))

    def _add(self, line: bytes) -> None:
        if self._open:
            self._continue(line)
        elif self._quoted and line.count(b'"') % 2:
            self._open, self._open_bytes = [line], len(line)
        else:
            self._put(line)

    def _put(self, line: bytes) -> None:
        """A whole line or record, unless it is blank."""
        if not isinstance(line, TooLong):
            line = line.removesuffix(b"\r")
            if not line or (not self._quoted and line.isspace()):
                return
        self._ready.append(line)
        self._ready_bytes += len(line)

    def _continue(self, line: bytes) -> None:
        """Another line of a record whose quotes are open."""
        self._open.append(line)
        self._open_bytes += len(line) + 1
        if isinstance(line, TooLong) or self._open_bytes > self._limits.row_bytes:
            self._give_up()
        elif line.count(b'"') % 2:
            record = b"\n".join(self._open)
            self._open, self._open_bytes = [], 0
            self._put(record)

    def _give_up(self) -> None:
        """A quote was never closed: its line is a record alone, and the lines after it are looked at anew."""
        first, *others = self._open
        self._open, self._open_bytes = [], 0
        self._put(first)
        for line in others:
            self._add(line)
