"""The life of a version as a table: (state, event) -> state. Pure."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a version stands. Only a ready one answers."""

    FOUND = "found"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    FAILED = "failed"
    RETIRING = "retiring"
    RETIRED = "retired"


class Event(StrEnum):
    """What happens to a version."""

    LOAD = "load"
    """Its turn to be verified and loaded has come; again for one that failed."""
    LOADED = "loaded"
    """Verified and loaded, not yet tried."""
    WARMED = "warmed"
    """Warmed, golden examples met, costs measured."""
    FAIL = "fail"
    RETIRE = "retire"
    """It shall not answer any more."""
    CLOSED = "closed"
    """The last lease has ended and everything it held has been given back."""


class TransitionError(RuntimeError):
    """A fault of ours: an event reached a version in a state that does not know it."""


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.FOUND, Event.LOAD): State.LOADING,
    (State.FOUND, Event.FAIL): State.FAILED,
    (State.FOUND, Event.RETIRE): State.RETIRED,
    (State.LOADING, Event.LOADED): State.WARMING,
    (State.LOADING, Event.FAIL): State.FAILED,
    (State.WARMING, Event.WARMED): State.READY,
    (State.WARMING, Event.FAIL): State.FAILED,
    (State.READY, Event.RETIRE): State.RETIRING,
    (State.FAILED, Event.LOAD): State.LOADING,
    (State.FAILED, Event.FAIL): State.FAILED,
    (State.FAILED, Event.RETIRE): State.RETIRED,
    (State.RETIRING, Event.CLOSED): State.RETIRED,
}


def advance(state: State, event: Event) -> State:
    """The state after ``event``. Raises TransitionError for a pair that is not in the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise TransitionError(f"a version that is {state} cannot take the event '{event}'") from None
