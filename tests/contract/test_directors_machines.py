"""What a director does about machines of a cloud that a batch system never asks of it, over each store."""

from __future__ import annotations

import pytest

from central.directors import tidying
from central.directors.board import Wait
from central.directors.machines import HANGS, STRANGE
from central.directors.removals import STUCK
from central.elements.port import ComputingError, Standing, Trouble
from central.records import Beat
from central.store.port import Store
from pilot.protocol import Fact
from pilot.states import LIVE_PILOT, PilotReason, PilotState
from tests.contract.stores import FAR, Clock, digest, enrolment, intent
from tests.director_scene import DUTY, Work, director
from tests.fake_element import FakeElement, FakeJob

pytestmark = pytest.mark.anyio


async def turn(store: Store, of: object, holder: str = "this central") -> None:
    epoch = await store.lead(DUTY, holder, FAR)
    assert epoch is not None
    await of.cycle(epoch)  # type: ignore[attr-defined]


async def one_that_runs(store: Store, element: FakeElement, work: Work) -> tuple[object, FakeJob]:
    """The director, and its only machine, whose pilot has called."""
    mine = director(store, element, work, machines=True)
    await turn(store, mine)
    (job,) = element.jobs.values()
    job.standing = Standing.RUNNING
    await store.enrol(job.stamp, digest(job.secret), digest("key"), enrolment())
    work.waits = []
    return mine, job


class Slow(FakeElement):
    """Its consoles take so long to be had that a pilot calls in the meantime."""

    store: Store

    async def output(self, stamp: str, reference: str) -> bytes:
        job = self.jobs[reference]
        if (await self.store.pilot(stamp)).enrolled is None:
            await self.store.enrol(stamp, digest(job.secret), digest("key"), enrolment())
        else:
            await self.store.beat([Beat(stamp, self.clock())])
        return await super().output(stamp, reference)


async def test_a_pilot_that_calls_while_its_console_is_fetched_is_not_closed(store: Store, clock: Clock) -> None:
    """A cloud said that the machine is off, or it had been silent: what its pilot says since then counts."""
    element, work = Slow(clock), Work([Wait(1, 1, 1.0)])
    element.store = store
    mine = director(store, element, work, machines=True)
    await turn(store, mine)
    work.waits = []
    (job,) = element.jobs.values()
    job.standing = Standing.ENDED
    await turn(store, mine)
    assert (await store.pilot(job.stamp)).state in LIVE_PILOT
    job.standing = Standing.RUNNING
    clock.forward(HANGS + 1)
    await turn(store, mine)
    assert (work.ends, (await store.pilot(job.stamp)).state in LIVE_PILOT) == ([], True)


async def test_an_outage_of_the_central_is_not_held_against_machines(store: Store, clock: Clock) -> None:
    """A central that was down for hours does not begin by closing every pilot that could not reach it."""
    element, work = FakeElement(clock), Work([Wait(1, 1, 1.0)])
    _, job = await one_that_runs(store, element, work)
    clock.forward(5 * HANGS)
    again = director(store, element, work, machines=True)
    await turn(store, again)
    assert (work.ends, element.calls["cancel"]) == ([], 0)
    clock.forward(HANGS + 1)
    await turn(store, again)
    assert work.ends == [(job.stamp, PilotState.LOST, PilotReason.GONE)]


async def test_a_name_that_the_cloud_does_not_have_tells_no_twins_apart(store: Store, clock: Clock) -> None:
    """A pilot may know its machine by another name than the cloud's interface: then neither of two is ended for it."""
    element, work = FakeElement(clock), Work([Wait(1, 1, 1.0)])
    mine, job = await one_that_runs(store, element, work)
    element.jobs["twin"] = FakeJob(job.stamp, job.secret, clock(), Standing.RUNNING)
    await store.beat([Beat(job.stamp, clock(), facts=(Fact("instance", "i-0123", "the firmware"),))])
    await turn(store, mine)
    assert element.calls["cancel"] == 0
    await store.beat([Beat(job.stamp, clock(), facts=(Fact("instance", "1", "cloud-init"),))])
    await turn(store, mine)
    assert (element.jobs["1"].standing, element.jobs["twin"].standing) == (Standing.RUNNING, Standing.ENDED)


async def test_twins_of_a_queue_that_is_gone(store: Store, clock: Clock) -> None:
    """Of two machines of one stamp the one that its pilot is on stays, also where another queue's director sees it."""
    element, work = FakeElement(clock), Work([])
    mine = director(store, element, work, machines=True)
    new = intent(7, queue="yesterday")
    await store.plan_pilot(new)
    epoch = await store.lead(DUTY, "this central", FAR)
    assert epoch is not None
    assert await store.submitting(new.stamp, DUTY, epoch)
    await store.submitted(new.stamp, "second")
    for reference in ("first", "second"):
        element.jobs[reference] = FakeJob(new.stamp, "", clock(), Standing.RUNNING)
    await store.enrol(new.stamp, new.secret_hash, digest("key"), enrolment())
    await store.beat([Beat(new.stamp, clock(), facts=(Fact("instance", "second", "cloud-init"),))])
    await turn(store, mine)
    assert (element.jobs["first"].standing, element.jobs["second"].standing) == (Standing.ENDED, Standing.RUNNING)


async def test_a_machine_that_outlives_itself_is_an_alarm(store: Store, clock: Clock) -> None:
    """One whose timer somebody has stopped works on and is paid for: a person is told, and nothing is deleted."""
    element, work = FakeElement(clock), Work([Wait(1, 1, 1.0)])
    mine = director(store, element, work, machines=True, life=3600.0)
    await turn(store, mine)
    (job,) = element.jobs.values()
    job.standing = Standing.RUNNING
    await store.enrol(job.stamp, digest(job.secret), digest("key"), enrolment())
    work.waits = []
    for seconds, alarm in ((3600.0, ""), (HANGS + 10, f"the machine of pilot {job.stamp} should have powered off 1h")):
        clock.forward(seconds)
        await store.beat([Beat(job.stamp, clock())])
        await turn(store, mine)
        assert alarm in work.alarms[-1]
        assert bool(alarm) is bool(work.alarms[-1])
    assert (work.ends, element.calls["cancel"]) == ([], 0)


async def test_machines_that_the_cloud_does_not_list_any_more_are_an_alarm(store: Store, clock: Clock) -> None:
    """After a credential of another account, or another region, machines work on that nobody will delete."""
    element, work = FakeElement(clock), Work([Wait(1, 1, 1.0)])
    mine, job = await one_that_runs(store, element, work)
    element.jobs.clear()
    told = []
    for _ in range(9):
        clock.forward(100.0)
        await store.beat([Beat(job.stamp, clock())])
        await turn(store, mine)
        told.append(work.alarms[-1])
    assert not any(told[:6]), "one list may leave some out"
    assert f"does not list the machine of pilot {job.stamp}, though its pilot calls" in told[-1]
    assert work.ends == []
    element.jobs["1"] = job
    await turn(store, mine)
    assert work.alarms[-1] == ""


class Stubborn(FakeElement):
    """Some machines it does not let go."""

    kept: frozenset[str] = frozenset()

    async def forget(self, stamp: str, reference: str) -> None:
        if reference in self.kept:
            raise ComputingError("409: it is locked", Trouble.REFUSED)
        await super().forget(stamp, reference)


async def test_machines_that_do_not_go_keep_no_other_from_being_deleted(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turn after turn, of more than are deleted in one, those that can go have gone, and the others are an alarm."""
    monkeypatch.setattr(tidying, "MOST", 2)
    element, work = Stubborn(clock), Work([])
    mine = director(store, element, work, machines=True)
    for number in range(6):
        element.jobs[f"m{number}"] = FakeJob(f"{number:032x}", "", clock(), Standing.ENDED)
    element.kept = frozenset({"m0", "m1", "m2"})
    await turn(store, mine)
    clock.forward(STRANGE)
    for _ in range(4):
        await turn(store, mine)
    assert set(element.jobs) == element.kept
    clock.forward(STUCK + 1)
    await turn(store, mine)
    assert "m0 and 2 others" in work.alarms[-1]
