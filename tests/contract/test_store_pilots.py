"""The contract of a store: the journal of pilots, their life, and their orders."""

from __future__ import annotations

import pytest

from central.records import Beat
from central.store.port import Store
from pilot.protocol import Fact, GoodbyeRequest, Offer, StepReport
from pilot.states import LIVE_PILOT, OrderVerb, PilotReason, PilotState
from pilot.views import MachineLoad, StepView
from tests.contract.stores import (
    FAR,
    SILENT,
    Clock,
    digest,
    enrol,
    enrolment,
    intent,
    refused,
    stamp,
    submit_pilot,
)

pytestmark = pytest.mark.anyio


async def test_an_intent_is_written_down(store: Store, clock: Clock) -> None:
    """A planned pilot reads back as it was meant."""
    await store.plan_pilot(intent(communities=("atlas", "cms"), secret_ttl=60.0, lease=300))
    row = await store.pilot(stamp(1))
    assert (row.state, row.site, row.queue, row.communities) == (PilotState.PLANNED, "here", "local", ("atlas", "cms"))
    assert (row.created, row.secret_expires, row.lease) == (clock.time, clock.time + 60, 300)
    assert (row.epoch, row.enrolled, row.last_seen, row.ended, row.reason) == (0, None, None, None, None)


async def test_a_stamp_is_used_once(store: Store) -> None:
    """The same intent again changes nothing; another one under the same stamp is refused."""
    await store.plan_pilot(intent())
    await store.plan_pilot(intent())
    assert await refused(store.plan_pilot(intent(secret_hash=digest("other")))) == "conflict"
    assert len((await store.pilots(None))[0]) == 1


async def test_submitting_needs_the_leadership(store: Store, clock: Clock) -> None:
    """Only while that epoch leads that duty may a pilot be handed over."""
    await store.plan_pilot(intent())
    epoch = await store.lead("directors", "one", 30)
    assert epoch is not None
    assert not await store.submitting(stamp(1), "directors", epoch + 1)
    assert not await store.submitting(stamp(1), "sweep", epoch)
    assert (await store.pilot(stamp(1))).state is PilotState.PLANNED
    assert await store.submitting(stamp(1), "directors", epoch)
    assert (await store.pilot(stamp(1))).state is PilotState.SUBMITTING
    assert await store.submitting(stamp(1), "directors", epoch)  # after a crash: once more
    clock.forward(31)
    assert not await store.submitting(stamp(1), "directors", epoch)


async def test_submitting_is_over_once_it_called(store: Store) -> None:
    """A pilot that has enrolled, or is over, is not submitted again."""
    epoch = await store.lead("directors", "this central", FAR)
    assert epoch is not None
    await enrol(store, 1)
    await submit_pilot(store, 2)
    await store.end_pilot(stamp(2), PilotState.CANCELLED, PilotReason.CANCELLED)
    assert not await store.submitting(stamp(1), "directors", epoch)
    assert not await store.submitting(stamp(2), "directors", epoch)


async def test_submitted(store: Store) -> None:
    """The computing element's name for it is kept; a pilot that has called by then stays running."""
    await submit_pilot(store, 1)
    row = await store.pilot(stamp(1))
    assert (row.state, row.reference) == (PilotState.SUBMITTED, "reference 1")
    await store.plan_pilot(intent(2))
    await store.enrol(stamp(2), digest("secret 2"), digest("key"), enrolment())
    await store.submitted(stamp(2), "late")
    row = await store.pilot(stamp(2))
    assert (row.state, row.reference) == (PilotState.RUNNING, "late")


async def test_verbs_on_an_unknown_pilot(store: Store) -> None:
    """Nobody can do anything to a pilot that is not in the journal."""
    nobody = stamp(9)
    for answer in (
        store.pilot(nobody),
        store.submitted(nobody, "x"),
        store.renew_secret(nobody, digest("x"), 1.0),
        store.end_pilot(nobody, PilotState.LOST, PilotReason.GONE),
        store.drain(nobody),
        store.goodbye(nobody, GoodbyeRequest(PilotReason.IDLE)),
        store.step(nobody, StepReport(1, "discover")),
        store.order(nobody, OrderVerb.DRAIN, who="ada"),
    ):
        assert await refused(answer) == "not-found"
    assert await store.find_pilots([nobody]) == ()


async def test_end_from_outside(store: Store, clock: Clock) -> None:
    """A pilot that somebody else says is over has state, reason, words and time of its end, once."""
    await submit_pilot(store)
    await store.end_pilot(stamp(1), PilotState.FAILED, PilotReason.NEVER_CALLED, "exit code 92")
    row = await store.pilot(stamp(1))
    assert (row.state, row.reason, row.message, row.ended) == (
        PilotState.FAILED,
        PilotReason.NEVER_CALLED,
        "exit code 92",
        clock.time,
    )
    assert await store.end_pilot(stamp(1), PilotState.LOST, PilotReason.GONE) == ()
    assert (await store.pilot(stamp(1))).state is PilotState.FAILED


async def test_an_end_is_a_final_state(store: Store) -> None:
    """A pilot cannot end as running, and one that was never submitted cannot be done."""
    await store.plan_pilot(intent())
    assert await refused(store.end_pilot(stamp(1), PilotState.RUNNING, PilotReason.GONE)) == "conflict"
    assert await refused(store.end_pilot(stamp(1), PilotState.DONE, PilotReason.GONE)) == "conflict"
    assert (await store.pilot(stamp(1))).state is PilotState.PLANNED


async def test_pilots_are_counted_by_queue_and_state(store: Store) -> None:
    """Of each queue asked for the pilots in each state, ended ones too; a queue that has had none is left out."""
    for number in (1, 2):
        await enrol(store, number)
    await submit_pilot(store, 3)
    await store.end_pilot(stamp(3), PilotState.LOST, PilotReason.GONE)
    await submit_pilot(store, 4, queue="other")
    await submit_pilot(store, 5, queue="unasked")
    assert await store.pilot_counts(["local", "other", "empty"]) == {
        "local": {"running": 2, "lost": 1},
        "other": {"submitted": 1},
    }
    assert await store.pilot_counts([]) == {}


async def test_queues_that_have_pilots(store: Store) -> None:
    """Every queue with a pilot that is not over is named, whether there is such a queue or not; others are not."""
    assert await store.live_queues() == ()
    await submit_pilot(store, 1, queue="gone")
    await submit_pilot(store, 2, queue="gone")
    await submit_pilot(store, 3, queue="another")
    await submit_pilot(store, 4, queue="over")
    await store.end_pilot(stamp(4), PilotState.LOST, PilotReason.GONE)
    assert await store.live_queues() == ("another", "gone")


async def test_what_a_machine_had_to_do_is_kept(store: Store, clock: Clock) -> None:
    """The load that a pilot says is kept with its time, a sample a minute; other words add none, and a pilot that says
    nothing of it has none."""
    worker = await enrol(store)
    began = clock.time
    for seconds, facts in (
        (0.0, (Fact("load_1", 0.5, "t"), Fact("jobs", 2, "t"), Fact("disk_free", 10**9, "t"))),
        (20.0, (Fact("load_1", 9.0, "t"),)),
        (40.0, (Fact("host", "n1", "t"),)),
        (60.0, (Fact("load_1", 1.5, "t"),)),
    ):
        await store.beat([Beat(worker.stamp, began + seconds, facts=facts)])
    assert await store.machine_loads(worker.stamp) == (
        MachineLoad(began, 0.5, 2, 10**9),
        MachineLoad(began + 60, 1.5),
    )
    assert {fact.name: fact.value for fact in (await store.pilot(worker.stamp)).facts}["load_1"] == 1.5
    assert await store.machine_loads(stamp(9)) == ()


async def test_find_and_list(store: Store) -> None:
    """Pilots are found by stamp, and listed newest first by state and queue, in pages."""
    for number in range(1, 4):
        await enrol(store, number)
    await submit_pilot(store, 4, queue="other")
    assert {row.stamp for row in await store.find_pilots([stamp(1), stamp(3), stamp(9)])} == {stamp(1), stamp(3)}
    live, cursor = await store.pilots(None, states=sorted(LIVE_PILOT), queue="local")
    assert ([row.stamp for row in live], cursor) == ([stamp(3), stamp(2), stamp(1)], None)
    running, _ = await store.pilots(None, states=[PilotState.RUNNING])
    assert len(running) == 3
    first, cursor = await store.pilots(None, limit=3)
    second, end = await store.pilots(None, limit=3, cursor=cursor)
    assert ([int(row.stamp, 16) for row in (*first, *second)], end) == ([4, 3, 2, 1], None)


async def test_beats_are_remembered(store: Store, clock: Clock) -> None:
    """What a pilot said last stays: when, its sequence, its offer, and of each fact the newest word."""
    worker = await enrol(store)
    offer = Offer("here", "local", cores=4, memory="unlimited")
    facts = (Fact("load", 0.5, "/proc/loadavg"), Fact("cores", 4, "affinity"))
    await store.beat([Beat(worker.stamp, clock.time + 5, 3, offer, facts)])
    await store.beat([Beat(worker.stamp, clock.time + 4, 2, facts=(Fact("load", 1.5, "/proc/loadavg"),))])
    row = await store.pilot(worker.stamp)
    assert (row.last_seen, row.sequence, row.offer) == (clock.time + 5, 3, offer)
    assert {fact.name: fact.value for fact in row.facts} == {"cores": 4, "load": 1.5}


async def test_a_host_with_nul(store: Store, clock: Clock) -> None:
    """A pilot whose facts have a character that no database keeps is seen like any other, and so are those with it."""
    worker, other = await enrol(store, 1), await enrol(store, 2)
    clock.forward(50)
    facts = (Fact("host", "node\0 1", "hostname"), Fact("arch", "\0", "uname"))
    await store.beat([Beat(worker.stamp, clock.time, 1, facts=facts), Beat(other.stamp, clock.time, 1)])
    assert [(await store.pilot(one.stamp)).last_seen for one in (worker, other)] == [clock.time] * 2
    assert {fact.name for fact in (await store.pilot(worker.stamp)).facts} >= {"host", "arch"}


async def test_beats_of_nobody(store: Store, clock: Clock) -> None:
    """A beat of an unknown pilot, or of one that is over, is dropped, and the others of its batch count."""
    worker, over = await enrol(store, 1), await enrol(store, 2)
    await store.goodbye(over.stamp, GoodbyeRequest(PilotReason.IDLE))
    clock.forward(50)
    facts = (Fact("load", 0.5, "x"),)
    beats = [Beat(one, clock.time, 1, Offer("a", "b"), facts) for one in (stamp(9), over.stamp, worker.stamp)]
    await store.beat(beats)
    assert (await store.pilot(worker.stamp)).last_seen == clock.time
    row = await store.pilot(over.stamp)
    assert (row.state, row.last_seen) == (PilotState.DONE, clock.time - 50)


async def test_a_beat_ends_silence(store: Store, clock: Clock) -> None:
    """A silent pilot that was seen since runs again; a beat from before it fell silent changes nothing."""
    worker = await enrol(store)
    await store.beat([Beat(worker.stamp, clock.time)])
    clock.forward(SILENT + 1)
    await store.sweep(SILENT)
    await store.beat([Beat(worker.stamp, clock.time - SILENT - 1)])
    assert (await store.pilot(worker.stamp)).state is PilotState.SILENT
    await store.beat([Beat(worker.stamp, clock.time)])
    assert (await store.pilot(worker.stamp)).state is PilotState.RUNNING


async def test_draining_outlives_silence(store: Store, clock: Clock) -> None:
    """A draining pilot that was silent is draining when it is heard again."""
    worker = await enrol(store)
    await store.drain(worker.stamp)
    await store.drain(worker.stamp)
    assert (await store.pilot(worker.stamp)).state is PilotState.DRAINING
    clock.forward(SILENT + 1)
    await store.sweep(SILENT)
    assert (await store.pilot(worker.stamp)).state is PilotState.SILENT
    await store.beat([Beat(worker.stamp, clock.time)])
    assert (await store.pilot(worker.stamp)).state is PilotState.DRAINING


async def test_drain_before_it_calls(store: Store) -> None:
    """A pilot that was drained on its way drains as soon as it has enrolled; one that is over stays over."""
    await submit_pilot(store)
    await store.drain(stamp(1))
    assert (await store.pilot(stamp(1))).state is PilotState.SUBMITTED
    row = await store.enrol(stamp(1), digest("secret 1"), digest("key"), enrolment())
    assert row.state is PilotState.DRAINING
    await store.goodbye(stamp(1), GoodbyeRequest(PilotReason.DRAINED))
    await store.drain(stamp(1))
    assert (await store.pilot(stamp(1))).state is PilotState.DONE


@pytest.mark.parametrize(
    ("reason", "state"), [(PilotReason.IDLE, PilotState.DONE), (PilotReason.UNFIT, PilotState.FAILED)]
)
async def test_goodbye(store: Store, clock: Clock, reason: PilotReason, state: PilotState) -> None:
    """A pilot that ends says why, and a fault makes it failed; saying it again changes nothing."""
    worker = await enrol(store)
    clock.forward(10)
    await store.goodbye(worker.stamp, GoodbyeRequest(reason, 20, "no disk"))
    await store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.SIGNAL, 60, "again"))
    row = await store.pilot(worker.stamp)
    assert (row.state, row.reason, row.exit_code, row.message) == (state, reason, 20, "no disk")
    assert (row.ended, row.last_seen) == (clock.time, clock.time)


async def test_steps(store: Store) -> None:
    """Of each step the newest word is kept, and a late word on its start does not undo its end."""
    worker = await enrol(store)
    await store.step(worker.stamp, StepReport(2, "discover"))
    await store.step(worker.stamp, StepReport(1, "check", "ok", 0.5))
    await store.step(worker.stamp, StepReport(2, "discover", "failed", 1.5, "no /proc", "tail"))
    await store.step(worker.stamp, StepReport(2, "discover"))
    assert await store.steps(worker.stamp) == (
        StepView(1, "check", "ok", 0.5),
        StepView(2, "discover", "failed", 1.5, "no /proc", "tail"),
    )
    assert await store.steps(stamp(9)) == ()


async def test_pilots_of_a_site(store: Store) -> None:
    """Of whatever community and queue, in any state, page by page; with a queue those that are of both."""
    for number, (site, queue, community) in enumerate(
        [("here", "a", "hep"), ("there", "a", "hep"), ("here", "b", "bio"), ("here", "a", "bio")], 1
    ):
        await store.plan_pilot(intent(number, site=site, queue=queue, communities=(community,)))
    await store.end_pilot(stamp(4), PilotState.CANCELLED, PilotReason.CANCELLED)
    first, cursor = await store.pilots(None, site="here", limit=2)
    assert [row.stamp for row in first] == [stamp(4), stamp(3)]
    rest, end = await store.pilots(None, site="here", limit=2, cursor=cursor)
    assert ([row.stamp for row in rest], end) == ([stamp(1)], None)
    live, _ = await store.pilots(None, site="here", states=[PilotState.PLANNED])
    assert [row.stamp for row in live] == [stamp(3), stamp(1)]
    both, _ = await store.pilots(None, site="here", queue="a")
    assert [row.stamp for row in both] == [stamp(4), stamp(1)]
    assert [row.stamp for row in (await store.pilots("hep", site="here"))[0]] == [stamp(1)]
    assert (await store.pilots(None, site="nowhere"))[0] == ()


async def test_pilots_are_called_by_name(store: Store) -> None:
    """By what their computing element calls them, by their machine, or by the first digits of their stamp; those that
    live come first, and of others' communities and sites there is none."""
    first, second, third = "3f9a" + "0" * 28, "3f9a" + "1" * 28, "3fa0" + "0" * 28
    for number, name in enumerate((first, second, third), 1):
        await submit_pilot(store, number, stamp=name)
    await store.enrol(first, digest("secret 1"), digest("key"), enrolment(instance="vm i-17"))
    await store.enrol(third, digest("secret 3"), digest("key"), enrolment(instance="boot-1"))

    async def called(name: str, community: str | None = None, **more: object) -> list[str]:
        return [row.stamp for row in await store.called_pilots(name, community, **more)]  # type: ignore[arg-type]

    assert await called("3f9a") == [second, first]
    assert await called("3f9a", limit=1) == [second]
    assert [await called(name) for name in (first, "3f9a1", "3f9", "3F9A", "", "%", "3f9a_")] == [
        *([first], [second]),
        *([], [], [], [], []),
    ]
    assert await called("reference 3") == await called("boot-1") == [third]
    assert await called("i-17") == await called("vm i-17") == [first]
    await store.goodbye(first, GoodbyeRequest(PilotReason.DRAINED))
    await store.end_pilot(second, PilotState.LOST, PilotReason.GONE, "gone")
    await submit_pilot(store, 4, stamp=second[:-1] + "2")
    assert await called("3f9a") == [second[:-1] + "2", second, first]
    assert (await called("3fa0", "atlas"), await called("3fa0", "lhcb")) == ([third], [])
    assert (await called("3fa0", site="here"), await called("3fa0", site="there")) == ([third], [])
