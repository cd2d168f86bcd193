"""Samples as pandas frames, for models that were fitted on one."""

from __future__ import annotations

from typing import Any

from foretell.core.signature import ColumnType
from foretell.errors import MissingLibrary
from foretell.packaging.sample import Sample


def frame_of(sample: Sample, text_dtype: str) -> Any:
    """The rows as a frame, as pandas would have read them from a file; texts under the dtype the model wants."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingLibrary(
            "the model was fitted on a pandas DataFrame, and pandas is not installed: pip install 'foretell[pandas]'"
        ) from error
    texts = (ColumnType.STRING, ColumnType.CATEGORY)
    series = {
        column.name: pd.Series(column.values, dtype=text_dtype if column.type in texts else None)
        for column in sample.columns
    }
    return pd.DataFrame(series)
