"""A request body that has been read, before it is known which model it is for.

A codec reads bytes into a document; ``foretell.core.validation.bind`` holds it against a signature. Between the two the
inference service learns from ``model_version`` which version, and so which signature, is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from foretell.errors import Fault

Origin = Literal["json", "csv", "ndjson", "npy", "arrow", "parquet"]
Header = Literal["auto", "absent", "present"]


class Unreadable:
    """Stands in a document where the body holds a number no value can be made of; binding turns it into a fault.

    ``text`` is the number as sent. ``code`` is ``not_finite`` (NaN, Infinity), ``out_of_range`` (1e999) or
    ``number_too_long`` (more digits than ``limits.max_digits``).
    """

    __slots__ = ("code", "text")

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        self.text = text

    def __repr__(self) -> str:
        return f"Unreadable({self.code!r}, {self.text[:64]!r})"


@dataclass(frozen=True, slots=True)
class Document:
    """What was sent.

    ``single`` says that the path takes one row. ``payload`` holds the rows:

    json   the value of ``features`` or ``instances``, or the top-level object itself (without ``model_version``) where
           it has neither; ``place`` is its JSON pointer (``/features``, ``/instances`` or empty)
    csv    a list of records, each a list of texts, blank lines left out; ``header`` is what the content type said
    ndjson a list of values, one for each line that is not blank; ``place`` is ``/rows``
    npy    an array (``numpy.ndarray``) of numbers, booleans or texts, of any shape
    arrow, parquet: a ``foretell.core.frame.Frame``

    ``beside`` are the top-level keys that stand beside ``features`` and do not belong there. ``faults`` were found
    while reading and do not stop reading.
    """

    origin: Origin
    single: bool
    payload: Any
    place: str = ""
    model_version: str | None = None
    header: Header = "auto"
    beside: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
