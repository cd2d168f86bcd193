"""A body that came as columns: what codecs of columnar formats read, before it is known which model it is for.

Pure numpy, so that a column of numbers need never be Python objects. ``foretell.core.columnar`` holds it against a
signature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The values of one column, shape (rows,), by the kind of their dtype:

    f, i, u  numbers: float16 to float64, whole numbers of any width
    b        booleans
    O        texts
    M        moments: datetime64[us] in UTC, beyond the years 1 to 9999 where the body has such

    With ``categories`` the values are positions in them, and the values meant are texts. ``nulls`` is True where a
    value is null, whatever stands there; None where none is. ``foreign`` names a type that no value of JSON has, such
    as ``list<item: double>``; then there are no values at all, and ``nulls`` says how many rows there are.
    """

    values: NDArray[Any]
    nulls: NDArray[np.bool_] | None = None
    categories: tuple[str, ...] | None = None
    foreign: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Columns with their names, and how many rows they have.

    ``names`` may hold one twice. ``positional``: the columns came without names, in the signature's order, in one array
    of numbers: there NaN is the only null there is, and 0 and 1 stand for false and true. Where there are more rows
    than a request may have, the columns are left out.
    """

    names: tuple[str, ...]
    columns: tuple[Cells, ...]
    count: int
    positional: bool = False
