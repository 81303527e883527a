"""What a working pilot says: match, heartbeat, release, steps."""

from __future__ import annotations

import re
from dataclasses import replace

from central import aftermath
from central.events import JobChanged
from central.fleet.believing import sound
from central.records import Leased, LiveAttempt
from central.routes.enrolment import seal
from central.serving.bodies import cut
from central.serving.http import Call, Route
from central.trust import delivering
from central.trust.rules import Who
from central.trust.seal import JobToken
from pilot.errors import InvalidInput, Refusal
from pilot.jobneeds import MAX_CORES
from pilot.protocol import (
    MAX_TAIL,
    Accepted,
    Credential,
    HeartbeatReply,
    HeartbeatRequest,
    Lease,
    LeaseRenewal,
    MatchReply,
    MatchRequest,
    ReleaseRequest,
    StepReport,
    Usage,
)
from pilot.states import JobState, PilotState

#: Heartbeats that one central takes in a second; with more pilots than this allows, each beats less often.
BEATS_PER_SECOND = 150
SLOWEST_BEAT = 60.0
#: Match requests of an agent, and agents of a pilot, by their numbers.
MAX_NUMBER = 10**15
MAX_AGENTS = 100_000
#: Characters that a pilot may say of a transfer that is tried again.
MAX_SENTENCE = 1000
_AGENT = re.compile(r"[0-9]{1,6}")


async def match(call: Call[MatchRequest]) -> MatchReply:
    """Hand out jobs that fit, each with a lease and a token for its payload."""
    central, request, token = call.central, call.message, call.pilot
    check(request)
    row = await central.roster.speaking(token)
    central.presence.touch(token.stamp)
    tally = central.metrics.tally
    tally.held += 1
    try:
        answer = await call.while_connected(central.dispatcher.match(row, request))
    finally:
        tally.held -= 1
    if answer.leases:
        tally.leases += len(answer.leases)
        for leased in answer.leases:
            event = JobChanged(leased.job, JobState.MATCHED, leased.attempt)
            central.hub.publish((leased.community,), event)
    else:
        central.metrics.unmatched.labels(answer.reason or "").inc()
    out, given = await delivering.deliver(central, token.stamp, answer.leases)
    if answer.leases and not out:
        barred = (await central.roster.row(token.stamp)).alarm
        why = "it has an alarm" if barred else "what was chosen for it lacks credentials of its owner"
        return MatchReply(request.number, (), "banned" if barred else "nothing-fits", why)
    leases = tuple(_lease(call, leased, row.lease, given.get((leased.job, leased.attempt), ())) for leased in out)
    return MatchReply(
        request.number,
        leases,
        answer.reason,
        answer.detail,
        answer.retry_after,
        least_time=answer.least_time,
        waits=answer.waits,
    )


def _lease(call: Call[MatchRequest], leased: Leased, seconds: int, credentials: tuple[Credential, ...]) -> Lease:
    central = call.central
    central.inputs.remember(leased.job, leased.attempt, leased.spec, leased.checkpoint)
    central.job_changes.remember(leased.job, leased.community)
    expires = central.wall() + central.settings.service.job_token_life
    token = JobToken(leased.job, leased.attempt, call.pilot.stamp, leased.community, expires)
    return Lease(
        leased.job,
        leased.attempt,
        seconds,
        leased.spec,
        central.ring.seal(token),
        leased.cores,
        leased.community,
        leased.owner,
        leased.group,
        credentials,
        leased.checkpoint,
    )


async def heartbeat(call: Call[HeartbeatRequest]) -> HeartbeatReply:
    """Note that the pilot lives; tell it how long its leases last, what is asked of it, and when to call again."""
    central, request, token = call.central, call.message, call.pilot
    row = await central.roster.speaking(token)
    if request.epoch != token.epoch:
        got, expected = str(request.epoch), str(token.epoch)
        raise Refusal("superseded", "this heartbeat is of another epoch than its token", expected=expected, got=got)
    central.roster.heard(token.stamp, request.sequence)
    central.presence.touch(
        token.stamp,
        epoch=request.epoch,
        sequence=request.sequence,
        state=request.state,
        facts=request.facts,
        ledger=sound(row, request.ledger, central.wall()),
    )
    await central.orders.acknowledge(token.stamp, request.acknowledgements)
    if request.state is PilotState.DRAINING and row.state is not PilotState.DRAINING:
        await aftermath.drained(central, row)
    held = await _held(call)
    seconds = {(attempt.job, attempt.attempt): row.lease for attempt in held}
    said = {(lease.job, lease.attempt): _bounded(lease.usage) for lease in request.leases}
    central.presence.touch(token.stamp, usage={lease: said[lease] for lease in said if lease in seconds})
    service = central.settings.service
    fresh = central.wall() > token.issued + (token.expires - token.issued) / 2
    return HeartbeatReply(
        sequence=request.sequence,
        leases=tuple(
            LeaseRenewal(lease.job, lease.attempt, seconds.get((lease.job, lease.attempt), 0))
            for lease in request.leases
        ),
        orders=central.orders.pending(token.stamp, token.epoch),
        next_beat=next_beat(service.beat, central.roster.size),
        followed=central.logs.followed(token.stamp),
        token=seal(call, row, token.key) if fresh else None,
        token_life=service.token_life if fresh else 0,
        server_time=central.wall(),
        credentials=await central.lately.of(token.stamp, held),
    )


def next_beat(least: float, pilots: int) -> float:
    """Seconds until a pilot should beat again, so that so many of them are no burden."""
    return max(least, min(SLOWEST_BEAT, pilots / BEATS_PER_SECOND))


def _bounded(usage: Usage) -> Usage:
    """Its sentence is of a length that people read."""
    return replace(usage, waits_for=usage.waits_for[:MAX_SENTENCE]) if usage.waits_for else usage


async def _held(call: Call[HeartbeatRequest]) -> tuple[LiveAttempt, ...]:
    """What the pilot has leased, after leases that it cannot have seen went back to the queue."""
    central, request, stamp = call.central, call.message, call.pilot.stamp
    held = await central.store.held(stamp)
    listed = {(lease.job, lease.attempt) for lease in request.leases}
    through = {int(agent): number for agent, number in request.matched_through.items() if _AGENT.fullmatch(agent)}
    unseen = [
        attempt
        for attempt in held
        if (attempt.job, attempt.attempt) not in listed and attempt.request <= through.get(attempt.agent, -1)
    ]
    if unseen:
        requeued = await central.store.return_unseen(stamp, through, request.leases)
        central.dispatcher.jobs_requeued(requeued)
        for attempt in unseen:
            event = JobChanged(attempt.job, JobState.WAITING, attempt.attempt)
            central.hub.publish((attempt.community,), event)
    return tuple(attempt for attempt in held if attempt not in unseen) if unseen else held


async def release(call: Call[ReleaseRequest]) -> Accepted:
    """Take back leases that were not started, uncharged."""
    central, stamp = call.central, call.pilot.stamp
    leases = [(lease.job, lease.attempt) for lease in call.message.leases]
    requeued = await central.store.release(stamp, leases, call.message.why)
    central.presence.touch(stamp)
    if requeued:
        central.dispatcher.jobs_requeued(requeued)
        row = await central.roster.row(stamp)
        central.dispatcher.attempts_ended_on(row.site, row.host)
        attempts = dict(leases)
        events = [JobChanged(back.job, JobState.WAITING, attempts.get(back.job, 0)) for back in requeued]
        central.job_changes.tell(row.communities, events, central.background)
    return Accepted()


async def step(call: Call[StepReport]) -> Accepted:
    """Keep the newest word on one step of the pipeline."""
    said = call.message
    said = replace(said, tail=cut(said.tail, MAX_TAIL), message=cut(said.message, MAX_TAIL))
    await call.central.store.step(call.pilot.stamp, said)
    call.central.presence.touch(call.pilot.stamp)
    return Accepted()


def check(request: MatchRequest) -> None:
    """Raises `InvalidInput` for numbers that no pilot has a use for."""
    numbers = (("number", request.number, MAX_NUMBER), ("agent", request.agent, MAX_AGENTS))
    for name, number, most in (*numbers, ("most", request.most, MAX_CORES)):
        if not 1 <= number <= most:
            raise InvalidInput(name, f"expected 1 to {most:,}, got {number}")
    if request.offer.cores > MAX_CORES:  # a whole-node job would be charged for all of them
        raise InvalidInput("offer.cores", f"expected at most {MAX_CORES:,}, got {request.offer.cores}")


ROUTES = (
    Route(
        "POST",
        "/v1/pilots/{stamp:stamp}/match",
        match,
        (Who.PILOT,),
        "Ask for jobs that fit an offer",
        message=MatchRequest,
        reply=MatchReply,
    ),
    Route(
        "POST",
        "/v1/pilots/{stamp:stamp}/heartbeat",
        heartbeat,
        (Who.AGED_PILOT,),
        "Say what is held, and hear what is asked",
        message=HeartbeatRequest,
        reply=HeartbeatReply,
    ),
    Route(
        "POST",
        "/v1/pilots/{stamp:stamp}/release",
        release,
        (Who.AGED_PILOT,),
        "Give back leases that were not started",
        message=ReleaseRequest,
        reply=Accepted,
    ),
    Route(
        "POST",
        "/v1/pilots/{stamp:stamp}/steps",
        step,
        (Who.AGED_PILOT,),
        "Tell how a command of the pipeline went",
        message=StepReport,
        reply=Accepted,
    ),
)
