"""The contract of a store: limits on what runs, exact whoever asks at the same time and however attempts end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest

from central.records import Leased, Limit, Pick
from central.store.port import Store
from pilot.protocol import GoodbyeRequest, Needs
from pilot.states import JobState, Outcome, PilotReason, PilotState
from tests.contract.stores import (
    ADA,
    BOB,
    EVE,
    LEASE,
    SILENT,
    Clock,
    Worker,
    digest,
    enrol,
    ids,
    queue_of,
    refused,
    state_of,
    submit,
)

pytestmark = pytest.mark.anyio

HERE = Limit("here", attempts=3, site="here")


async def full(store: Store) -> dict[str, tuple[int, int]]:
    """name → (attempts, cores) that count against each limit."""
    return {use.limit.name: (use.attempts, use.cores) for use in await store.limits()}


async def test_a_limit_is_exact_under_fifty_claims_at_once(store: Store) -> None:
    """Fifty pilots that ask at the same moment get exactly what there is room for; the others hear which limit."""
    jobs = await submit(store, 80)
    queue = await queue_of(store, jobs[0])
    limit = Limit("few", attempts=7, site="here")
    await store.set_limits([limit])
    workers = [await enrol(store, number) for number in range(50)]
    claims = await asyncio.gather(*(worker.ask(Pick(queue, 1, 1, ("few",))) for worker in workers))
    assert sum(len(claim.leases) for claim in claims) == 7
    assert [claim.limited for claim in claims if not claim.leases] == [("few",)] * 43
    assert [claim.limited for claim in claims if claim.leases] == [()] * 7
    assert await full(store) == {"few": (7, 7)}


async def test_a_limit_on_cores(store: Store) -> None:
    """Each attempt counts with the cores that it was granted."""
    queue = await queue_of(store, (await submit(store, 10))[0])
    await store.set_limits([Limit("cores", cores=10)])
    worker = await enrol(store)
    claim = await worker.ask(Pick(queue, 5, 4, ("cores",)))
    assert (len(claim.leases), claim.limited) == (2, ("cores",))
    claim = await worker.ask(Pick(queue, 5, 1, ("cores",)))
    assert (len(claim.leases), claim.limited) == (2, ("cores",))
    assert await full(store) == {"cores": (4, 10)}


async def test_two_picks_of_one_claim_share_a_limit(store: Store) -> None:
    """What the first takes the second cannot have."""
    first = await queue_of(store, (await submit(store, 5))[0])
    second = await queue_of(store, (await submit(store, 5, needs=Needs(cores=2)))[0])
    await store.set_limits([HERE])
    claim = await (await enrol(store)).ask(Pick(first, 2, 1, ("here",)), Pick(second, 2, 2, ("here",)))
    assert [leased.queue for leased in claim.leases] == [first, first, second]
    assert claim.limited == ("here",)
    assert await full(store) == {"here": (3, 4)}


async def test_the_tightest_of_two_limits_is_named(store: Store) -> None:
    """The one with the least room decides, and alone is named; both are counted."""
    queue = await queue_of(store, (await submit(store, 9))[0])
    await store.set_limits([Limit("wide", attempts=5), Limit("tight", attempts=2)])
    claim = await (await enrol(store)).ask(Pick(queue, 6, 1, ("wide", "tight")))
    assert (len(claim.leases), claim.limited) == (2, ("tight",))
    assert await full(store) == {"tight": (2, 2), "wide": (2, 2)}


async def test_an_empty_queue_is_no_limit(store: Store) -> None:
    """Fewer leases than picked, and no limit named: nothing more waits."""
    queue = await queue_of(store, (await submit(store, 2))[0])
    await store.set_limits([HERE])
    worker = await enrol(store)
    claim = await worker.ask(Pick(queue, 3, 1, ("here",)))
    assert (len(claim.leases), claim.limited) == (2, ())
    assert (await worker.ask(Pick(queue, 1, 1, ("here",)))).limited == ()


async def test_a_limit_that_the_store_does_not_know(store: Store) -> None:
    """A name that was dropped meanwhile limits nothing."""
    queue = await queue_of(store, (await submit(store, 5))[0])
    await store.set_limits([HERE])
    claim = await (await enrol(store)).ask(Pick(queue, 5, 1, ("gone",)))
    assert (len(claim.leases), claim.limited) == (5, ())


async def test_without_a_name_nothing_is_counted(store: Store) -> None:
    """The matcher says which limits a pick counts against."""
    queue = await queue_of(store, (await submit(store, 5))[0])
    await store.set_limits([HERE])
    assert len((await (await enrol(store)).ask(Pick(queue, 5, 1))).leases) == 5
    assert await full(store) == {"here": (0, 0)}


async def test_the_same_request_again_is_counted_once(store: Store) -> None:
    """A repeated claim gets what it got, within the limit or not."""
    queue = await queue_of(store, (await submit(store, 5))[0])
    await store.set_limits([HERE])
    worker = await enrol(store)
    first = await worker.ask(Pick(queue, 3, 1, ("here",)))
    worker.number -= 1
    assert (await worker.ask(Pick(queue, 3, 1, ("here",)))).leases == first.leases
    assert await full(store) == {"here": (3, 3)}


async def test_a_limit_below_what_runs(store: Store) -> None:
    """It ends nothing; what ends makes room only below it."""
    queue = await queue_of(store, (await submit(store, 10))[0])
    await store.set_limits([])
    worker = await enrol(store)
    leases = (await worker.claim(queue, 5)).leases
    low = Limit("here", attempts=2, site="here")
    await store.set_limits([low])
    assert [use.limit for use in await store.limits()] == [low]
    assert await full(store) == {"here": (5, 5)}
    assert [await state_of(store, leased.job) for leased in leases] == [JobState.MATCHED] * 5
    for leased in leases[:3]:
        await worker.ended(leased)
        claim = await worker.ask(Pick(queue, 3, 1, ("here",)))
        assert (claim.leases, claim.limited) == ((), ("here",))
    await worker.ended(leases[3])
    assert len((await worker.ask(Pick(queue, 3, 1, ("here",)))).leases) == 1
    assert await full(store) == {"here": (2, 2)}


@pytest.mark.parametrize(
    ("limit", "counted"),
    [
        (Limit("all"), {"ada", "bob", "eve", "tagged"}),
        (Limit("site", site="here"), {"ada", "bob", "tagged"}),
        (Limit("queue", queue="local"), {"ada", "bob", "eve", "tagged"}),
        (Limit("other queue", queue="night"), set()),
        (Limit("community", community="lhcb"), {"eve"}),
        (Limit("group", community="atlas", group="physics"), {"ada", "bob", "tagged"}),
        (Limit("owner", owner="bob"), {"bob"}),
        (Limit("tag", tag="licence"), {"tagged"}),
        (Limit("two", site="here", owner="ada"), {"ada", "tagged"}),
        (Limit("nobody", site="here", owner="eve"), set()),
    ],
    ids=lambda value: value.name if isinstance(value, Limit) else "",
)
async def test_what_counts_against_a_limit(store: Store, limit: Limit, counted: set[str]) -> None:
    """All that every field given names: the pilot's site and queue, the job's owner, and a tag that it demands."""
    owners = {"ada": ADA, "bob": BOB, "eve": EVE, "tagged": ADA}
    cores = {"ada": 1, "bob": 2, "eve": 4, "tagged": 8}
    here = await enrol(store, 1)
    there = await enrol(store, 2, site="there", communities=("lhcb",))
    for name, who in owners.items():
        tags = "licence & (avx2 | arm)" if name == "tagged" else "~licence & (licence | avx2)"
        (job,) = await submit(store, 1, who, needs=Needs(cores=cores[name], tags=tags))
        await (there if name == "eve" else here).claim(await queue_of(store, job), 1, cores[name])
    await store.set_limits([limit])
    assert await full(store) == {limit.name: (len(counted), sum(cores[name] for name in counted))}


async def test_limits_are_replaced(store: Store) -> None:
    """Those not named again are gone; attempts count against the new ones, and free these when they end."""
    queue = await queue_of(store, (await submit(store, 4))[0])
    await store.set_limits([HERE])
    worker = await enrol(store)
    leases = (await worker.ask(Pick(queue, 2, 1, ("here",)))).leases
    await store.set_limits([Limit("ada", attempts=9, owner="ada"), Limit("bob", attempts=9, owner="bob")])
    assert await full(store) == {"ada": (2, 2), "bob": (0, 0)}
    await worker.ended(leases[0])
    assert await full(store) == {"ada": (1, 1), "bob": (0, 0)}
    await store.set_limits([])
    await worker.ended(leases[1])
    assert await full(store) == {}


async def test_two_limits_of_one_name(store: Store) -> None:
    """They are refused, and those before stay."""
    await store.set_limits([HERE])
    assert await refused(store.set_limits([Limit("a"), Limit("a", attempts=1)])) == "invalid"
    assert [use.limit for use in await store.limits()] == [HERE]


End = Callable[[Store, Clock, Worker, Sequence[Leased]], Awaitable[object]]


async def reported(store: Store, clock: Clock, worker: Worker, leases: Sequence[Leased]) -> None:
    for leased, outcome in zip(leases, (Outcome.SUCCESS, Outcome.PAYLOAD_ERROR), strict=True):
        await worker.ended(leased, outcome)
        await worker.ended(leased, outcome)  # said twice, ended once


async def swept(store: Store, clock: Clock, worker: Worker, leases: Sequence[Leased]) -> None:
    clock.forward(LEASE + 1)
    await store.sweep(SILENT)


async def killed_and_swept(store: Store, clock: Clock, worker: Worker, leases: Sequence[Leased]) -> None:
    await store.change(ADA, "atlas", "kill", ids(*(leased.job for leased in leases)))
    assert await full(store) == {"here": (2, 4)}  # they still run
    await swept(store, clock, worker, leases)


async def killed_and_reported(store: Store, clock: Clock, worker: Worker, leases: Sequence[Leased]) -> None:
    await store.change(ADA, "atlas", "kill", ids(*(leased.job for leased in leases)))
    for leased in leases:
        await worker.ended(leased, Outcome.KILLED)


ENDS: Mapping[str, End] = {
    "report": reported,
    "sweep": swept,
    "kill, sweep": killed_and_swept,
    "kill, report": killed_and_reported,
    "goodbye": lambda store, clock, worker, leases: store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.IDLE)),
    "gone": lambda store, clock, worker, leases: store.end_pilot(worker.stamp, PilotState.LOST, PilotReason.GONE),
    "resume": lambda store, clock, worker, leases: store.resume(worker.stamp, digest("key 1"), 1, ""),
    "release": lambda store, clock, worker, leases: store.release(
        worker.stamp, [(leased.job, leased.attempt) for leased in leases], ""
    ),
    "unseen": lambda store, clock, worker, leases: store.return_unseen(worker.stamp, {1: 1}, []),
}


@pytest.mark.parametrize("how", ENDS)
async def test_every_end_frees_its_limits(store: Store, clock: Clock, how: str) -> None:
    """Whatever ends an attempt, its place under the limit is free at once, and once only."""
    queue = await queue_of(store, (await submit(store, 2))[0])
    await store.set_limits([HERE])
    worker = await enrol(store)
    leases = (await worker.ask(Pick(queue, 2, 2, ("here",)))).leases
    assert await full(store) == {"here": (2, 4)}
    await ENDS[how](store, clock, worker, leases)
    assert await full(store) == {"here": (0, 0)}
    await store.sweep(SILENT)
    assert await full(store) == {"here": (0, 0)}
