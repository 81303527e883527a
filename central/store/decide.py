"""What the verbs of a store decide, apart from any database: the next states, and the sentences that say why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from central.people import NewToken, SiteAdmins, TokenRow
from central.records import Pause, Requeued, TaskQueue, Waiting
from pilot.codes import AttemptCode
from pilot.errors import Refusal
from pilot.protocol import AttemptReport
from pilot.states import (
    BLAMELESS,
    BLAMELESS_BOUND,
    CHARGED,
    FAULTS,
    FINAL,
    JOB_TRANSITIONS,
    PILOT_TRANSITIONS,
    PREEMPTING,
    JobState,
    Outcome,
    PilotReason,
    PilotState,
    after,
)
from pilot.views import JobVerb

#: Characters of a reason that are kept with a job.
MAX_REASON = 1000
#: Digits of a stamp by which a pilot may be called, at least.
LEAST_OF_STAMP = 4

_UNFINISHED = frozenset(JobState) - FINAL
#: The states in which a job may be so treated by a person.
VERBS: Mapping[JobVerb, frozenset[JobState]] = {
    "kill": _UNFINISHED,
    "hold": frozenset({JobState.WAITING}),
    "release": frozenset({JobState.HELD}),
    "reschedule": FINAL,
    "priority": _UNFINISHED,
}


def check_job(job: int, old: JobState, new: JobState) -> None:
    """Refuse a change of state that the table does not have."""
    if new not in JOB_TRANSITIONS[old]:
        raise Refusal(
            "conflict",
            f"Job {job} is {old.value} and cannot become {new.value}.",
            expected=_words(JOB_TRANSITIONS[old]),
            got=new.value,
        )


def check_pilot(stamp: str, old: PilotState, new: PilotState) -> None:
    """Refuse a change of state that the table does not have."""
    if new not in PILOT_TRANSITIONS[old]:
        raise Refusal(
            "conflict",
            f"Pilot {stamp} is {old.value} and cannot become {new.value}.",
            expected=_words(PILOT_TRANSITIONS[old]),
            got=new.value,
        )


def stale(job: int, attempt: int) -> Refusal:
    """What one hears who speaks of an attempt that is not the current one, or is over."""
    return Refusal("stale-attempt", f"Attempt {attempt} of job {job} is over: another one may be running by now.")


def unknown_job(job: int) -> Refusal:
    """The same for a job that is not there and for one of another community."""
    return Refusal("not-found", f"There is no job {job} that you may see.")


def unknown_pilot(stamp: str) -> Refusal:
    """The same for a pilot that is not there and for one of other communities."""
    return Refusal("not-found", f"There is no pilot {stamp} that you may see.")


def unknown_credential(name: str) -> Refusal:
    """The same for a credential that is not there and for somebody else's."""
    return Refusal("not-found", f"There is no credential {name} that you may see.")


def no_place(kind: str, name: str) -> Refusal:
    return Refusal("not-found", f"No {kind} {name} was added through the API.")


def still_used(queue: str, live: int) -> Refusal:
    """A queue that is taken away while pilots of it live would leave them with nobody to follow them."""
    pilots = "a pilot of it lives" if live == 1 else f"{live} pilots of it live"
    return Refusal(
        "conflict",
        f"The queue {queue} cannot be removed while {pilots}: pause it, and drain them or wait for their ends.",
    )


def check_stop(stop: Pause, admins: SiteAdmins | None) -> None:
    """What an operator has stopped no admin of the site starts again, nor puts another end to, nor tries meanwhile.
    `admins` is None where it is none of them who asks. Raises ``forbidden``."""
    if admins is not None and stop.who not in admins.users:
        what = f"The site {stop.site} is banned" if stop.site else f"The queue {stop.queue} is paused"
        raise Refusal("forbidden", f"{what} by {stop.who}, who is no admin of {admins.site}: ask the operators.")


def tested_already(queue: str, stamp: str) -> Refusal:
    """A queue is tried with one pilot at a time: each may cost a machine."""
    return Refusal(
        "conflict",
        f"The queue {queue} is being tested: the pilot {stamp} has not ended. Wait for its end, or halt it first.",
    )


def too_many_credentials(most: int) -> Refusal:
    return Refusal(
        "too-large", f"You have {most} credentials, and more are not kept: remove one first.", expected=str(most)
    )


def unknown_member(who: str) -> Refusal:
    """The same for one who is not there and for one of another community."""
    return Refusal("not-found", f"There is no member {who} that you may see.")


def unknown_token(number: int) -> Refusal:
    """The same for a token that is not there and for somebody else's."""
    return Refusal("not-found", f"There is no token {number} that you may see.")


def too_many_tokens(user: str, most: int) -> Refusal:
    return Refusal(
        "too-large",
        f"The user {user} has {most} tokens that are good, and more are not made: revoke one.",
        expected=str(most),
    )


def end_of_token(new: NewToken, parent: TokenRow | None, now: float) -> float:
    """Until when a token is good: not longer than the one that it is made with. Raises ``unauthorized`` when that one
    is not good any more."""
    if parent is None:
        return now + new.seconds
    if parent.revoked is not None or parent.expires <= now:
        raise Refusal("unauthorized", f"Token {parent.id}, with which this one was to be made, is not good any more.")
    return min(now + new.seconds, parent.expires)


def verb_problem(verb: JobVerb, state: JobState) -> str:
    """Why a job in that state cannot be so treated; empty when it can."""
    if state in VERBS[verb]:
        return ""
    return f"cannot {verb} a job that is {state.value}: expected one that is {_words(VERBS[verb])}"


def _words(states: Iterable[JobState | PilotState]) -> str:
    return ", ".join(sorted(state.value for state in states)) or "none"


@dataclass(frozen=True)
class Standing:
    """What counts of a job when its attempt ends."""

    attempt: int
    retries: int
    retries_used: int
    blameless_ends: int


@dataclass(frozen=True)
class Verdict:
    """What becomes of it."""

    state: JobState
    retries_used: int
    blameless_ends: int
    reason: str


def verdict(standing: Standing, outcome: Outcome, end: AttemptReport) -> Verdict:
    """Decide on a job whose attempt just ended so."""
    state = after(outcome, standing.retries - standing.retries_used, standing.blameless_ends)
    used = standing.retries_used + (outcome in CHARGED and state is JobState.WAITING)
    blameless = standing.blameless_ends + (outcome in BLAMELESS)
    if state is JobState.DONE:
        return Verdict(state, used, blameless, "")
    return Verdict(state, used, blameless, f"{_told(standing, outcome, end)}; {_then(state, outcome, standing)}")


def _told(standing: Standing, outcome: Outcome, end: AttemptReport) -> str:
    details = [
        end.limit,
        None if end.exit_code is None else f"exit code {end.exit_code}",
        None if end.signal is None else f"signal {end.signal}",
    ]
    known = ", ".join(detail for detail in details if detail)
    sentence = f"attempt {standing.attempt} ended as {outcome.value}" + (f" ({known})" if known else "")
    message = end.message.strip().rstrip(".")
    return f"{sentence}: {message}"[:MAX_REASON] if message else sentence


def _then(state: JobState, outcome: Outcome, standing: Standing) -> str:
    if state is JobState.KILLED:
        return "it was killed"
    if state is JobState.HELD:
        return (
            f"held, because {standing.blameless_ends + 1} attempts ended through no fault of the payload: "
            "look at where they ran, then release or kill it"
        )
    if state is JobState.FAILED:
        if standing.retries:
            return f"all {standing.retries} retries are used"
        asked = "no retries were asked for"
        return asked if standing.attempt == 1 else f"{asked}, and what was given back or lost before was none"
    if outcome in BLAMELESS:
        return f"it waits again, uncharged ({standing.blameless_ends + 1} of at most {BLAMELESS_BOUND} times)"
    return f"it waits for retry {standing.retries_used + 1} of {standing.retries}"


@dataclass(frozen=True)
class End:
    """How the central ends an attempt whose pilot cannot."""

    outcome: Outcome
    message: str
    code: str = ""


def lost(lease: int) -> End:
    """The end of what a pilot holds that is not heard any more. `lease` in seconds."""
    return End(Outcome.LOST, f"the pilot was not heard for longer than its lease of {lease} s")


def left_behind(reason: PilotReason | None, message: str) -> End:
    """The end of what a pilot still held when it ended, for that reason, or started anew."""
    if reason in PREEMPTING:
        return End(Outcome.PREEMPTED, message)
    return End(Outcome.NODE_FAULT, message, AttemptCode.PILOT_ENDED)


def end_of(reason: PilotReason) -> PilotState:
    """The final state of a pilot that ended for that reason."""
    return PilotState.FAILED if reason in FAULTS else PilotState.DONE


def gathered(queues: Mapping[int, TaskQueue], jobs: Iterable[Requeued]) -> tuple[Waiting, ...]:
    """Single jobs counted by queue and priority."""
    counts: dict[int, dict[int, int]] = {}
    oldest: dict[int, int] = {}
    for job in jobs:
        by_priority = counts.setdefault(job.queue, {})
        by_priority[job.priority] = by_priority.get(job.priority, 0) + 1
        oldest[job.queue] = min(job.job, oldest.get(job.queue, job.job))
    return tuple(Waiting(queues[queue], counts[queue], oldest[queue]) for queue in counts)
