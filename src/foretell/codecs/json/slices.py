"""The fast way for a large body, a slice of its rows at a time, so that others get their turns between.

The body is cut where one row ends and the next begins, and each slice is read as a body of its own. A cut inside a
string or inside a row leaves a slice that is no JSON, or none that the fast way takes; so where every slice is taken,
their rows are those of the body, and where one is not, the body is not plain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from foretell.codecs.json.batch import Batch
from foretell.core.values import Inputs

SLICE_BYTES = 64 * 1024
LONGEST_ROW_BYTES = 256 * 1024

_HEAD = re.compile(rb'[ \t\r\n]*+\{[ \t\r\n]*+"(features|instances)"[ \t\r\n]*+:[ \t\r\n]*+\[')
_TAIL = re.compile(rb"\][ \t\r\n]*+\}[ \t\r\n]*+\Z")
_TAIL_BYTES = 256
_NEXT_ROW = re.compile(rb"[\]}][ \t\r\n]*+,[ \t\r\n]*+(?=[\[{])")


def sliced(body: bytes, batch: Batch, max_rows: int, slice_bytes: int = SLICE_BYTES) -> Iterator[Inputs | None]:
    """The rows of a batch body in parts, in order; the last is None where the body is not plain."""
    head, tail = _HEAD.match(body), _TAIL.search(body, max(0, len(body) - _TAIL_BYTES))
    if head is None or tail is None or head.end() >= tail.start():
        yield None
        return
    opening = b'{"%b":[' % head[1]
    start, stop, rows = head.end(), tail.start(), 0
    while start < stop:
        cut = None
        if stop - start > 2 * slice_bytes:
            middle = start + slice_bytes
            cut = _NEXT_ROW.search(body, middle, middle + LONGEST_ROW_BYTES)
            if cut is None and stop > middle + LONGEST_ROW_BYTES:
                yield None
                return
        part = batch(b"%b%b]}" % (opening, body[start : cut.start() + 1 if cut else stop]))
        rows += 0 if part is None else part.count
        if part is None or rows > max_rows:
            yield None
            return
        yield part
        start = cut.end() if cut else stop
