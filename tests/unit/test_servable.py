"""Leases: a version closes when nobody needs it any more, and never before."""

from __future__ import annotations

import asyncio

import pytest

from foretell.errors import NotReady
from foretell.lifecycle.states import State, TransitionError
from foretell.testing import FakeExecutor, FakeModel
from tests.versions import manifest_of, servable_of


class Stubborn(FakeModel):
    """Fails to close."""

    def close(self) -> None:
        super().close()
        raise OSError("busy")


def test_without_leases_it_closes_at_once() -> None:
    async def story() -> None:
        fake = FakeModel()
        servable = servable_of(fake=fake)
        servable.retire()
        await servable.closed()
        assert servable.state is State.RETIRED
        assert fake.closed == 1
        assert isinstance(servable.executor, FakeExecutor)
        assert servable.executor.closed == 1

    asyncio.run(story())


def test_with_leases_it_closes_when_the_last_has_ended() -> None:
    async def story() -> None:
        fake = FakeModel()
        servable = servable_of(fake=fake)
        servable.acquire()
        servable.acquire()
        servable.retire()
        closed = asyncio.create_task(servable.closed())
        servable.release()
        await asyncio.sleep(0)
        assert (servable.leases, fake.closed, closed.done()) == (1, 0, False)
        assert servable.state is State.RETIRING
        servable.release()
        await closed
        assert (servable.leases, fake.closed) == (0, 1)

    asyncio.run(story())


def test_while_others_hold_leases_a_late_one_is_still_given() -> None:
    async def story() -> None:
        servable = servable_of()
        servable.acquire()
        servable.retire()
        servable.acquire()
        servable.release()
        servable.release()
        await servable.closed()
        with pytest.raises(NotReady, match="has just been retired"):
            servable.acquire()

    asyncio.run(story())


def test_releasing_in_service_closes_nothing() -> None:
    async def story() -> None:
        fake = FakeModel()
        servable = servable_of(fake=fake)
        servable.acquire()
        servable.release()
        await servable.closed()
        assert (servable.state, fake.closed) == (State.READY, 0)

    asyncio.run(story())


def test_a_lease_that_was_never_taken_cannot_end() -> None:
    with pytest.raises(RuntimeError, match="no lease to end"):
        servable_of().release()


def test_it_retires_once() -> None:
    async def story() -> None:
        servable = servable_of()
        servable.retire()
        with pytest.raises(TransitionError):
            servable.retire()
        await servable.closed()

    asyncio.run(story())


def test_a_model_that_fails_to_close_is_gone_all_the_same() -> None:
    async def story() -> None:
        servable = servable_of(fake=Stubborn())
        servable.retire()
        await servable.closed()
        assert servable.state is State.RETIRED

    asyncio.run(story())


def test_what_the_manifest_says_is_at_hand() -> None:
    servable = servable_of()
    assert (servable.created_at, servable.libraries, servable.metadata, servable.statistics) == (None, {}, {}, {})
    servable.manifest = manifest_of()
    assert servable.created_at == manifest_of().created_at
    assert (servable.libraries, servable.metadata, servable.statistics) == ({}, {}, {})
