"""Which of a stream's own columns are the model's, held once against the signature instead of in every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foretell.codecs.stream.base import ANSWERS, Layout
from foretell.core.faults import Faults, clip, listed
from foretell.core.identity import closest
from foretell.core.signature import Signature
from foretell.errors import UnsupportedMediaType


@dataclass(frozen=True, slots=True)
class Columns:
    """``positions`` are those of the signature's columns among ``names``; None for a nullable one that is not sent."""

    names: tuple[str, ...]
    positions: tuple[int | None, ...]
    layout: Layout

    @property
    def in_order(self) -> bool:
        """Whether the model's columns are all there is, in the signature's order."""
        return self.positions == tuple(range(len(self.names)))


def columns_of(names: Sequence[str], signature: Signature, label: str) -> Columns:
    """The columns of a stream that names them. Columns the model does not know are the caller's own.

    Raises MalformedRequest or InvalidInput for a column named twice or named as an answer is, for a required one that
    is missing, and for an unknown one that is so much like a missing one that it must be meant.
    """
    faults = Faults(label)
    known = {name: position for position, name in reversed(list(enumerate(names)))}
    missing = [column for column in signature.columns if column.name not in known]
    meant = [column.name for column in missing]
    for position, name in enumerate(names):
        place = ("header", name)
        if known[name] != position:
            message = f"the header names the column '{clip(name)}' more than once"
            faults.add("column_repeated", message, place, malformed=True)
        elif name in signature.known:
            continue
        elif meant and closest(name, meant) is not None:
            message = f"the model has no column '{clip(name)}'; it takes {listed(signature.names)}"
            faults.add("unknown_column", message, place, near=(name, meant))
        elif name in ANSWERS:
            message = f"the input has a column '{name}', where the answer's would stand; rename it"
            faults.add("column_taken", message, place, malformed=True)
    for column in missing:
        if not column.nullable:
            message = f"the column '{clip(column.name)}' is missing from the header"
            faults.add("missing_column", message, ("header", column.name), expected=str(column.type))
    faults.refuse()
    types = {column.name: column.type for column in signature.columns}
    positions = tuple(known.get(column.name) for column in signature.columns)
    return Columns(tuple(names), positions, Layout({name: types.get(name) for name in names}))


def refuse_taken(signature: Signature, label: str) -> None:
    """Raises InvalidInput where a column of the model is named as an answer is: its rows cannot be given back."""
    faults = Faults(label)
    for name in ANSWERS:
        if name in signature.known:
            message = f"the model has a column '{name}', where the answer's would stand; predict in batches instead"
            faults.add("column_taken", message)
    faults.refuse()


def refuse_tensors(signature: Signature, label: str, what: str) -> None:
    """Raises UnsupportedMediaType where the model takes tensors, which a stream of columns cannot carry."""
    if not signature.columns:
        raise UnsupportedMediaType(
            f"Model {label} takes tensors, which {what} cannot carry in a stream.",
            hint="send JSON lines: 'content-type: application/x-ndjson'",
        )
