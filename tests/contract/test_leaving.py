"""The jobs of somebody who was let go of, over every store."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from central import leaving
from central.leaving import Leaver
from central.records import Identity
from central.store.port import Store
from pilot.protocol import Needs
from pilot.states import JobState
from tests.contract.stores import ADA, enrol, state_of, submit

pytestmark = pytest.mark.anyio

CAM = Identity("cam", "atlas", "physics", "community-admin")
LEAVER = Leaver(CAM, ADA.user, ADA.community, ADA.group, "has left")


def central(store: Store) -> Any:
    """A central of which nothing but the store matters: whoever would be told is told nothing."""

    async def reload(stamp: str) -> None:
        """Nobody waits for orders."""

    return SimpleNamespace(
        store=store,
        dispatcher=SimpleNamespace(jobs_removed=lambda removed: None),
        orders=SimpleNamespace(reload=reload),
        hub=SimpleNamespace(missed=lambda: None, publish=lambda *told: None),
    )


@pytest.mark.parametrize(("kill", "then"), [(True, JobState.KILLED), (False, JobState.HELD)])
async def test_more_jobs_than_are_treated_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, kill: bool, then: JobState
) -> None:
    """All are reached, page by page; those that run are ended where that is asked for, and are left alone otherwise."""
    monkeypatch.setattr(leaving, "AT_ONCE", 2)
    waiting = await submit(store, 5)
    running = await submit(store, 3, needs=Needs(wall_time=60))
    worker = await enrol(store)
    for job in running:
        await worker.running(await worker.take(job))
    await leaving._treat(central(store), LEAVER, kill)
    assert [await state_of(store, job) for job in waiting] == [then] * 5
    orders = [order.argument for order in await store.orders(worker.stamp)]
    assert len(orders) == (3 if kill else 0)
