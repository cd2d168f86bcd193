"""Answers as a pyarrow table."""

from __future__ import annotations

from typing import Any

from foretell.codecs.base import Answers, Labelled, Values


def table_of(answers: Answers) -> Any:
    """One column of the narrowest type for each column of the answer."""
    import pyarrow as pa

    columns = answers.columns()
    return pa.table([_column(values) for values in columns.values()], names=list(columns))


def _column(values: Values) -> Any:
    import pyarrow as pa

    if isinstance(values, Labelled):
        return pa.array(values.labels, pa.string()).take(pa.array(values.indices))
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # labels of several types have no type in common but text
        return pa.array([str(value) for value in values])
