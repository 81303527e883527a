"""A pilot reports how an attempt goes and how it ended."""

from __future__ import annotations

from central import aftermath
from central.events import JobChanged
from central.http import Call, Route
from central.rules import Who
from pilot.errors import InvalidInput, Refusal
from pilot.protocol import MAX_TAIL, Accepted, AttemptReport
from pilot.states import JobState, Phase

_STATES = {Phase.MATCHED: JobState.MATCHED, Phase.RUNNING: JobState.RUNNING, Phase.COMPLETING: JobState.COMPLETING}


async def report(call: Call[AttemptReport]) -> Accepted:
    """Advance an attempt; the same report again changes nothing. At its end the job's next state is decided."""
    central, message, stamp = call.central, call.message, call.pilot.stamp
    job, attempt = call.number("job"), call.number("attempt")
    _check(message)
    row = await central.roster.row(stamp)
    central.presence.touch(stamp)
    end = await central.store.report(stamp, job, attempt, message)
    if end is not None:
        if message.outcome is not None:
            central.metrics.ended.labels(message.outcome.value).inc()
        aftermath.ended(central, stamp, row.communities, (end,))
    elif message.phase is not Phase.ENDED:
        central.hub.publish(row.communities, JobChanged(job, _STATES[message.phase], attempt))
    return Accepted()


def _check(message: AttemptReport) -> None:
    problem = None
    if (message.phase is Phase.ENDED) != (message.outcome is not None):
        problem = InvalidInput("outcome", "expected with the phase `ended`, and only then")
    elif len(message.tail.encode("utf-8", "replace")) > MAX_TAIL:
        problem = InvalidInput("tail", f"expected at most {MAX_TAIL} bytes")
    if problem:
        raise Refusal("invalid", str(problem), problems=(problem,))


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
