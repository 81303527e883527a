"""The states of jobs, attempts and pilots: which may follow which, which are final, and who is to blame.

This file is the whole of the state machines; stores change a state by compare-and-set against these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class JobState(str, Enum):
    """Where a job stands, as its owner sees it."""

    WAITING = "waiting"  #: in its task queue
    HELD = "held"  #: kept back by a person, or by the central with a reason
    MATCHED = "matched"  #: leased to a pilot, not yet started
    RUNNING = "running"  #: the payload runs
    COMPLETING = "completing"  #: the payload has ended, its outputs are being delivered
    DONE = "done"  #: final: it succeeded
    FAILED = "failed"  #: final: it did not, and no retry is left
    KILLED = "killed"  #: final: a person ended it


#: States in which an attempt is out on a pilot.
LEASED: frozenset[JobState] = frozenset({JobState.MATCHED, JobState.RUNNING, JobState.COMPLETING})
FINAL: frozenset[JobState] = frozenset({JobState.DONE, JobState.FAILED, JobState.KILLED})

_ENDS = frozenset({JobState.DONE, JobState.FAILED, JobState.KILLED})
JOB_TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.WAITING: frozenset({JobState.MATCHED, JobState.HELD, JobState.KILLED, JobState.FAILED}),
    JobState.HELD: frozenset({JobState.WAITING, JobState.KILLED, JobState.FAILED}),
    # A short job may report its end before anybody heard that it ran: matched → done is one message.
    JobState.MATCHED: _ENDS | {JobState.RUNNING, JobState.COMPLETING, JobState.WAITING, JobState.HELD},
    JobState.RUNNING: _ENDS | {JobState.COMPLETING, JobState.WAITING, JobState.HELD},
    JobState.COMPLETING: _ENDS | {JobState.WAITING, JobState.HELD},
    JobState.DONE: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.KILLED: frozenset(),
}


class Phase(str, Enum):
    """Where an attempt stands on its pilot; a report carries one of these."""

    MATCHED = "matched"
    RUNNING = "running"
    COMPLETING = "completing"
    ENDED = "ended"


PHASE_ORDER: Mapping[Phase, int] = {phase: order for order, phase in enumerate(Phase)}


class Outcome(str, Enum):
    """How an attempt ended."""

    SUCCESS = "success"
    PAYLOAD_ERROR = "payload-error"  #: it exited non-zero or by a signal of its own
    LIMIT_EXCEEDED = "limit-exceeded"  #: it was stopped at a limit, which is named
    KILLED = "killed"  #: a person ended it
    LOST = "lost"  #: the pilot fell silent past its lease
    PREEMPTED = "preempted"  #: the machine was needed for something else
    NODE_FAULT = "node-fault"  #: the node or the pilot failed, not the payload
    INPUT_ERROR = "input-error"  #: an input could not be fetched or did not verify
    OUTPUT_ERROR = "output-error"  #: the payload ended, its outputs could not be delivered


#: The payload is not to blame: these never use up the user's retries and have a bound of their own.
BLAMELESS: frozenset[Outcome] = frozenset({Outcome.LOST, Outcome.PREEMPTED, Outcome.NODE_FAULT})
#: These are what a user's ``retries: n`` is for.
CHARGED: frozenset[Outcome] = frozenset(
    {Outcome.PAYLOAD_ERROR, Outcome.LIMIT_EXCEEDED, Outcome.INPUT_ERROR, Outcome.OUTPUT_ERROR}
)
#: How often blameless ends may send one job back to the queue before it is held for a person to look at.
BLAMELESS_BOUND = 10


def after(outcome: Outcome, retries_left: int, blameless_ends: int) -> JobState:
    """Return the state of a job whose attempt just ended so.

    `retries_left` counts what the user granted and earlier attempts did not use; `blameless_ends` counts earlier
    attempts that ended through no fault of the payload.
    """
    if outcome is Outcome.SUCCESS:
        return JobState.DONE
    if outcome is Outcome.KILLED:
        return JobState.KILLED
    if outcome in BLAMELESS:
        return JobState.WAITING if blameless_ends < BLAMELESS_BOUND else JobState.HELD
    return JobState.WAITING if retries_left > 0 else JobState.FAILED


class PilotState(str, Enum):
    """Where a pilot stands."""

    PLANNED = "planned"  #: the director has written down that it will submit it
    SUBMITTING = "submitting"  #: being handed to the computing element; unknown until seen there
    SUBMITTED = "submitted"  #: the computing element has it
    RUNNING = "running"  #: it has enrolled
    SILENT = "silent"  #: running, not heard for a while
    DRAINING = "draining"  #: it takes no new jobs
    DONE = "done"  #: final: it ended and said why
    FAILED = "failed"  #: final: it ended wrongly, or never came up
    LOST = "lost"  #: final: it is gone and said nothing
    CANCELLED = "cancelled"  #: final: withdrawn before it ran


#: Every state in which a pilot may still turn up or be working: it counts as supply.
LIVE_PILOT: frozenset[PilotState] = frozenset(
    {
        PilotState.PLANNED,
        PilotState.SUBMITTING,
        PilotState.SUBMITTED,
        PilotState.RUNNING,
        PilotState.SILENT,
        PilotState.DRAINING,
    }
)
#: States in which a pilot may hold leases.
ENROLLED: frozenset[PilotState] = frozenset({PilotState.RUNNING, PilotState.SILENT, PilotState.DRAINING})

_GONE = frozenset({PilotState.FAILED, PilotState.LOST, PilotState.CANCELLED})
PILOT_TRANSITIONS: Mapping[PilotState, frozenset[PilotState]] = {
    PilotState.PLANNED: _GONE | {PilotState.SUBMITTING},
    # A pilot may call back before the computing element's answer arrived.
    PilotState.SUBMITTING: _GONE | {PilotState.SUBMITTED, PilotState.RUNNING, PilotState.PLANNED},
    PilotState.SUBMITTED: _GONE | {PilotState.RUNNING, PilotState.DONE},
    PilotState.RUNNING: _GONE | {PilotState.SILENT, PilotState.DRAINING, PilotState.DONE},
    PilotState.SILENT: _GONE | {PilotState.RUNNING, PilotState.DRAINING, PilotState.DONE},
    PilotState.DRAINING: _GONE | {PilotState.SILENT, PilotState.DONE},
    PilotState.DONE: frozenset(),
    PilotState.FAILED: frozenset(),
    PilotState.LOST: frozenset(),
    PilotState.CANCELLED: frozenset(),
}


class PilotReason(str, Enum):
    """Why a pilot ended, or was never seen."""

    DRAINED = "drained"  #: asked to drain, and empty now
    IDLE = "idle"  #: no job fitted for as long as it may wait
    NO_TIME = "no-time"  #: too little of its lifetime is left for any job
    HALTED = "halted"  #: ordered to stop at once
    SIGNAL = "signal"  #: the batch system or the machine's owner ended it
    UNFIT = "unfit"  #: the machine did not pass the checks
    COMMAND_FAILED = "command-failed"  #: a step of its pipeline failed
    NODE_FAULTS = "node-faults"  #: attempts ended by faults of the node, one after another
    AGENT_DIED = "agent-died"  #: its agent process died or hung
    LOST_CONTACT = "lost-contact"  #: it could not reach the central, or was not heard for too long
    REFUSED = "refused"  #: the central refused it
    INTERNAL = "internal"  #: a fault of the pilot itself
    NEVER_CALLED = "never-called"  #: submitted, gone, and never enrolled
    SUBMIT_FAILED = "submit-failed"  #: the computing element did not take it
    CANCELLED = "cancelled"  #: withdrawn by the director or a person
    GONE = "gone"  #: the computing element says that it ended; it did not say goodbye


#: How the message of a pilot begins that is drained by whoever owns the machine, and not by an order.
SITE_DRAINS = "the site drains this computer"

#: The reason codes that speak for a fault, so that the pilot ends as failed and not as done.
FAULTS: frozenset[PilotReason] = frozenset(
    {
        PilotReason.UNFIT,
        PilotReason.COMMAND_FAILED,
        PilotReason.NODE_FAULTS,
        PilotReason.AGENT_DIED,
        PilotReason.LOST_CONTACT,
        PilotReason.REFUSED,
        PilotReason.INTERNAL,
        PilotReason.NEVER_CALLED,
        PilotReason.SUBMIT_FAILED,
    }
)


#: The reasons for which a machine is wanted for something else, or its time is over: what still ran was preempted.
PREEMPTING: frozenset[PilotReason] = frozenset(
    {PilotReason.SIGNAL, PilotReason.HALTED, PilotReason.NO_TIME, PilotReason.DRAINED}
)


class Cause(str, Enum):
    """What a core of a pilot was there for at a moment: each has exactly one."""

    BOOT = "boot"  #: the pilot starts: unpacked, enrolled, its agent not yet at work
    VALIDATE = "validate"  #: the node is checked and prepared
    IMAGE = "image"  #: a container image is brought for an attempt
    NO_MATCH = "idle-no-match"  #: free, and no job was to be had
    FRAGMENTS = "idle-fragments"  #: free beside what runs, and too few for the jobs that wait
    DRAIN = "idle-drain"  #: free, and no job is taken any more; also the end of the pilot itself
    STAGE_IN = "stage-in"  #: inputs are brought
    STAGE_OUT = "stage-out"  #: nothing is awaited but outputs on their way
    PAYLOAD = "payload-open"  #: a payload whose end is not accepted yet; in the end it is one of the next four
    GOOD = "payload-good"  #: a payload that succeeded
    FAILED = "payload-failed"  #: a payload that failed by itself, was over a limit, or was ended by its owner
    LOST = "payload-lost"  #: a payload that was lost with its node or pilot, or whose end nobody accepted
    PREEMPTED = "preempted"  #: a payload that made room for something else
    VANISHED = "lost"  #: nobody can tell: the pilot vanished and never said


class OrderVerb(str, Enum):
    """What the central can ask of a pilot (`DRAIN` to `SET`) or of an attempt (`KILL`, `PEEK`)."""

    DRAIN = "drain"  #: take no new jobs, finish those that run, end
    HALT = "halt"  #: stop everything now and end
    KILL = "kill"  #: end one attempt
    FLUSH = "flush"  #: push the logs now
    SET = "set"  #: change a setting; the argument is ``name=value``
    PEEK = "peek"  #: show something of an attempt's directory; the argument is a `protocol.Peek` as JSON
