"""The example on its way through packaging: the author's own object beside the sample that was read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.identity import closest
from foretell.errors import PackagingError
from foretell.packaging.reading import is_frame, read_sample
from foretell.packaging.sample import Sample, spread


@dataclass(frozen=True)
class Example:
    """Rows to learn the signature from. ``raw`` is a frame or an array with the same rows and columns, None where the
    rows came in another form; ``labels`` is the target column, where there is one."""

    sample: Sample
    raw: Any = None
    labels: list[Any] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Any, target: str | None = None) -> Example:
        """The example an author gave from Python. Raises PackagingError."""
        raw = given if is_frame(given) or (isinstance(given, np.ndarray) and given.dtype != object) else None
        return cls(read_sample(given), raw).with_target(target)

    def with_target(self, target: str | None) -> Example:
        """The same without the target column, whose values become the labels. Raises PackagingError."""
        if target is None:
            return self
        if target not in self.sample.names:
            raise PackagingError(f"the example has no target column {target!r}{_meant(target, self.sample.names)}")
        column = self.sample.column(target)
        labels = [column.cell(row) for row in range(self.sample.count)]
        rest = self.sample.without(target)
        if not rest.columns:
            raise PackagingError(f"the example has no column besides the target {target!r}")
        return replace(self, sample=rest, raw=self._raw_columns(rest.names), labels=labels)

    def matched(self, names: Sequence[str] | None, width: int | None, feature_names: Sequence[str] | None) -> Example:
        """The columns the model takes, in its order and under its names (contract §2: artifact before example).

        Raises PackagingError naming what is missing.
        """
        if names is not None and self.sample.named:
            return self._by_name(names)
        if width is not None and width != len(self.sample.columns):
            left = (
                "; is the target column among them? say which (target=..., --target ...)"
                if len(self.sample.columns) == width + 1
                else ""
            )
            raise PackagingError(f"the model takes {width} columns, the example has {len(self.sample.columns)}{left}")
        given = names or feature_names
        if given is None:
            return self
        if len(given) != len(self.sample.columns):
            raise PackagingError(f"{len(given)} feature names for {len(self.sample.columns)} columns")
        return replace(self, sample=self.sample.renamed([str(name) for name in given], named=True))

    @property
    def single(self) -> bool:
        """Whether any number of the rows as given has single precision."""
        dtypes = list(self.raw.dtypes) if is_frame(self.raw) else [getattr(self.raw, "dtype", None)]
        return any(dtype is not None and dtype.kind == "f" and dtype.itemsize < 8 for dtype in dtypes)

    def spread(self, most: int) -> Example:
        """At most so many rows, evenly spaced."""
        rows = spread(self.sample.count, most)
        labels = None if self.labels is None else [self.labels[row] for row in rows]
        return replace(self, sample=self.sample.take(rows), raw=_raw_rows(self.raw, rows), labels=labels)

    def _by_name(self, names: Sequence[str]) -> Example:
        ours = {_flat(name): name for name in self.sample.names} | {name: name for name in self.sample.names}
        missing = [name for name in names if name not in ours]
        if missing:
            shown = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            raise PackagingError(
                f"the example lacks what the model was fitted on: {shown}{_meant(missing[0], self.sample.names)}"
            )
        chosen = [ours[name] for name in names]
        left = [name for name in self.sample.names if name not in chosen]
        notes = (f"left out of the example, since the model was not fitted on it: {', '.join(left)}",) if left else ()
        return replace(
            self, sample=self.sample.ordered(chosen), raw=self._raw_columns(chosen), notes=(*self.notes, *notes)
        )

    def _raw_columns(self, names: Sequence[str]) -> Any:
        return None if self.raw is None else self.raw[list(names)]


def _flat(name: str) -> str:
    """A name as LightGBM keeps it, which turns white space into underscores."""
    return "_".join(name.split())


def _raw_rows(raw: Any, rows: NDArray[np.intp]) -> Any:
    if raw is None:
        return None
    return raw.iloc[rows] if is_frame(raw) else raw[rows]


def _meant(word: str, options: Sequence[str]) -> str:
    near = closest(word, options)
    return f"; did you mean {near!r}?" if near else f"; its columns are {', '.join(map(repr, options[:20]))}"
