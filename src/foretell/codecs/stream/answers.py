"""The answers of one chunk as texts, made column by column: what line formats add to each of their rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from foretell.core.formulas import no_formula
from foretell.core.signature import Output
from foretell.core.values import Outputs, display_names

Cell = Callable[[Any], bytes]


def json_cell(value: Any) -> bytes:
    """A value as JSON."""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)


def csv_cell(value: Any) -> bytes:
    """A value as one CSV field; nothing for null. Lists and objects are written as JSON."""
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int | float):
        return json_cell(value)
    if isinstance(value, str):
        return csv_text(value)
    text = json_cell(value).decode()
    # moments, and whatever else JSON has only as text
    return csv_text(text[1:-1] if text.startswith('"') else text)


def csv_text(text: str) -> bytes:
    """A text as one CSV field, in quotes where it has to be."""
    if '"' in text or "," in text or "\n" in text or "\r" in text:
        text = '"' + text.replace('"', '""') + '"'
    return text.encode()


def csv_row(cells: Sequence[str]) -> bytes:
    """One record without its end."""
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="").writerow(cells)
    return stream.getvalue().encode()


class Answers:
    """Writes the answers of a version: ``heads`` is what stands before the confidence, ready-made for each class.

    ``names`` are put before the values (as JSON has keys) or left out; ``cell`` writes one value.
    """

    def __init__(self, output: Output, cell: Cell, keys: Sequence[bytes]) -> None:
        self._cell = cell
        self._prediction, self._class_name, self._confidence = keys
        self._names = None if output.several else display_names(output)
        self._probabilities = output.probabilities
        self._heads = [
            self._head(label, None if self._names is None else self._names[index])
            for index, label in enumerate(output.classes or ())
        ]

    def _head(self, prediction: Any, name: str | None) -> bytes:
        head = self._prediction + self._cell(prediction)
        return head if self._names is None else head + self._class_name + self._cell(name)

    def texts(self, outputs: Outputs) -> list[bytes]:
        """For each row all that is added to it, errors aside."""
        if outputs.indices is None:
            return self._by_value(outputs)
        heads = self._heads
        chosen: list[int] = outputs.indices.tolist()
        if outputs.probabilities is None or not self._probabilities:
            return [heads[index] for index in chosen]
        probabilities = np.asarray(outputs.probabilities, dtype=np.float64)
        best = np.ascontiguousarray(probabilities[np.arange(len(chosen)), outputs.indices])
        between = self._confidence
        texts = numbers(best)
        return [heads[index] + between + text for index, text in zip(chosen, texts, strict=True)]

    def _by_value(self, outputs: Outputs) -> list[bytes]:
        values = outputs.values
        if values is not None and values.dtype.kind == "f" and values.ndim == 1 and self._names is None:
            lead = self._prediction
            return [lead + text for text in numbers(np.ascontiguousarray(values, dtype=np.float64))]
        listed = outputs.listed
        names: Sequence[str | None] = listed.class_names or [None] * len(listed.predictions)
        return [self._head(value, name) for value, name in zip(listed.predictions, names, strict=True)]


def numbers(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[bytes]:
    """Finite numbers in the shortest form that reads back as the same."""
    return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",") if len(values) else []


def csv_label(output: Output) -> Cell:
    """How predictions and class names stand in CSV: texts a spreadsheet would run as formulas are led by an apostrophe,
    and several outputs are as many fields."""

    def cell(value: Any) -> bytes:
        if isinstance(value, str):
            return csv_text(no_formula(value))
        if output.several and isinstance(value, list):
            return b",".join(map(cell, value))
        return csv_cell(value)

    return cell
