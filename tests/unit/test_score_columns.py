"""Parts of files of columns: large groups are several, small ones are one together, and every row is in one part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.cli.scoring import column_files
from foretell.cli.scoring.column_files import batches_of, column_parts
from foretell.cli.scoring.parts import Part


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(column_files, "PART_ROWS", 10)
        patch.setattr(column_files, "LEAST_ROWS", 4)
        yield


class Numbers:
    """A file whose rows are their own numbers."""

    schema = None

    def __init__(self, groups: Sequence[int]) -> None:
        self.groups = groups

    def batches(self, group: int, rows: int) -> Iterator[Any]:
        start = sum(self.groups[:group])
        numbers = list(range(start, start + self.groups[group]))
        for first in range(0, len(numbers), rows):
            yield Slice(numbers[first : first + rows])


class Slice(list[int]):
    @property
    def num_rows(self) -> int:
        return len(self)

    def slice(self, start: int, count: int) -> list[int]:
        return self[start : start + count]


@settings(deadline=None)
@given(groups=st.lists(st.integers(0, 25), max_size=8), rows=st.integers(1, 7), first=st.integers(0, 5))
def test_every_row_is_in_one_part_and_parts_are_the_same_wherever_one_begins(
    groups: list[int], rows: int, first: int
) -> None:
    parts = list(column_parts(groups))
    assert [part.index for part in parts] == list(range(len(parts)))
    assert list(column_parts(groups, first)) == parts[first:]
    found = [number for part in parts for batch in batches_of(Numbers(groups), part, rows) for number in batch]
    assert found == list(range(sum(groups)))
    assert all(0 < part.stop - part.start <= 13 for part in parts)


def test_parts_of_large_and_of_small_groups() -> None:
    spans = [(part.start, part.stop) for part in column_parts([25, 1, 1, 1, 3])]
    assert spans == [(0, 10), (10, 20), (20, 25), (25, 31)]
    assert [list(batch) for batch in batches_of(Numbers([5, 5]), Part(0, 3, 7), 2)] == [[3], [4], [5, 6]]
