"""The contract of a store: queues that operators have paused, sites that they have banned; and directors obey."""

from __future__ import annotations

import pytest

from central.directors.control import Limits
from central.people import SiteAdmins
from central.records import Pause
from central.store.port import Store
from pilot.errors import Refusal
from tests.contract.stores import FAR, Clock, refused
from tests.director_scene import DUTY, Work, director
from tests.fake_element import FakeElement

pytestmark = pytest.mark.anyio

LIMITS = Limits(slots=4, per_cycle=1, cores=1)
ADMINS = SiteAdmins("here", frozenset({"kim", "lea"}))


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


async def test_a_pause_may_end_by_itself(store: Store, clock: Clock) -> None:
    """A pause with an end is over then, cannot be resumed any more, and another may begin."""
    await store.pause_queue("local", "ada", "new disks", 60.0)
    assert await store.pauses() == (Pause("local", "ada", "new disks", clock.time, clock.time + 60.0),)
    assert "until 1970-01-12 13:47 UTC: new disks" in str((await store.pauses())[0])
    clock.forward(60.0)
    assert await store.pauses() == ()
    assert not await store.resume_queue("local", "bob")
    await store.pause_queue("local", "bob", "again")
    assert [pause.reason for pause in await store.pauses()] == ["again"]


async def test_a_ban_is_for_all_queues_of_a_site(store: Store, clock: Clock) -> None:
    """A site is banned beside the pauses of its queues, and each is ended by itself."""
    await store.ban_site("here", "ada", "power cut", 60.0)
    await store.pause_queue("local", "bob", "new disks")
    pause, ban = await store.pauses()
    assert ban == Pause("", "ada", "power cut", clock.time, clock.time + 60.0, "here")
    assert [(one.stops("local", "here"), one.stops("other", "here")) for one in (pause, ban)] == [
        (True, False),
        (True, True),
    ]
    assert not ban.stops("local", "there")
    assert await store.resume_queue("local", "ada")
    assert await store.pauses() == (ban,)
    assert not await store.lift_ban("there", "ada")
    assert await store.lift_ban("here", "ada")
    assert await store.pauses() == ()


async def test_admins_of_a_site_end_what_one_of_them_began(store: Store) -> None:
    """A ban or pause of one of them any of them replaces and lifts."""
    await store.ban_site("here", "kim", "power cut", admins=ADMINS)
    await store.ban_site("here", "lea", "longer", 600.0, admins=ADMINS)
    await store.pause_queue("local", "lea", "new disks", admins=ADMINS)
    assert [pause.who for pause in await store.pauses()] == ["lea", "lea"]
    assert await store.lift_ban("here", "kim", admins=ADMINS)
    assert await store.resume_queue("local", "kim", admins=ADMINS)
    assert not await store.lift_ban("here", "kim", admins=ADMINS)
    assert not await store.resume_queue("local", "kim", admins=ADMINS)


async def test_what_somebody_else_began_no_admin_of_the_site_ends(store: Store, clock: Clock) -> None:
    """Neither lifted nor replaced, and it is as it was, also where it took the place of an admin's own; once it is over
    an admin's may begin. Who is no site's admin ends all."""
    await store.ban_site("here", "kim", "power cut", 1.0, admins=ADMINS)
    await store.ban_site("here", "oli", "all jobs fail there", 60.0)
    await store.pause_queue("local", "oli", "new disks", 60.0)
    before = await store.pauses()
    assert [pause.who for pause in before] == ["oli", "oli"]
    assert await refused(store.lift_ban("here", "kim", admins=ADMINS)) == "forbidden"
    assert await refused(store.resume_queue("local", "kim", admins=ADMINS)) == "forbidden"
    with pytest.raises(Refusal, match="The site here is banned by oli, who is no admin of here"):
        await store.ban_site("here", "kim", "mine", 1.0, admins=ADMINS)
    with pytest.raises(Refusal, match="The queue local is paused by oli, who is no admin of here"):
        await store.pause_queue("local", "kim", "mine", 1.0, admins=ADMINS)
    assert await store.pauses() == before
    clock.forward(60.0)
    assert not await store.lift_ban("here", "kim", admins=ADMINS)
    await store.pause_queue("local", "kim", "mine", admins=ADMINS)
    assert await store.resume_queue("local", "oli")


async def test_a_director_sends_nothing_where_pilots_could_not_run(store: Store, clock: Clock) -> None:
    """While it is known that no pilot of the queue could run nothing is submitted, and the reason is told."""
    epoch = await store.lead(DUTY, "this central", FAR)
    assert epoch is not None
    element, work = FakeElement(clock), Work(against="its pilots could not run: no such command")
    mine = director(store, element, work, LIMITS)
    await mine.cycle(epoch)
    assert (element.live, mine.decision.why) == ([], "its pilots could not run: no such command")
    work.against = ""
    await mine.cycle(epoch)
    assert len(element.live) == 1


async def test_a_director_sends_nothing_to_a_paused_queue(store: Store, clock: Clock) -> None:
    """While its queue is paused, or its site is banned, nothing is submitted and the reason is told; those of others do
    not matter, and the pilots that are there stay."""
    epoch = await store.lead(DUTY, "this central", FAR)
    assert epoch is not None
    element = FakeElement(clock)
    mine = director(store, element, Work(), LIMITS)
    await store.pause_queue("far", "bob", "too dear")
    await store.ban_site("there", "bob", "too dear")
    await mine.cycle(epoch)
    assert len(element.live) == 1
    await store.ban_site("here", "bob", "power cut")
    await mine.cycle(epoch)
    assert (len(element.live), mine.decision.why) == (1, "banned with its site here by bob: power cut")
    await store.pause_queue("local", "ada", "new disks")
    await mine.cycle(epoch)
    assert (len(element.live), mine.decision.why) == (1, "paused by ada: new disks")
    await store.resume_queue("local", "ada")
    await store.lift_ban("here", "ada")
    await mine.cycle(epoch)
    assert len(element.live) == 2
