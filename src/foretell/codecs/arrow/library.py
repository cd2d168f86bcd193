"""Whether pyarrow is there, what the codecs that need it share, and what it raises for bodies it cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

from foretell.codecs.base import Decoders
from foretell.core.faults import malformed
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature
from foretell.errors import BodyTooLarge, MalformedRequest

LIBRARY = "pyarrow"
INSTALL = "pip install 'foretell[data]'"


class ByArrow:
    """What the codecs that need pyarrow share: batches alone, always off the loop, and no fast way of their own."""

    single = False
    off_loop_bytes: int | None = 0

    def __init__(self, library: str = LIBRARY) -> None:
        self._library = library

    @property
    def missing(self) -> str | None:
        return missing(self._library)

    def compile(self, signature: Signature, limits: BodyLimits) -> Decoders | None:  # noqa: ARG002
        return None


@cache
def missing(library: str) -> str | None:
    """The command that installs ``library``; None where it is installed. Does not import it."""
    return INSTALL if find_spec(library) is None else None


@contextmanager
def refusing(code: str, what: str) -> Iterator[None]:
    """Turns what pyarrow raises into MalformedRequest. Its own words are left out: they may quote the body."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, MemoryError, OverflowError):
        why = "it is cut short, damaged, or uses what is not read here"
        raise malformed(code, why, f"The body is not {what} that can be read: {why}.") from None


def too_large(limits: BodyLimits) -> BodyTooLarge:
    """The body becomes too large when it is decoded."""
    return BodyTooLarge(
        f"The body holds more than {limits.max_decoded_bytes} bytes of values once it is decoded, which is eight times "
        f"the {limits.max_body_bytes} bytes a body may have (limits.max_body_bytes).",
        hint="send the rows in several batches",
    )


def too_many_columns(count: int, limits: BodyLimits) -> MalformedRequest:
    """The body has more columns than are looked at."""
    detail = f"The body has {count} columns; at most {limits.max_columns} are read."
    message = f"expected at most {limits.max_columns} columns"
    return malformed("too_many_columns", message, detail, place=("columns",), got=count)
