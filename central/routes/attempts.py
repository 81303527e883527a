"""A pilot reports how an attempt goes and how it ended."""

from __future__ import annotations

from dataclasses import replace

from central import aftermath
from central.events import JobChanged
from central.keeping import checkpoints
from central.serving.bodies import cut
from central.serving.http import Call, Route
from central.trust.rules import Who
from pilot.errors import InvalidInput
from pilot.protocol import MAX_TAIL, Accepted, AttemptReport
from pilot.states import LIVE_PILOT, JobState, Outcome, Phase, PilotState

_STATES = {Phase.MATCHED: JobState.MATCHED, Phase.RUNNING: JobState.RUNNING, Phase.COMPLETING: JobState.COMPLETING}


async def report(call: Call[AttemptReport]) -> Accepted:
    """Advance an attempt; the same report again changes nothing. At its end the job's next state is decided."""
    central, message, stamp = call.central, call.message, call.pilot.stamp
    job, attempt = call.number("job"), call.number("attempt")
    message = await checkpoints.checked(central.store, central.sandboxes, job, attempt, _checked(message))
    row = await central.roster.row(stamp)
    central.presence.touch(stamp)
    if message.outcome is Outcome.PREEMPTED and row.state in LIVE_PILOT - {PilotState.DRAINING}:
        # It stops everything, and its heartbeat will say so: until then the job would be given to it once more.
        await aftermath.drained(central, row)
    end = await central.store.report(stamp, job, attempt, message)
    if end is not None:
        if message.outcome is not None:
            central.metrics.ended.labels(message.outcome.value).inc()
        aftermath.ended(central, row, (end,))
    elif message.phase is not Phase.ENDED:
        event = JobChanged(job, _STATES[message.phase], attempt)
        central.job_changes.tell(row.communities, (event,), central.background)
    return Accepted()


def _checked(message: AttemptReport) -> AttemptReport:
    """Refuse a report that contradicts itself; one that says too much is cut, because it cannot be said again."""
    if (message.phase is Phase.ENDED) != (message.outcome is not None):
        raise InvalidInput("outcome", "expected with the phase `ended`, and only then")
    return replace(message, tail=cut(message.tail, MAX_TAIL), message=cut(message.message, MAX_TAIL))


ROUTES = (
    Route(
        "POST",
        "/v1/attempts/{job:number}/{attempt:number}/report",
        report,
        (Who.AGED_PILOT,),
        "Report the phase or the end of an attempt",
        message=AttemptReport,
        reply=Accepted,
    ),
)
