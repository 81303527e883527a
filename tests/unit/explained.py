"""Why a job waits and why a pilot got nothing, where nothing but offers and queues is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from central.explanations.explain import Candidate, Circumstances, Standing, explain, explain_agents
from central.fleet.presence import FreePilot
from central.records import PilotRow, TaskQueue
from pilot.protocol import Offer
from pilot.views import JobDetail, JobExplanation, PilotExplanation


def explain_job(
    detail: JobDetail,
    pilots: Sequence[FreePilot],
    offers: Sequence[Offer],
    decisions: Mapping[str, str],
    ahead: int | None = None,
) -> JobExplanation:
    """Of a job: `pilots` are what live pilots have left, `offers` what those of each queue would offer, `decisions`
    what each queue's director last said, and `ahead` the number of waiting jobs that go before it where it fits."""
    candidates = (*map(Candidate.pilot, pilots), *map(Candidate.queue, offers))
    return explain(detail.job, detail.needs, Circumstances(candidates, decisions), Standing(ahead))


def explain_pilot(
    pilot: PilotRow, offers: Sequence[Offer], waiting: Iterable[tuple[TaskQueue, int]]
) -> PilotExplanation:
    """Of a pilot: `offers` is what each of its agents has left, and `waiting` are the queues of its communities with
    the number of their jobs."""
    return explain_agents(pilot, Circumstances([Candidate("", offer, True) for offer in offers], {}), waiting)
