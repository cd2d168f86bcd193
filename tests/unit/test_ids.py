"""Identifiers: unique, and in the order of their making."""

from __future__ import annotations

import os
import re
import time

import pytest

from foretell.core.ids import Ids, sane_request_id


def test_ids_sort_as_they_were_made_and_are_unique() -> None:
    ids = Ids()
    made = [ids.next() for _ in range(20_000)]
    assert made == sorted(set(made))
    assert all(re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", each) for each in made[::1000])


def test_an_id_tells_its_millisecond_as_a_ulid_does() -> None:
    before = time.time_ns() // 1_000_000
    text = Ids().next()
    after = time.time_ns() // 1_000_000
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    millisecond = 0
    for letter in text[:10]:
        millisecond = millisecond * 32 + alphabet.index(letter)
    assert before <= millisecond <= after


def test_a_clock_that_steps_back_does_not_bring_disorder(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, moments = Ids(), iter([5_000, 4_000, 4_001, 6_000, 1_029_000, 3_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(moments) * 1_000_000)
    made = [ids.next() for _ in range(6)]
    assert made == sorted(set(made))


def test_processes_draw_from_different_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = Ids()
    first = ids.next()
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    monkeypatch.setattr(time, "time_ns", lambda: 10**19)
    assert ids.next()[10:20] != first[10:20], "a process that was forked draws anew"


@pytest.mark.parametrize(("text", "sane"), [("a-1", True), ("x" * 128, True), ("", False), ("x" * 129, False)])
def test_request_ids_are_short_and_printable(text: str, sane: bool) -> None:
    assert sane_request_id(text) is sane
    assert not sane_request_id(text + "\n")
    assert not sane_request_id(text + "\x1b[31m")
