"""The contract of a store: what attempts used is written down once each, and every sum is that of the rows."""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central.records import USAGE_KEYS, Beat, Leased
from central.store.port import Store
from pilot.protocol import GoodbyeRequest, Usage
from pilot.states import JobState, Outcome, PilotReason, PilotState
from pilot.use import UsageRow
from tests.contract.spells import SPELLS, Row, Spell, both, play, wall_of
from tests.contract.stores import (
    ADA,
    LEASE,
    SILENT,
    STORES,
    Clock,
    Worker,
    digest,
    enrol,
    ids,
    queue_of,
    refused,
    submit,
)

pytestmark = pytest.mark.anyio

HOUR = 3600.0
FOREVER = 1e9


async def total(store: Store) -> UsageRow:
    (one,) = await store.usage(None, by=(), since=0.0, until=FOREVER, span=None)
    return one


# -- one row for each attempt that ended

End = Callable[[Store, Clock, Worker, Sequence[Leased]], Awaitable[object]]


async def swept(store: Store, clock: Clock, worker: Worker, leases: Sequence[Leased]) -> None:
    clock.forward(LEASE + 1)
    await store.sweep(SILENT)


async def reported(store: Store, clock: Clock, worker: Worker, leases: Sequence[Leased]) -> None:
    for leased in leases:
        await worker.ended(leased, Outcome.PAYLOAD_ERROR)
        await worker.ended(leased, Outcome.PAYLOAD_ERROR)


async def killed(store: Store, clock: Clock, worker: Worker, leases: Sequence[Leased]) -> None:
    await store.change(ADA, "atlas", "kill", ids(*(leased.job for leased in leases)))
    for leased in leases:
        await worker.ended(leased, Outcome.KILLED)


ENDS: Mapping[str, tuple[End, Outcome]] = {
    "report": (reported, Outcome.PAYLOAD_ERROR),
    "kill": (killed, Outcome.KILLED),
    "sweep": (swept, Outcome.LOST),
    "goodbye": (
        lambda store, clock, worker, leases: store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.IDLE)),
        Outcome.NODE_FAULT,
    ),
    "signal": (
        lambda store, clock, worker, leases: store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.SIGNAL)),
        Outcome.PREEMPTED,
    ),
    "gone": (
        lambda store, clock, worker, leases: store.end_pilot(worker.stamp, PilotState.LOST, PilotReason.GONE),
        Outcome.NODE_FAULT,
    ),
    "resume": (
        lambda store, clock, worker, leases: store.resume(worker.stamp, digest("key 1"), 1, ""),
        Outcome.NODE_FAULT,
    ),
}


@pytest.mark.parametrize("how", ENDS)
async def test_each_end_is_written_down_once(store: Store, clock: Clock, how: str) -> None:
    """Whatever ended it, with the time that it held its cores; and what comes after its end adds nothing."""
    end, outcome = ENDS[how]
    (first, *_) = await submit(store, 2)
    worker = await enrol(store)
    leases = (await worker.claim(await queue_of(store, first), 2, cores=4)).leases
    clock.forward(100)
    await end(store, clock, worker, leases)
    views = [(await store.attempts(None, leased.job))[0] for leased in leases]
    assert [view.outcome for view in views] == [outcome] * 2
    for _ in range(2):
        used = await total(store)
        assert (used.attempts, used.succeeded) == (2, 0)
        assert used.core_seconds == pytest.approx(sum(row.cores * wall_of(row) for row in views))
        assert used.lost_core_seconds == used.core_seconds
        clock.forward(LEASE + 1)
        await store.sweep(SILENT)
        for leased in leases:
            if how not in ("report", "kill"):
                assert await refused(worker.ended(leased)) == "stale-attempt"
            else:
                await worker.ended(leased)


async def test_what_was_given_back_used_nothing(store: Store, clock: Clock) -> None:
    """Leases that were never started are not written down."""
    (first, *_) = await submit(store, 2)
    worker = await enrol(store)
    one, _ = (await worker.claim(await queue_of(store, first), 2)).leases
    clock.forward(100)
    await store.release(worker.stamp, [(one.job, one.attempt)], "")
    await store.return_unseen(worker.stamp, {1: 1}, [])
    assert await store.usage(None, by=(), since=0.0, until=FOREVER, span=None) == ()
    assert await store.consumed(HOUR) == ()


@pytest.mark.parametrize(
    ("said", "wall"),
    [(Usage(wall=80.0), 80.0), (Usage(), 100.0), (Usage(wall=1e12), 100.0), (Usage(wall=0.25), 0.25)],
)
async def test_wall_time(store: Store, clock: Clock, said: Usage, wall: float) -> None:
    """As the pilot measured it; the time of the lease when it could not, or says more than that."""
    worker = await enrol(store)
    leased = await worker.take((await submit(store))[0])
    clock.forward(100)
    await worker.ended(leased, usage=said)
    assert (await total(store)).core_seconds == pytest.approx(wall)


async def test_what_was_measured(store: Store, clock: Clock) -> None:
    """CPU time and peak memory, of the report or else of the last beat; absurd amounts do no harm."""
    worker = await enrol(store)
    first, second, third, fourth = (
        await worker.claim(await queue_of(store, (await submit(store, 4))[0]), 4, cores=2)
    ).leases
    clock.forward(50)
    await worker.ended(first, usage=Usage(wall=40.0, cpu=70.0, memory_peak=5000))
    await worker.ended(second, usage=Usage(wall=30.0))
    await worker.ended(third, usage=Usage(wall=20.0, cpu=-5.0, memory_peak=-1))
    used = Usage(wall=45.0, cpu=20.0, memory_peak=9000)
    await store.beat([Beat(worker.stamp, clock.time, usage={(fourth.job, fourth.attempt): used})])
    await store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.SIGNAL))
    sums = await total(store)
    assert (sums.attempts, sums.succeeded, sums.memory_peak) == (4, 3, 9000)
    assert sums.cpu_seconds == pytest.approx(90.0)
    assert sums.core_seconds == pytest.approx(2 * (40 + 30 + 20 + 50))
    assert sums.lost_core_seconds == pytest.approx(2 * 50)


async def test_memory_beyond_belief(store: Store, clock: Clock) -> None:
    """A pilot's absurd figure does not keep it from reporting the end."""
    worker = await enrol(store)
    leased = await worker.take((await submit(store))[0])
    await worker.ended(leased, usage=Usage(wall=1.0, memory_peak=2**80))
    assert (await store.job(None, leased.job)).job.state is JobState.DONE
    assert (await total(store)).attempts == 1


# -- sums


def summed(
    rows: Iterable[Row], by: Sequence[str], since: float, until: float, span: float | None
) -> dict[tuple[float, tuple[str, ...]], list[Row]]:
    """Rows by the span in which they ended and by keys."""
    groups: dict[tuple[float, tuple[str, ...]], list[Row]] = {}
    for row in rows:
        if since <= row.ended < until:
            start = since if span is None else since + math.floor((row.ended - since) / span) * span
            groups.setdefault((start, tuple(row.keys[key] for key in by)), []).append(row)
    return groups


def check_usage(answer: Sequence[UsageRow], expected: dict[tuple[float, tuple[str, ...]], list[Row]]) -> None:
    assert [(one.start, one.keys) for one in answer] == sorted(expected)
    for one in answer:
        rows = expected[one.start, one.keys]
        good = [row for row in rows if row.outcome is Outcome.SUCCESS]
        assert (one.attempts, one.succeeded) == (len(rows), len(good))
        assert one.core_seconds == pytest.approx(sum(row.cores * row.wall for row in rows))
        assert one.cpu_seconds == pytest.approx(sum(row.cpu for row in rows))
        assert one.memory_peak == max(row.memory for row in rows)
        lost = sum(row.cores * row.wall for row in rows if row.outcome is not Outcome.SUCCESS)
        assert one.lost_core_seconds == pytest.approx(lost)


@pytest.mark.parametrize("kind", sorted(STORES))
@settings(max_examples=25, deadline=None)
@given(
    early=SPELLS,
    late=SPELLS,
    by=st.lists(st.sampled_from(USAGE_KEYS), unique=True),
    since=st.sampled_from([0.0, 999_000.0, 1_000_800.0, 1_000_801.5, 1_004_400.0]),
    length=st.sampled_from([1.0, 3600.0, 7200.0, 10_000.5, FOREVER]),
    span=st.sampled_from([None, 900.0, 3600.0, 7200.0, 5000.0, 100_000.5]),
    community=st.sampled_from([None, "atlas"]),
)
def test_usage_is_the_sum_of_the_rows(
    kind: str,
    early: list[Spell],
    late: list[Spell],
    by: list[str],
    since: float,
    length: float,
    span: float | None,
    community: str | None,
) -> None:
    """By any keys, over any time and spans, before hours are summed and after, and for what ends later still."""

    async def run(folder: Path) -> None:
        clock = Clock()
        store = STORES[kind](folder, clock)
        await store.open()
        try:
            workers = await both(store)
            rows: list[Row] = []
            last = min(since + length, since + 50_000.0) if span else since + length
            for spells in (early, [], late, []):
                rows += await play(store, clock, spells, workers)
                if not spells:
                    await store.roll_up()
                asked = [row for row in rows if community in (None, row.keys["community"])]
                answer = await store.usage(community, by=by, since=since, until=last, span=span)
                check_usage(answer, summed(asked, by, since, last, span))
        finally:
            await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def test_roll_up_says_what_it_summed(store: Store, clock: Clock) -> None:
    """An hour is summed once, when it has been over for ten minutes."""
    workers = await both(store)
    clock.time = 1_000_800.0  # the start of an hour
    spell = Spell(ADA, "here", 1, 60.0, 60.0, None, None, Outcome.SUCCESS, 0.0)
    await play(store, clock, [spell, spell], workers)
    clock.time = 1_004_400.0 + 599
    assert await store.roll_up() == 0
    clock.forward(2)
    assert await store.roll_up() == 1
    assert await store.roll_up() == 0
    assert (await total(store)).attempts == 2
    await play(store, clock, [spell], workers)
    assert (await total(store)).attempts == 3


async def test_a_clock_that_was_set_back(store: Store, clock: Clock) -> None:
    """What ends in an hour that was summed already is counted too, at once and when it is summed again."""
    workers = await both(store)
    spell = Spell(ADA, "here", 1, 60.0, 60.0, None, None, Outcome.SUCCESS, 8000.0)
    await play(store, clock, [spell, spell], workers)
    await store.roll_up()
    clock.forward(-12_000.0)
    await play(store, clock, [spell], workers)
    assert (await total(store)).attempts == 3
    clock.forward(10_000)
    await store.roll_up()
    used = await total(store)
    assert (used.attempts, used.core_seconds) == (3, pytest.approx(180.0))


async def test_usage_is_asked_wrongly(store: Store) -> None:
    """An unknown key, a span that is none, and more spans than anybody can look at are refused."""
    for by, span in (("colour", None), ("owner", 0.0), ("owner", -1.0), ("owner", 1e-3)):
        asked = store.usage(None, by=[by], since=0.0, until=FOREVER, span=span)
        assert await refused(asked) == "invalid"
    assert await refused(store.consumed(0.0)) == "invalid"
