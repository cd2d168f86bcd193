"""The signature: the one description of what a model takes and gives (contract §2).

Validation, OpenAPI, examples and codecs are all derived from it. It comes from the manifest, else from the artifact,
else from example data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, Self

from foretell.errors import ManifestError

Scalar = str | int | float | bool
Label = str | int | float | bool

TENSOR_DTYPES = frozenset(
    {"float16", "float32", "float64", "int8", "int16", "int32", "int64"}
    | {"uint8", "uint16", "uint32", "uint64", "bool", "string"}
)


class ColumnType(StrEnum):
    """What one column of a row holds."""

    FLOAT = "float"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    STRING = "string"
    CATEGORY = "category"
    DATETIME = "datetime"

    @property
    def numeric(self) -> bool:
        """Whether a value of this type can stand in a float64 matrix."""
        return self in (ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN)


PATTERN_CHARS = 1000
"""The longest text of a column that has a ``pattern`` and no ``max_length``."""


@dataclass(frozen=True, slots=True)
class Column:
    """One named column. Bounds, pattern, length and closed categories are what the author declares, and are enforced.

    ``categories`` without ``closed`` is documentation. A ``nullable`` column may be null or left out.
    """

    name: str
    type: ColumnType = ColumnType.FLOAT
    nullable: bool = False
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    exclusive_maximum: float | None = None
    pattern: str | None = None
    max_length: int | None = None
    categories: tuple[str, ...] | None = None
    closed: bool = False
    description: str | None = None
    example: Scalar | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ManifestError(f"the pattern of column {self.name!r} is no regular expression: {error}") from None

    def longest(self, most: int) -> int:
        """How many characters a text may have where the server takes ``most``.

        A pattern is searched for in what callers send, and many take time that grows with the square of its length: so
        a text that has to match one is short unless its author says how long it may be.
        """
        usual = most if self.pattern is None else PATTERN_CHARS
        return min(usual if self.max_length is None else self.max_length, most)

    @property
    def bounded(self) -> bool:
        """Whether any numeric bound is declared."""
        bounds = (self.minimum, self.exclusive_minimum, self.maximum, self.exclusive_maximum)
        return any(bound is not None for bound in bounds)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One named tensor. ``shape`` includes the batch dimension where the model has one; -1 means any length."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    description: str | None = None


OutputKind = Literal["classification", "regression", "tensors"]


@dataclass(frozen=True, slots=True)
class Output:
    """What comes back for a row.

    classification: one of ``classes`` (the labels as the model has them; None where the artifact does not tell), with
    ``class_names`` for people, in the same order, and ``probabilities`` over ``classes`` where the model gives them.
    regression: a number. Several outputs (of either kind) are a list, named by ``names``; they carry no probabilities.
    tensors: whatever ``tensors`` says.
    """

    kind: OutputKind
    classes: tuple[Label, ...] | None = None
    class_names: tuple[str, ...] | None = None
    probabilities: bool = False
    names: tuple[str, ...] = ()
    tensors: tuple[Tensor, ...] = ()

    @property
    def several(self) -> bool:
        """Whether a prediction is a list of values instead of one."""
        return len(self.names) > 1


Layout = Literal["matrix", "table", "tensors"]


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives. Either ``columns`` or ``tensors`` is filled, never both.

    ``named`` says whether column names are the author's own (then rows may be sent as objects, also at the top level)
    or were made up from positions.
    """

    columns: tuple[Column, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    output: Output = Output("regression")
    named: bool = True

    def __post_init__(self) -> None:
        if bool(self.columns) == bool(self.tensors):
            raise ManifestError("a signature has either columns or tensors, and at least one of them")
        items: tuple[Column | Tensor, ...] = (*self.columns, *self.tensors)
        names = [item.name for item in items]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise ManifestError(f"the signature names {', '.join(map(repr, twice))} more than once")
        classes, class_names = self.output.classes, self.output.class_names
        if classes and class_names and len(classes) != len(class_names):
            raise ManifestError(f"the signature has {len(classes)} classes but {len(class_names)} class names")

    @cached_property
    def layout(self) -> Layout:
        """How validated rows reach the runtime: see ``foretell.core.values``."""
        if self.tensors:
            return "tensors"
        return "matrix" if all(column.type.numeric for column in self.columns) else "table"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def known(self) -> frozenset[str]:
        """Column names, to ask whether a name is one."""
        return frozenset(self.names)

    def to_document(self) -> dict[str, Any]:
        """The signature as plain values, for TOML and JSON; what is absent or default is left out."""
        document: dict[str, Any] = {}
        if self.columns:
            document["columns"] = [_sparse(column) for column in self.columns]
            if not self.named:
                document["named"] = False
        if self.tensors:
            document["tensors"] = [_sparse(tensor) for tensor in self.tensors]
        output = _sparse(self.output)
        if self.output.tensors:
            output["tensors"] = [_sparse(tensor) for tensor in self.output.tensors]
        return {**document, "output": output}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of ``to_document``. Raises ManifestError naming the place of the fault."""
        _known(document, {"columns", "tensors", "output", "named"}, "signature")
        columns = tuple(_column(item, i) for i, item in enumerate(_list(document, "columns", "signature")))
        tensors = tuple(
            _tensor(item, "signature.tensors", i) for i, item in enumerate(_list(document, "tensors", "signature"))
        )
        named = document.get("named", True)
        if not isinstance(named, bool):
            raise ManifestError("signature.named must be true or false")
        return cls(columns, tensors, _output(document.get("output")), named)


def _sparse(item: Any) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for field in fields(item):
        value = getattr(item, field.name)
        required = field.name in ("name", "type", "kind", "dtype", "shape")
        if required or (value is not None and value != field.default):
            kept[field.name] = list(value) if isinstance(value, tuple) else value
    if "type" in kept:
        kept["type"] = str(kept["type"])
    return kept


def _known(document: Any, allowed: set[str], where: str) -> None:
    if not isinstance(document, Mapping):
        raise ManifestError(f"{where} must be a table")
    unknown = sorted(set(document) - allowed)
    if unknown:
        raise ManifestError(f"{where} has unknown keys: {', '.join(unknown)}; known are {', '.join(sorted(allowed))}")


def _list(document: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = document.get(key, [])
    if not isinstance(value, list):
        raise ManifestError(f"{where}.{key} must be a list")
    return value


def _column(item: Any, index: int) -> Column:
    where = f"signature.columns[{index}]"
    _known(item, {field.name for field in fields(Column)}, where)
    given = dict(item)
    name = _text(given.pop("name", None), f"{where}.name")
    try:
        kind = ColumnType(given.pop("type", "float"))
    except ValueError:
        raise ManifestError(f"{where}.type must be one of {', '.join(ColumnType)}") from None
    for key in ("minimum", "exclusive_minimum", "maximum", "exclusive_maximum"):
        if key in given and (isinstance(given[key], bool) or not isinstance(given[key], int | float)):
            raise ManifestError(f"{where}.{key} must be a number")
    for key in ("nullable", "closed"):
        if key in given and not isinstance(given[key], bool):
            raise ManifestError(f"{where}.{key} must be true or false")
    for key in ("pattern", "description"):
        if key in given:
            _text(given[key], f"{where}.{key}")
    if "max_length" in given and (type(given["max_length"]) is not int or given["max_length"] < 0):
        raise ManifestError(f"{where}.max_length must be a whole number")
    if "categories" in given:
        given["categories"] = tuple(_text(value, f"{where}.categories") for value in _list(given, "categories", where))
    if given.get("closed") and not given.get("categories"):
        raise ManifestError(f"{where} is closed but lists no categories")
    return Column(name, kind, **given)


def _tensor(item: Any, where: str, index: int) -> Tensor:
    where = f"{where}[{index}]"
    _known(item, {"name", "dtype", "shape", "description"}, where)
    dtype, shape = item.get("dtype"), item.get("shape")
    if dtype not in TENSOR_DTYPES:
        raise ManifestError(f"{where}.dtype must be one of {', '.join(sorted(TENSOR_DTYPES))}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= -1 for size in shape):
        raise ManifestError(f"{where}.shape must be a list of whole numbers, -1 for any")
    return Tensor(_text(item.get("name"), f"{where}.name"), dtype, tuple(shape), item.get("description"))


def _output(item: Any) -> Output:
    where = "signature.output"
    _known(item, {field.name for field in fields(Output)}, where)
    kind = item.get("kind")
    if kind not in ("classification", "regression", "tensors"):
        raise ManifestError(f"{where}.kind must be classification, regression or tensors")
    probabilities = item.get("probabilities", False)
    if not isinstance(probabilities, bool):
        raise ManifestError(f"{where}.probabilities must be true or false")
    classes = _list(item, "classes", where)
    if not all(isinstance(label, str | int | float) for label in classes):
        raise ManifestError(f"{where}.classes must be texts, numbers or booleans")
    return Output(
        kind,
        tuple(classes) or None,
        tuple(_text(name, f"{where}.class_names") for name in _list(item, "class_names", where)) or None,
        probabilities,
        tuple(_text(name, f"{where}.names") for name in _list(item, "names", where)),
        tuple(_tensor(tensor, f"{where}.tensors", i) for i, tensor in enumerate(_list(item, "tensors", where))),
    )


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ManifestError(f"{where} must be a text")
    return value
