"""Jobs that wait for a credential which is away: why, in place of who would have room for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pilot.states import JobState
from pilot.views import ExplainedJobs, JobExplanation, JobView

if TYPE_CHECKING:
    from central.app import Central

#: Jobs of a task queue that are looked up by the credential that they name; what goes for others is told of the rest.
MOST = 5000


def told(central: Central, explained: JobExplanation, queue: int, credentials: Collection[str]) -> JobExplanation:
    """The explanation of a job of a task queue that waits and names these, with what it waits for first."""
    away = central.dispatcher.queues.resting.of(queue)
    sentences = [_sentence(name, why) for name, why in away.items() if name in credentials]
    return replace(explained, summary="; ".join(sentences), ahead=None) if sentences else explained


async def resting(
    central: Central, queue: int, views: Sequence[JobView]
) -> tuple[Sequence[ExplainedJobs], Sequence[JobView]]:
    """Of the jobs of a task queue, in their order, those that wait for such credentials, each once, and the others."""
    found: list[ExplainedJobs] = []
    for name, why in dict(central.dispatcher.queues.resting.of(queue)).items():
        waiting = set(await central.store.waiting_for(queue, name, MOST))
        if mine := tuple(view.id for view in views if view.id in waiting):
            views = [view for view in views if view.id not in waiting]
            found.append(ExplainedJobs(mine, JobExplanation(mine[0], JobState.WAITING, _sentence(name, why))))
    return found, views


def _sentence(name: str, why: str) -> str:
    return f"It waits for its credential {name}, which {why}; the central asks the token endpoint again by itself"
