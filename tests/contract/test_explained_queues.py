"""Why a job gets no pilot, as its owner is told in each of the ways in which that happens."""

from __future__ import annotations

import pytest

from central.directors.control import Limits
from central.directors.site import SiteDirector
from central.elements.port import ComputingError, Standing, Trouble
from central.explanations.explain import Candidate, Circumstances, explain
from central.explanations.paused import SENDS_NONE
from central.store.port import Store
from pilot.protocol import Needs
from pilot.states import JobState
from pilot.views import JobExplanation, JobView
from tests.contract.stores import FAR, Clock
from tests.director_scene import DUTY, Work, director
from tests.fake_element import FakeElement
from tests.unit.matching_scene import needs, offer

pytestmark = pytest.mark.anyio

JOB = JobView(7, "n", JobState.WAITING, "c", "g", "o", 5, 0, 0.0, 0.0)
ONE = Limits(slots=4, per_cycle=1, cores=1)


async def told(store: Store, mine: SiteDirector, asked: Needs | None = None) -> JobExplanation:
    """What the owner is told after one more turn of the director."""
    epoch = await store.lead(DUTY, "this central", FAR)
    assert epoch is not None
    await mine.cycle(epoch)
    paused = {one.queue or "local": str(one) for one in await store.pauses() if one.stops("local", "here")}
    queues = [Candidate.queue(offer(queue="local", site="here"))]
    stuck = {"local": mine.decision.why} if mine.decision.cause in SENDS_NONE else {}
    now = Circumstances(queues, {"local": mine.decision.why}, (), paused, stuck)
    return explain(JOB, asked or needs(), now)


async def test_no_site_matches(store: Store, clock: Clock) -> None:
    """A job that no queue's pilots could run is told which need nothing offers, and no queue's director is quoted."""
    said = await told(store, director(store, FakeElement(clock), Work([])), needs(sites=("there",)))
    assert (said.summary, said.no_pilot) == ("Nothing here offers site there", ())


async def test_the_site_is_banned(store: Store, clock: Clock) -> None:
    """The ban is told with who, why and until when."""
    await store.ban_site("here", "ada", "power cut", 3600.0)
    said = await told(store, director(store, FakeElement(clock), Work()))
    ban = "banned with its site here by ada until 1970-01-12 14:46 UTC: power cut"
    assert said.no_pilot == (f"local: {ban}",)
    assert said.summary == f"No live pilot has room for it now; no more are sent: the queue local is {ban}"


@pytest.mark.parametrize(
    ("trouble", "words", "sentence"),
    [
        (Trouble.FULL, "QOSMaxSubmitJobPerUserLimit", "the computing element takes no more pilots"),
        (Trouble.CREDENTIAL, "proxy expired", "the computing element accepts no credential of ours"),
        (Trouble.UNREACHABLE, "no route", "the computing element does not answer"),
    ],
)
async def test_the_computing_element_refuses(
    store: Store, clock: Clock, trouble: Trouble, words: str, sentence: str
) -> None:
    """A full quota, a credential that has expired and a host that does not answer are told in the computing element's
    own words, with when it is tried again, and no room is promised there."""
    element = FakeElement(clock)
    element.trouble["submit"] = ComputingError(words, trouble)
    mine = director(store, element, Work())
    await told(store, mine)
    clock.forward(1.0)
    explained = await told(store, mine)
    (said,) = explained.no_pilot
    assert said.startswith(f"local: {sentence} ({words}); trying again in ")
    why = said.removeprefix("local: ")
    assert explained.summary == f"No live pilot has room for it now; no pilots come from local: {why}"


async def test_the_queue_is_shut_after_bad_pilots(store: Store, clock: Clock) -> None:
    """Where pilots ended badly one after another, it is told how, and when one is tried again."""
    element = FakeElement(clock)
    mine = director(store, element, Work(), ONE)
    await told(store, mine)
    (job,) = element.jobs.values()
    job.standing, job.exit_code = Standing.ENDED, 92
    clock.forward(1.0)
    (said,) = (await told(store, mine)).no_pilot
    assert said.startswith("local: the last pilot ended badly (never-called, exit code 92")
    assert said.endswith("trying again in 10s")


async def test_the_pilot_waits_in_the_batch_queue(store: Store, clock: Clock) -> None:
    """A pilot that waits at its computing element is told with what that says of it."""
    element = FakeElement(clock)
    mine = director(store, element, Work(), ONE)
    await told(store, mine)
    (job,) = element.jobs.values()
    job.why = "PENDING (Resources)"
    (said,) = (await told(store, mine)).no_pilot
    assert "pilots wait in the batch queue (1 of them: PENDING (Resources))" in said
