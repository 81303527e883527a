"""The contract of a store: queues that an operator has paused; and that a director obeys them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from central.directors.control import Demand, Limits
from central.directors.site import QueuePlan, SiteDirector
from central.elements.port import ComputingError, Listed, Request, Standing, Submission
from central.records import Pause
from central.store.port import Store
from tests.contract.stores import FAR, Clock

pytestmark = pytest.mark.anyio


async def test_a_pause_lasts_until_it_is_ended(store: Store, clock: Clock) -> None:
    """A queue is paused with who said so, why and since when; a second pause takes the place of the first."""
    assert await store.pauses() == ()
    assert not await store.resume_queue("local", "ada")
    await store.pause_queue("local", "ada", "new disks")
    await store.pause_queue("far", "bob", "too dear")
    began = clock.time
    clock.forward(60.0)
    assert await store.pauses() == (Pause("far", "bob", "too dear", began), Pause("local", "ada", "new disks", began))
    await store.pause_queue("local", "bob", "new kernel")
    assert await store.resume_queue("far", "ada")
    assert await store.pauses() == (Pause("local", "bob", "new kernel", clock.time),)
    assert await store.resume_queue("local", "bob")
    assert not await store.resume_queue("local", "bob")
    assert await store.pauses() == ()


class Element:
    """A computing element that takes everything."""

    lag = 0.0

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def submit(self, submissions: Sequence[Submission]) -> Mapping[str, str | ComputingError]:
        self.taken += [one.stamp for one in submissions]
        return {one.stamp: one.stamp for one in submissions}

    async def listing(self) -> Sequence[Listed]:
        return [Listed(stamp, stamp, Standing.RUNNING) for stamp in self.taken]

    async def cancel(self, references: Sequence[str]) -> Mapping[str, ComputingError]:
        raise AssertionError("a pause ends no pilot")

    async def output(self, stamp: str, reference: str) -> bytes:
        return b""

    async def forget(self, stamp: str, reference: str) -> None:
        raise AssertionError("a pause ends no pilot")

    async def capacity(self) -> int | None:
        return None

    async def close(self) -> None:
        pass

    def secret_file(self, stamp: str) -> str:
        return ""

    def work_base(self, stamp: str) -> str | None:
        return None

    def exit_file(self, stamp: str) -> str | None:
        return None


def director_of(store: Store, element: Element, against: list[str]) -> SiteDirector:
    """One whose queue is wanted by many jobs. `against`: what speaks against any pilot there."""

    async def unfit() -> str:
        return " ".join(against)

    return SiteDirector(
        QueuePlan("local", "here", ("atlas",), Limits(slots=4, per_cycle=1, cores=1), Request(), 600, FAR, None),
        store,
        element,
        duty="central",
        demand=lambda: Demand(9, 9),
        idle_cores=lambda stamps: 0,
        unfit=unfit,
        script=lambda stamp: "",
        over=lambda *end: None,
    )


async def test_a_director_sends_nothing_where_pilots_could_not_run(store: Store) -> None:
    """While it is known that no pilot of the queue could run nothing is submitted, and the reason is told."""
    epoch = await store.lead("central", "this central", FAR)
    assert epoch is not None
    element, against = Element(), ["its pilots could not run:", "no such command"]
    director = director_of(store, element, against)
    await director.cycle(epoch)
    assert (element.taken, director.decision.why) == ([], "its pilots could not run: no such command")
    against.clear()
    await director.cycle(epoch)
    assert len(element.taken) == 1


async def test_a_director_sends_nothing_to_a_paused_queue(store: Store) -> None:
    """While its queue is paused nothing is submitted and the reason is told; those of other queues do not matter."""
    epoch = await store.lead("central", "this central", FAR)
    assert epoch is not None
    element = Element()
    director = director_of(store, element, [])
    await store.pause_queue("far", "bob", "too dear")
    await director.cycle(epoch)
    assert len(element.taken) == 1
    await store.pause_queue("local", "ada", "new disks")
    await director.cycle(epoch)
    assert (len(element.taken), director.decision.why) == (1, "paused by ada: new disks")
    await store.resume_queue("local", "ada")
    await director.cycle(epoch)
    assert len(element.taken) == 2
