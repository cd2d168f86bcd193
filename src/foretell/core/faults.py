"""Gathering what is wrong with a request: every fault counted, the first of them kept for the answer."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from foretell.core.document import Unreadable
from foretell.core.identity import closest
from foretell.errors import Fault, InvalidInput, MalformedRequest

KEPT = 50
SHOWN_CHARS = 64
_COMPARISONS = 20_000
"""How many names a request's suggestions may be compared with, all faults together: comparing is what costs."""

TITLES = {
    "batch_expected": "Many rows expected",
    "body_empty": "Empty body",
    "column_repeated": "Column named twice",
    "column_taken": "Column has the name of an answer",
    "duplicate_key": "Duplicate key",
    "features_and_instances": "Both features and instances",
    "features_missing": "No features",
    "invalid_datetime": "Invalid date and time",
    "malformed_arrow": "Malformed Arrow stream",
    "malformed_csv": "Malformed CSV",
    "malformed_json": "Malformed JSON",
    "malformed_multipart": "Malformed multipart body",
    "malformed_npy": "Malformed NPY",
    "malformed_parquet": "Malformed Parquet",
    "missing_column": "Missing column",
    "nested_too_deep": "Nested too deep",
    "no_rows": "No rows",
    "not_an_object": "Not a JSON object",
    "not_finite": "Not a finite number",
    "not_utf8": "Not UTF-8",
    "null_not_allowed": "Null not allowed",
    "number_too_long": "Number too long",
    "out_of_bounds": "Out of bounds",
    "out_of_range": "Number out of range",
    "pattern_mismatch": "Pattern not matched",
    "ragged_rows": "Rows of different lengths",
    "row_too_long": "Row too long",
    "single_expected": "One row expected",
    "text_too_long": "Text too long",
    "too_many_columns": "Too many columns",
    "too_many_rows": "Too many rows",
    "unknown_category": "Unknown category",
    "unknown_column": "Unknown column",
    "unknown_field": "Unknown field",
    "wrong_feature_count": "Wrong number of features",
    "wrong_shape": "Wrong shape",
    "wrong_type": "Wrong type",
}

ABSENT: Any = object()
"""Stands for «no value to show» where None is a value."""

Place = Iterable[str | int]


def clip(text: str, chars: int = SHOWN_CHARS) -> str:
    """``text``, or as much of it as fits into ``chars`` characters with an ellipsis at the end."""
    return text if len(text) <= chars else text[: chars - 1] + "…"


def pointer(place: Place) -> str:
    """A JSON pointer (RFC 6901). Names of the caller's making are clipped."""
    return "".join("/" + clip(str(part)).replace("~", "~0").replace("/", "~1") for part in place)


def listed(names: Collection[str], chars: int = 96) -> str:
    """Names as a list for people, clipped: ``age, plan, ...``."""
    shown: list[str] = []
    for name in names:
        chars -= len(clip(name)) + 2
        if chars < 0 and shown:
            return ", ".join([*shown, "..."])
        shown.append(clip(name))
    return ", ".join(shown)


def shown(value: Any) -> str:
    """A value of a body as JSON text, clipped."""
    if isinstance(value, Unreadable):
        return clip(value.text)
    if isinstance(value, str):
        return clip(json.dumps(value[:SHOWN_CHARS], ensure_ascii=False))
    text = ""
    for chunk in _ENCODER.iterencode(value):
        text += chunk[: SHOWN_CHARS + 1]
        if len(text) > SHOWN_CHARS:
            break
    return clip(text)


def _unreadable_text(value: Any) -> str:
    return str(value.text)


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=_unreadable_text)


class Faults:
    """The faults of one request. ``label`` says which model and version they are held against, such as ``iris v1``."""

    def __init__(self, label: str = "") -> None:
        self.label = label
        self.total = 0
        self._codes: set[str] = set()
        self._malformed: list[Fault] = []
        self._invalid: list[Fault] = []
        self._any_malformed = False
        self._detail: str | None = None
        self._comparisons = _COMPARISONS

    def add(
        self,
        code: str,
        message: str,
        place: Place = (),
        *,
        row: int | None = None,
        expected: Any = None,
        got: Any = None,
        value: Any = ABSENT,
        near: tuple[str, Collection[str]] | None = None,
        malformed: bool = False,
        detail: str | None = None,
    ) -> None:
        """Counts a fault and keeps it while there is room.

        ``near`` is a word and the options it may have meant; ``detail`` a whole sentence for the answer, used where
        the request has this fault alone.
        """
        kept = self._malformed if malformed else self._invalid
        self.count(code, malformed=malformed)
        if self.total == 1:
            self._detail = detail
        if len(kept) >= KEPT:
            return
        suggestion = self._closest(*near) if near else None
        text = None if value is ABSENT else shown(value)
        kept.append(Fault(code, message, pointer(place), row, expected, got, text, suggestion, not malformed))

    def include(self, fault: Fault) -> None:
        """Counts a fault that is already made."""
        self.count(fault.code, malformed=not fault.readable)
        kept = self._invalid if fault.readable else self._malformed
        if len(kept) < KEPT:
            kept.append(fault)

    def full(self, *, malformed: bool) -> bool:
        """Whether no more faults of the kind are kept: then it is enough to ``count`` them."""
        return len(self._malformed if malformed else self._invalid) >= KEPT

    def count(self, code: str, *, malformed: bool, times: int = 1) -> None:
        """Counts faults of one code, at least one, without keeping them: for those of which enough are kept."""
        self.total += times
        self._codes.add(code)
        self._any_malformed |= malformed

    def _closest(self, word: str, options: Collection[str]) -> str | None:
        if len(options) > self._comparisons:
            return None
        self._comparisons -= len(options)
        return closest(word, options)

    def error(self) -> MalformedRequest | InvalidInput:
        """All of it as one error; what cannot be read comes first, as it decides the class."""
        kept = (*self._malformed, *self._invalid)[:KEPT]
        code = next(iter(self._codes)) if len(self._codes) == 1 else None
        kind = MalformedRequest if self._any_malformed else InvalidInput
        return kind(
            self._sentence(kept[0]),
            faults=kept,
            faults_total=self.total,
            code=code,
            title=None if code is None else TITLES.get(code),
        )

    def refuse(self) -> None:
        """Raises the error where there is any fault."""
        if self.total:
            raise self.error()

    def _sentence(self, first: Fault) -> str:
        if self.total == 1 and self._detail:
            return self._detail
        subject = f"Model {self.label} cannot take this input" if self.label else "The body cannot be read"
        where = f" at {first.pointer}" if first.pointer else ""
        meant = f" Did you mean '{clip(first.suggestion)}'?" if first.suggestion else ""
        more = f" {self.total} faults in all." if self.total > 1 else ""
        return f"{subject}:{where} {first.message}.{meant}{more}"


def malformed(code: str, message: str, detail: str, *, place: Place = (), got: Any = None) -> MalformedRequest:
    """A request that cannot be read, for one reason alone."""
    faults = Faults()
    faults.add(code, message, place, got=got, malformed=True, detail=detail)
    error = faults.error()
    assert isinstance(error, MalformedRequest)  # noqa: S101 - one fault, and that one is of the malformed kind
    return error
