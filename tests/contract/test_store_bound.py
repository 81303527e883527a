"""The contract of a store: a pilot that serves one community alone."""

from __future__ import annotations

import asyncio

import pytest

from central.records import Pick
from central.store.port import Store
from pilot.protocol import GoodbyeRequest
from pilot.states import PilotReason
from tests.contract.stores import ADA, EVE, Worker, enrol, queue_of, refused, stamp, submit

pytestmark = pytest.mark.anyio

BOTH = ("atlas", "lhcb")


async def of_both(store: Store) -> tuple[Worker, int, int]:
    """A pilot for two communities, and a task queue with jobs of each."""
    worker = await enrol(store, communities=BOTH)
    ours, theirs = await submit(store, 4, ADA), await submit(store, 4, EVE)
    return worker, await queue_of(store, ours[0]), await queue_of(store, theirs[0])


async def test_a_pilot_is_bound_with_its_first_job(store: Store) -> None:
    """Whoever binds it hears to whom, and its row says so from the first job on."""
    worker, ours, _ = await of_both(store)
    assert (await store.pilot(worker.stamp)).bound == ""
    assert await store.bind(worker.stamp, "atlas") == "atlas"
    assert (await store.pilot(worker.stamp)).bound == ""
    assert len((await worker.claim(ours)).leases) == 1
    row = await store.pilot(worker.stamp)
    assert (row.bound, row.communities) == ("atlas", BOTH)
    assert [row.bound for row in await store.live_pilots("local")] == ["atlas"]
    assert [row.bound for row in (await store.pilots(None))[0]] == ["atlas"]


async def test_it_stays_bound(store: Store) -> None:
    """It serves the community of its first job, whoever asks for another, also when nothing is left and after it has
    resumed."""
    worker, ours, _ = await of_both(store)
    await store.bind(worker.stamp, "atlas")
    (leased,) = (await worker.claim(ours)).leases
    assert await store.bind(worker.stamp, "lhcb") == "atlas"
    await worker.ended(leased)
    assert await store.bind(worker.stamp, "lhcb") == "atlas"
    key = (await store.pilot(worker.stamp)).key_hash
    assert key is not None
    row, _ = await store.resume(worker.stamp, key, 1, "")
    assert row.bound == "atlas"
    assert await store.bind(worker.stamp, "lhcb") == "atlas"


async def test_who_got_no_job_may_be_bound_to_another(store: Store) -> None:
    """When all jobs that it was bound for were given elsewhere it is not lost to the others."""
    worker, ours, theirs = await of_both(store)
    other = await enrol(store, 2)
    await store.bind(worker.stamp, "atlas")
    assert len((await other.claim(ours, 4)).leases) == 4
    assert (await worker.claim(ours)).leases == ()
    assert await store.bind(worker.stamp, "lhcb") == "lhcb"
    assert len((await worker.claim(theirs)).leases) == 1


async def test_what_it_holds_decides(store: Store) -> None:
    """A pilot that served all of its communities before is bound to the one whose job it holds."""
    worker, _, theirs = await of_both(store)
    await worker.claim(theirs)
    assert (await store.pilot(worker.stamp)).bound == ""
    assert await store.bind(worker.stamp, "atlas") == "lhcb"
    assert (await store.pilot(worker.stamp)).bound == "lhcb"


async def test_a_claim_for_others_wins_nothing(store: Store) -> None:
    """Whatever a matcher has picked, a bound pilot is given jobs of its community alone; the others wait on."""
    worker, ours, theirs = await of_both(store)
    await store.bind(worker.stamp, "atlas")
    refused = await worker.claim(theirs, 2)
    assert (refused.leases, refused.reason) == ((), "bound")
    mixed = await worker.ask(Pick(theirs, 2, 1), Pick(ours, 2, 1))
    assert ({leased.community for leased in mixed.leases}, len(mixed.leases)) == ({"atlas"}, 2)
    assert mixed.reason == "bound"
    refused = await worker.claim(theirs, 2)
    assert (refused.leases, refused.reason) == ((), "bound")
    waiting = {waiting.queue.community: sum(waiting.counts.values()) for waiting in await store.waiting()}
    assert waiting == {"atlas": 2, "lhcb": 4}
    assert len((await worker.claim(ours, 2)).leases) == 2


async def test_two_that_bind_at_once(store: Store) -> None:
    """Of centrals that bind a pilot to different communities and claim, one wins, whatever comes between."""
    for number in range(1, 9):
        worker = await enrol(store, number, communities=BOTH)
        queues = {who.community: await queue_of(store, (await submit(store, 1, who))[0]) for who in (ADA, EVE)}

        async def serve(community: str, agent: int, worker: Worker = worker, queues: dict[str, int] = queues) -> None:
            if await store.bind(worker.stamp, community) == community:
                await store.claim(worker.stamp, agent, 1, [Pick(queues[community], 1, 1)])

        await asyncio.gather(serve("atlas", 1), serve("lhcb", 2))
        assert len({live.community for live in await store.held(worker.stamp)}) == 1


async def test_nobody_is_bound_who_is_not_there(store: Store) -> None:
    """An unknown pilot is an error; one that is over stays as it was."""
    assert await refused(store.bind(stamp(9), "atlas")) == "not-found"
    worker, ours, _ = await of_both(store)
    await store.bind(worker.stamp, "atlas")
    await worker.claim(ours)
    await store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.IDLE))
    assert await store.bind(worker.stamp, "lhcb") == "atlas"
