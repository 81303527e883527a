"""The contract of a store: a queue is tried with one pilot at a time, and not against who stopped it."""

from __future__ import annotations

import asyncio

import pytest

from central.people import SiteAdmins
from central.store.port import Store
from pilot.errors import Refusal
from pilot.states import LIVE_PILOT, PilotReason, PilotState
from tests.contract.stores import Clock, enrol, enrolment, intent, refused, stamp

pytestmark = pytest.mark.anyio

ADMINS = SiteAdmins("here", frozenset({"kim", "lea"}))


async def cancel(store: Store, number: int) -> None:
    await store.end_pilot(stamp(number), PilotState.CANCELLED, PilotReason.CANCELLED)


async def test_another_is_planned_when_the_first_has_ended(store: Store) -> None:
    """While it lives, in whatever state, the refusal names it; pilots of other kinds and other queues do not matter."""
    await enrol(store, 9)  # of the same queue, sent for jobs
    await store.plan_test(intent(1))
    await store.plan_test(intent(1))  # the same once more
    with pytest.raises(Refusal, match=f"being tested: the pilot {stamp(1)} has not ended") as conflict:
        await store.plan_test(intent(2))
    assert conflict.value.type == "conflict"
    assert await store.find_pilots([stamp(2)]) == ()
    await store.plan_pilot(intent(3))
    await store.plan_test(intent(4, queue="other"))
    await store.submitted(stamp(1), "17")
    assert await refused(store.plan_test(intent(2))) == "conflict"
    await cancel(store, 1)
    await store.plan_test(intent(2))
    assert await refused(store.plan_test(intent(5))) == "conflict"


async def test_it_drains_before_it_has_begun(store: Store) -> None:
    """From the moment that it is in the journal: it never takes a job, whoever stops the central then."""
    new = intent(1)
    await store.plan_test(new)
    row = await store.pilot(stamp(1))
    assert (row.state, row.draining) == (PilotState.PLANNED, True)
    await store.submitted(stamp(1), "17")
    assert (await store.enrol(stamp(1), new.secret_hash, "key", enrolment())).state is PilotState.DRAINING


async def test_a_queue_that_moved_is_tried_anew(store: Store) -> None:
    """The admins of its new site are told of no pilot at the old one."""
    await store.plan_test(intent(1, site="there"))
    await store.plan_test(intent(2))
    for site, number in (("here", 2), ("there", 1)):
        with pytest.raises(Refusal, match=stamp(number)):
            await store.plan_test(intent(3, site=site))


async def test_of_many_at_once_one_is_planned(store: Store) -> None:
    """The others are told of it, and leave nothing behind."""
    verbs = [store.plan_test(intent(number)) for number in range(1, 13)]
    answers = await asyncio.gather(*verbs, return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert (answers.count(None), len(refusals)) == (1, 11)
    (live,) = await store.live_pilots("local")
    assert live.state in LIVE_PILOT
    assert {refusal.type for refusal in refusals} == {"conflict"}
    assert all(live.stamp in str(refusal) for refusal in refusals)


async def test_admins_try_nothing_that_somebody_else_has_stopped(store: Store, clock: Clock) -> None:
    """Neither in a queue that is paused nor at a site that is banned by who is none of them, until that is over. What
    one of them has stopped any of them may try, and whoever is no site's admin may try all."""
    await store.ban_site("there", "oli", "far away")
    await store.pause_queue("other", "oli", "another")
    await store.ban_site("here", "kim", "power cut")
    await store.plan_test(intent(1), admins=ADMINS)
    await cancel(store, 1)
    await store.ban_site("here", "oli", "all jobs fail there", 60.0)
    with pytest.raises(Refusal, match="The site here is banned by oli, who is no admin of here") as forbidden:
        await store.plan_test(intent(2), admins=ADMINS)
    assert forbidden.value.type == "forbidden"
    clock.forward(60.0)
    await store.pause_queue("local", "oli", "new disks")
    assert await refused(store.plan_test(intent(2), admins=ADMINS)) == "forbidden"
    assert await store.find_pilots([stamp(2)]) == ()
    await store.plan_test(intent(2))
