"""The contract of a store: lists of jobs, and who may see what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from central.records import Identity
from central.store.port import Store
from pilot.states import JobState
from pilot.views import JobPage, Selection
from tests.contract.stores import ADA, BOB, EVE, Clock, enrol, ids, refused, state_of, submit

pytestmark = pytest.mark.anyio


ALL = Selection()


async def page(store: Store, selection: Selection = ALL, community: str | None = "atlas") -> list[int]:
    return [job.id for job in (await store.jobs(community, selection, None, 100, False)).jobs]


async def test_newest_first_in_pages(store: Store) -> None:
    """Pages follow each other without a gap or a repeat, newest first, and the last one says that it is."""
    jobs = await submit(store, 7)
    seen: list[int] = []
    cursor = None
    sizes = []
    while True:
        one: JobPage = await store.jobs("atlas", ALL, cursor, 3, False)
        sizes.append(len(one.jobs))
        seen += [job.id for job in one.jobs]
        cursor = one.next
        if cursor is None:
            break
    assert sizes == [3, 3, 1]
    assert seen == jobs[::-1]


async def test_pages_hold_still_while_jobs_come(store: Store) -> None:
    """A job submitted between two pages does not shift what the next one shows."""
    jobs = await submit(store, 4)
    first = await store.jobs("atlas", ALL, None, 2, False)
    await submit(store, 3)
    second = await store.jobs("atlas", ALL, first.next, 2, False)
    assert [job.id for job in (*first.jobs, *second.jobs)] == jobs[::-1]


async def test_a_cursor_that_is_none_is_refused(store: Store) -> None:
    """A made-up cursor is invalid, not an empty page."""
    assert await refused(store.jobs("atlas", ALL, "; DROP TABLE jobs", 10, False)) == "invalid"


async def test_filters(store: Store) -> None:
    """Each field of a selection narrows it, alone and together: ids, states, owner, group, name as a prefix."""
    fit, plot = await submit(store, 2, name="fit-{n}"), await submit(store, 2, name="plot")
    bobs = await submit(store, 2, who=BOB, name="fit-{n}")
    taus = await submit(store, 1, who=Identity("ada", "atlas", "taus", "member"), name="fit")
    await store.change(ADA, "atlas", "hold", ids(fit[0], plot[0]))
    cases: dict[Selection, list[int]] = {
        Selection(states=(JobState.HELD,)): [fit[0], plot[0]],
        Selection(states=(JobState.HELD, JobState.WAITING)): [*fit, *plot, *bobs, *taus],
        Selection(owner="ada"): [*fit, *plot, *taus],
        Selection(owner="ada", states=(JobState.WAITING,)): [fit[1], plot[1], *taus],
        Selection(group="taus"): taus,
        Selection(owner="ada", group="physics"): [*fit, *plot],
        Selection(name="fit-"): [*fit, *bobs],
        Selection(name="fit-", owner="bob"): bobs,
        Selection(name="fit-%"): [],
        Selection(ids=(fit[0], bobs[0], 999)): [fit[0], bobs[0]],
        Selection(ids=(fit[0], bobs[0]), owner="bob"): [bobs[0]],
        Selection(ids=(fit[0], fit[1]), states=(JobState.HELD,)): [fit[0]],
    }
    for selection, expected in cases.items():
        assert await page(store, selection) == expected[::-1], selection


async def test_where_and_since_when(store: Store, clock: Clock) -> None:
    """A selection by site or queue finds what is out there or ended there, one by time what was submitted since."""
    early = await submit(store, 3)
    clock.forward(100.0)
    late = await submit(store, 2)
    local, remote = await enrol(store), await enrol(store, 2, site="there", queue="batch")
    ended, out, back = await local.take(early[0]), await local.take(early[1]), await local.take(early[2])
    await local.ended(ended)
    await remote.take(late[0])
    await store.release(local.stamp, [(back.job, back.attempt)], "")
    cases: dict[Selection, list[int]] = {
        Selection(site="here"): [ended.job, out.job],
        Selection(queue="local", states=(JobState.DONE,)): [ended.job],
        Selection(site="there", owner="ada"): [late[0]],
        Selection(site="here", queue="batch"): [],
        Selection(queue="batch", ids=(ended.job, late[0])): [late[0]],
        Selection(submitted_since=clock.time): late,
        Selection(submitted_since=clock.time - 100.0): [*early, *late],
        Selection(submitted_since=clock.time + 1.0): [],
        Selection(submitted_since=clock.time, site="here"): [],
    }
    for selection, expected in cases.items():
        found = await store.jobs("atlas", selection, None, 100, True)
        assert [job.id for job in found.jobs] == expected[::-1], selection
        assert sum(found.counts.values()) == len(expected), selection
    assert len((await store.change(ADA, "atlas", "kill", Selection(queue="local"))).results) == 2


async def test_counts_are_of_the_whole_selection(store: Store) -> None:
    """Counts by state cover the selection, not the page, and are there only when asked for."""
    jobs = await submit(store, 5)
    await submit(store, 2, who=BOB)
    await store.change(ADA, "atlas", "kill", ids(*jobs[:2]))
    counted = await store.jobs("atlas", Selection(owner="ada"), None, 1, True)
    assert counted.counts == {"waiting": 3, "killed": 2}
    assert (await store.jobs("atlas", ids(*jobs[1:3]), None, 1, True)).counts == {"waiting": 1, "killed": 1}
    assert (await store.jobs("atlas", Selection(states=(JobState.WAITING,)), None, 1, True)).counts == {"waiting": 5}
    assert (await store.jobs("atlas", ALL, None, 1, False)).counts == {}


async def test_a_leased_job_says_where_it_is(store: Store) -> None:
    """A job that is out shows site and pilot; one that went back to its queue is nowhere."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    view = (await store.jobs("atlas", ALL, None, 1, False)).jobs[0]
    assert (view.state, view.site, view.pilot, view.attempt) == (JobState.MATCHED, "here", worker.stamp, 1)
    await store.release(worker.stamp, [(leased.job, leased.attempt)], "")
    view = (await store.job("atlas", job)).job
    assert (view.state, view.site, view.pilot, view.attempt) == (JobState.WAITING, "", "", 1)


async def test_an_operator_sees_all_communities(store: Store) -> None:
    """Without a community the list is of everybody's jobs, in one order, with their counts."""
    mine, theirs, more = await submit(store, 2), await submit(store, 2, who=EVE), await submit(store, 2)
    assert await page(store, community=None) == [*mine, *theirs, *more][::-1]
    assert await page(store, Selection(owner="eve"), community=None) == theirs[::-1]
    assert (await store.jobs(None, ALL, None, 1, True)).counts == {"waiting": 6}


async def test_the_metrics_count_everything(store: Store) -> None:
    """The figures are all jobs and all pilots, by state."""
    jobs = await submit(store, 3)
    await submit(store, 1, who=EVE)
    worker = await enrol(store)
    await worker.take(jobs[0])
    assert await store.counts() == {"jobs": {"waiting": 3, "matched": 1}, "pilots": {"running": 1}}


READS: dict[str, Callable[[Store, str, int], Awaitable[object]]] = {
    "job": lambda store, community, job: store.job(community, job),
    "attempts": lambda store, community, job: store.attempts(community, job),
}


@pytest.mark.parametrize("verb", READS)
async def test_another_communitys_job_is_not_there(store: Store, verb: str) -> None:
    """Reading a job of another community is refused with the words for a job that does not exist."""
    job = (await submit(store))[0]
    await READS[verb](store, "atlas", job)
    assert await refused(READS[verb](store, "lhcb", job)) == "not-found"
    assert await refused(READS[verb](store, "atlas", job + 1)) == "not-found"


async def test_lists_keep_to_the_community(store: Store) -> None:
    """A list and its counts never hold a job of another community, whatever the selection."""
    job = (await submit(store))[0]
    for selection in (ALL, ids(job), Selection(owner="ada"), Selection(name="run"), Selection(group="physics")):
        found = await store.jobs("lhcb", selection, None, 10, True)
        assert (found.jobs, found.counts) == ((), {}), selection


@pytest.mark.parametrize("verb", ["kill", "hold", "release", "reschedule", "priority"])
async def test_verbs_keep_to_the_community(store: Store, verb: str) -> None:
    """What people do by ids or by filter reaches no job of another community, and looks as if it were not there."""
    job = (await submit(store))[0]
    changed = await store.change(EVE, "lhcb", verb, ids(job), priority=1)  # type: ignore[arg-type]
    assert [(result.changed, result.state) for result in changed.results] == [(False, None)]
    by_filter = await store.change(EVE, "lhcb", verb, Selection(owner="ada"), priority=1)  # type: ignore[arg-type]
    assert by_filter.results == ()
    assert await state_of(store, job) is JobState.WAITING


async def test_sandboxes_keep_to_the_community(store: Store) -> None:
    """That one community has stored a file tells another nothing; storing it again changes nothing."""
    await store.add_sandbox("atlas", "a" * 64, 10)
    await store.add_sandbox("atlas", "a" * 64, 10)
    assert await store.sandbox("atlas", "a" * 64) == 10
    assert await store.sandbox("lhcb", "a" * 64) is None
    assert await store.sandbox("atlas", "b" * 64) is None


async def test_pilots_are_listed_for_their_communities(store: Store) -> None:
    """A community sees the pilots that may run its jobs, an operator sees all."""
    await enrol(store, 1, communities=("atlas",))
    await enrol(store, 2, communities=("lhcb",))
    await enrol(store, 3, communities=("atlas", "lhcb"))
    for community, numbers in (("atlas", [3, 1]), ("lhcb", [3, 2]), ("cms", []), (None, [3, 2, 1])):
        rows, _ = await store.pilots(community)
        assert [int(row.stamp, 16) for row in rows] == numbers, community
