"""What ``predict`` takes and gives, read from its annotations: one parameter a column, the return type the output."""

from __future__ import annotations

import inspect
import types
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from foretell.core.signature import Column, ColumnType, Label, Output, Signature
from foretell.errors import LoadFailed, SignatureMissing

WHOLE = "inputs"
"""The parameter that takes all columns or tensors at once, as a mapping of arrays."""

_TYPES: dict[Any, ColumnType] = {
    float: ColumnType.FLOAT,
    int: ColumnType.INTEGER,
    bool: ColumnType.BOOLEAN,
    str: ColumnType.STRING,
    datetime: ColumnType.DATETIME,
}
_CELLS = "float, int, bool, str, datetime, Literal[...] of texts, or one of these | None"
_ANSWERS = "float, int, str, bool, Literal[...], tuple[float, ...] or dict[Literal[...], float]"
_PLAIN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def parameters_of(cls: type) -> list[inspect.Parameter]:
    """The parameters of ``predict`` after ``self``. Raises LoadFailed where one cannot be filled by name."""
    if inspect.iscoroutinefunction(cls.predict):  # type: ignore[attr-defined]
        raise LoadFailed(f"predict of {cls.__name__} is async; it is called in a process of its own and may block")
    held = inspect.getattr_static(cls, "predict")
    found = list(inspect.signature(cls.predict).parameters.values())  # type: ignore[attr-defined]
    if not isinstance(held, staticmethod | classmethod):
        found = found[1:]
    for parameter in found:
        if parameter.kind not in _PLAIN:
            raise LoadFailed(
                f"predict of {cls.__name__} takes {parameter}: its parameters must be columns with names of their own"
            )
    if not found:
        raise LoadFailed(f"predict of {cls.__name__} takes nothing: its parameters are the columns")
    return found


def signature_of(cls: type) -> Signature:
    """The signature that the annotations spell. Raises SignatureMissing or LoadFailed, each in one sentence."""
    parameters = parameters_of(cls)
    hints = _hints(cls)
    if [parameter.name for parameter in parameters] == [WHOLE] and not _is_cell(hints.get(WHOLE)):
        raise SignatureMissing(
            f"predict of {cls.__name__} takes all columns as a mapping, so a manifest must say which there are",
            hint="foretell add NAME model.py --example DATA.csv",
        )
    columns = tuple(_column(cls, parameter, hints) for parameter in parameters)
    return Signature(columns, output=_output(cls, hints))


def output_of(cls: type) -> Output:
    """What the return annotation promises. Raises SignatureMissing or LoadFailed."""
    return _output(cls, _hints(cls))


def _hints(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls.predict)  # type: ignore[attr-defined]
    except Exception as error:  # annotations are code and may raise anything
        why = (str(error).splitlines() or ["no message"])[0][:200]
        raise LoadFailed(
            f"the annotations of predict of {cls.__name__} cannot be read: {type(error).__name__}: {why}"
        ) from error


def _column(cls: type, parameter: inspect.Parameter, hints: dict[str, Any]) -> Column:
    name = parameter.name
    if name not in hints:
        raise SignatureMissing(
            f"predict of {cls.__name__} does not say what {name!r} is: annotate it with what one cell holds: {_CELLS}"
        )
    kind, nullable = _cell(hints[name])
    if parameter.default is not inspect.Parameter.empty and not (nullable and parameter.default is None):
        raise LoadFailed(
            f"{name!r} in predict of {cls.__name__} has a default, but every column is always given: "
            "annotate it «... | None» where a value may be missing"
        )
    if get_origin(kind) is Literal and all(isinstance(value, str) for value in get_args(kind)):
        return Column(name, ColumnType.CATEGORY, nullable, categories=get_args(kind), closed=True)
    if kind not in _TYPES:
        raise SignatureMissing(
            f"{name!r} in predict of {cls.__name__} is annotated {_shown(hints[name])}: "
            f"annotate it with what one cell holds: {_CELLS}"
        )
    return Column(name, _TYPES[kind], nullable)


def _is_cell(hint: Any) -> bool:
    kind, _ = _cell(hint)
    return get_origin(kind) is Literal or (isinstance(kind, type) and kind in _TYPES)


def _cell(hint: Any) -> tuple[Any, bool]:
    """A cell's type without ``| None``, and whether that was there."""
    if get_origin(hint) in (Union, types.UnionType):
        inner = [item for item in get_args(hint) if item is not types.NoneType]
        if len(inner) == 1:
            return inner[0], True
    return hint, False


def _output(cls: type, hints: dict[str, Any]) -> Output:
    if "return" not in hints:
        raise SignatureMissing(f"predict of {cls.__name__} does not say what it answers for one row: -> {_ANSWERS}")
    hint = hints["return"]
    origin, inside = get_origin(hint), get_args(hint)
    if hint is float:
        return Output("regression")
    if hint in (int, str, bool):
        return Output("classification")
    if origin is Literal:
        return Output("classification", classes=_labels(cls, inside))
    if origin is dict and get_origin(inside[0]) is Literal and inside[1] is float:
        return Output("classification", classes=_labels(cls, get_args(inside[0])), probabilities=True)
    if origin is tuple and len(inside) > 1 and all(item is float for item in inside):
        return Output("regression", names=tuple(f"y{index}" for index in range(len(inside))))
    raise SignatureMissing(
        f"predict of {cls.__name__} is annotated -> {_shown(hint)}: annotate it with what one row gets: {_ANSWERS}"
    )


def _labels(cls: type, values: Sequence[Any]) -> tuple[Label, ...]:
    if not all(isinstance(value, str | int) for value in values):
        raise SignatureMissing(f"the classes that predict of {cls.__name__} names must be texts, numbers or booleans")
    return tuple(values)


def _shown(hint: Any) -> str:
    return (hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint))[:80]
