"""The memory holds no more than it may, forgets what was not used, and gives back what belongs to a key alone."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.caching.memory import ENTRY_BYTES, Memory


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def room(entries: int, value_bytes: int = 0) -> int:
    return entries * (ENTRY_BYTES + value_bytes)


def key(number: int) -> bytes:
    return b"%020d" % number


def test_a_value_is_there_until_its_time_is_over() -> None:
    clock = Clock()
    memory = Memory(room(10, 5), clock)
    shelf = memory.shelf()
    shelf.put(key(1), b"value", 2.0)
    clock.now_s = 1.9
    assert shelf.get(key(1)) == b"value"
    clock.now_s = 2.0
    assert shelf.get(key(1)) is None
    assert (len(memory), memory.bytes, len(shelf), shelf.bytes) == (0, 0, 0, 0)


def test_what_was_not_used_for_longest_goes_first() -> None:
    memory = Memory(room(3))
    one, other = memory.shelf(), memory.shelf()
    one.put(key(1), b"", 9)
    other.put(key(2), b"", 9)
    one.put(key(3), b"", 9)
    assert one.get(key(1)) == b""
    one.put(key(4), b"", 9)
    assert [one.get(key(1)), other.get(key(2)), one.get(key(3)), one.get(key(4))] == [b"", None, b"", b""]
    assert (len(one), len(other)) == (3, 0)


def test_a_shelf_with_bounds_of_its_own_makes_room_among_its_own() -> None:
    memory = Memory(room(10))
    small, other = memory.shelf(room(2)), memory.shelf()
    other.put(key(0), b"", 9)
    for number in (1, 2):
        small.put(key(number), b"", 9)
    assert small.get(key(1)) == b""
    small.put(key(3), b"", 9)
    assert [small.get(key(1)), small.get(key(2)), small.get(key(3))] == [b"", None, b""]
    assert other.get(key(0)) == b""


def test_a_value_too_large_even_alone_drives_nothing_out() -> None:
    memory = Memory(room(2))
    shelf = memory.shelf()
    shelf.put(key(1), b"", 9)
    shelf.put(key(2), b"x" * room(2), 9)
    assert shelf.get(key(1)) == b""
    assert shelf.get(key(2)) is None


def test_a_new_value_takes_the_place_of_the_old_one() -> None:
    memory = Memory(room(2, 100))
    shelf = memory.shelf()
    shelf.put(key(1), b"x" * 100, 9)
    shelf.put(key(1), b"yy", 9)
    assert shelf.get(key(1)) == b"yy"
    assert memory.bytes == shelf.bytes == room(1, 2)


def test_a_closed_shelf_gives_its_memory_back_and_takes_nothing_more() -> None:
    memory = Memory(room(10))
    shelf, other = memory.shelf(), memory.shelf()
    for number in range(3):
        shelf.put(key(number), b"", 9)
    other.put(key(7), b"", 9)
    shelf.close()
    shelf.put(key(8), b"", 9)
    assert (len(memory), len(shelf), shelf.bytes) == (1, 0, 0)
    assert other.get(key(7)) == b""


def test_one_shelf_does_not_see_what_lies_on_another() -> None:
    memory = Memory(room(10))
    shelf, other = memory.shelf(), memory.shelf()
    shelf.put(key(1), b"mine", 9)
    assert other.get(key(1)) is None


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2), st.integers(0, 2000), st.booleans()), max_size=60))
def test_the_sums_are_right_and_the_bounds_hold_after_any_story(
    story: list[tuple[int, int, int, bool]],
) -> None:
    memory = Memory(room(4, 500))
    shelves = [memory.shelf(), memory.shelf(room(2, 200)), memory.shelf()]
    for number, place, size, getting in story:
        name = key(number * 10 + place)
        if getting:
            shelves[place].get(name)
        else:
            shelves[place].put(name, b"x" * size, 9)
        assert memory.bytes == sum(shelf.bytes for shelf in shelves) <= memory.max_bytes
        assert len(memory) == sum(map(len, shelves))
        assert all(shelf.bytes <= shelf.max_bytes for shelf in shelves)
    for shelf in shelves:
        shelf.close()
    assert memory.bytes == len(memory) == 0


@pytest.mark.parametrize("value_bytes", [1, 300])
def test_entries_take_no_more_than_they_are_counted_for(value_bytes: int) -> None:
    memory = Memory(1 << 30)
    shelf = memory.shelf()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(20_000):
            shelf.put(key(number), bytes(value_bytes), 9.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before <= memory.bytes


def test_what_was_written_is_kept_beside_its_value_as_long_and_takes_its_room() -> None:
    clock = Clock()
    memory = Memory(room(10, 10), clock)
    shelf = memory.shelf()
    shelf.put(key(1), b"value", 2.0)
    found = shelf.find(key(1))
    assert found is not None and found.written == b""
    shelf.note(key(1), found, b"as text")
    found = shelf.find(key(1))
    assert found is not None and (found.value, found.written) == (b"value", b"as text")
    assert memory.bytes == shelf.bytes == room(1, len(b"value" + b"as text"))
    clock.now_s = 2.0
    assert shelf.find(key(1)) is None
    assert (memory.bytes, shelf.bytes) == (0, 0)


def test_what_was_written_never_drives_out_its_own_value() -> None:
    memory = Memory(room(10))
    shelf = memory.shelf(room(1, 5))
    shelf.put(key(1), b"value", 2.0)
    found = shelf.find(key(1))
    assert found is not None
    shelf.note(key(1), found, b"x")
    assert shelf.get(key(1)) == b"value"
    assert shelf.find(key(1)) == found
