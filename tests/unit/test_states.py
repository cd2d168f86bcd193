"""The life of a version, pair by pair."""

from __future__ import annotations

import itertools

import pytest

from foretell.lifecycle.states import Event, State, TransitionError, advance

LEGAL = {
    "found + load": "loading",
    "found + fail": "failed",
    "found + retire": "retired",
    "loading + loaded": "warming",
    "loading + fail": "failed",
    "warming + warmed": "ready",
    "warming + fail": "failed",
    "ready + retire": "retiring",
    "failed + load": "loading",
    "failed + fail": "failed",
    "failed + retire": "retired",
    "retiring + closed": "retired",
}
PAIRS = list(itertools.product(State, Event))


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=str)
def test_every_pair_leads_where_the_table_says_or_is_refused(state: State, event: Event) -> None:
    expected = LEGAL.get(f"{state} + {event}")
    if expected is None:
        with pytest.raises(TransitionError, match=f"{state} cannot take the event '{event}'"):
            advance(state, event)
    else:
        assert advance(state, event) == expected


def test_only_warming_leads_to_ready() -> None:
    assert {state for state, event in PAIRS if LEGAL.get(f"{state} + {event}") == "ready"} == {State.WARMING}


def test_nothing_follows_retired() -> None:
    assert not [pair for pair in LEGAL if pair.startswith("retired")]
