"""What the verbs of a store decide, and the sentences with which they say why."""

from __future__ import annotations

import itertools

import pytest

from central.records import Requeued, TaskQueue
from central.store.decide import (
    MAX_REASON,
    VERBS,
    Standing,
    check_job,
    check_pilot,
    end_of,
    gathered,
    left_behind,
    verb_problem,
    verdict,
)
from pilot.errors import Refusal
from pilot.protocol import AttemptReport, Needs
from pilot.states import (
    BLAMELESS,
    BLAMELESS_BOUND,
    JOB_TRANSITIONS,
    PILOT_TRANSITIONS,
    JobState,
    Outcome,
    Phase,
    PilotReason,
    PilotState,
)


def end(outcome: Outcome, **fields: object) -> AttemptReport:
    return AttemptReport(Phase.ENDED, outcome, **fields)  # type: ignore[arg-type]


def test_only_moves_of_the_table_pass() -> None:
    """Every change of state that the tables do not have is refused as a conflict that names both states."""
    for old, new in itertools.product(JobState, repeat=2):
        if new in JOB_TRANSITIONS[old]:
            check_job(7, old, new)
        else:
            with pytest.raises(Refusal, match=f"Job 7 is {old.value} and cannot become {new.value}"):
                check_job(7, old, new)
    for before, after in itertools.product(PilotState, repeat=2):
        if after in PILOT_TRANSITIONS[before]:
            check_pilot("stamp", before, after)
        else:
            with pytest.raises(Refusal, match=f"is {before.value} and cannot become {after.value}"):
                check_pilot("stamp", before, after)


def test_verbs_agree_with_the_table() -> None:
    """A verb is for just those states from which the table lets it go where it leads."""
    for verb, target in (("kill", JobState.KILLED), ("release", JobState.WAITING)):
        able = {state for state in JobState if target in JOB_TRANSITIONS[state]}
        assert VERBS[verb] <= able, verb  # type: ignore[index]
    for state in JobState:
        assert bool(verb_problem("hold", state)) == (state not in VERBS["hold"])
    assert verb_problem("release", JobState.DONE) == "cannot release a job that is done: expected one that is held"


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (end(Outcome.PAYLOAD_ERROR, exit_code=3), "attempt 2 ended as payload-error (exit code 3); "),
        (end(Outcome.PAYLOAD_ERROR, signal=11), "attempt 2 ended as payload-error (signal 11); "),
        (
            end(Outcome.LIMIT_EXCEEDED, limit="memory", signal=9),
            "attempt 2 ended as limit-exceeded (memory, signal 9); ",
        ),
        (end(Outcome.NODE_FAULT, message="the disk died."), "attempt 2 ended as node-fault: the disk died; "),
    ],
)
def test_a_reason_says_how_it_ended(report: AttemptReport, sentence: str) -> None:
    """The sentence begins with the attempt, its outcome and what is known of it."""
    assert report.outcome is not None
    assert verdict(Standing(2, 5, 1, 0), report.outcome, report).reason.startswith(sentence)


@pytest.mark.parametrize(
    ("outcome", "standing", "state", "then"),
    [
        (Outcome.PAYLOAD_ERROR, Standing(2, 3, 1, 0), JobState.WAITING, "it waits for retry 2 of 3"),
        (Outcome.PAYLOAD_ERROR, Standing(4, 3, 3, 0), JobState.FAILED, "all 3 retries are used"),
        (Outcome.PAYLOAD_ERROR, Standing(1, 0, 0, 0), JobState.FAILED, "no retries were asked for"),
        (
            Outcome.PAYLOAD_ERROR,
            Standing(2, 0, 0, 0),
            JobState.FAILED,
            "no retries were asked for, and what was given back or lost before was none",
        ),
        (Outcome.LOST, Standing(1, 0, 0, 0), JobState.WAITING, "it waits again, uncharged (1 of at most 10 times)"),
        (Outcome.KILLED, Standing(1, 3, 0, 0), JobState.KILLED, "it was killed"),
    ],
)
def test_a_reason_says_what_follows(outcome: Outcome, standing: Standing, state: JobState, then: str) -> None:
    """The sentence ends with what becomes of the job."""
    decided = verdict(standing, outcome, end(outcome))
    assert decided.state is state
    assert decided.reason.endswith(f"; {then}")


def test_success_needs_no_reason() -> None:
    """A job that is done says nothing."""
    assert verdict(Standing(1, 0, 0, 0), Outcome.SUCCESS, end(Outcome.SUCCESS)).reason == ""


def test_a_long_message_is_cut() -> None:
    """What a payload prints does not fill the table of jobs, and what follows is still said."""
    decided = verdict(Standing(1, 0, 0, 0), Outcome.PAYLOAD_ERROR, end(Outcome.PAYLOAD_ERROR, message="x" * 100_000))
    assert len(decided.reason) < MAX_REASON + 100
    assert decided.reason.endswith("no retries were asked for")


def test_counters() -> None:
    """A retry counts as used when it is taken; a blameless end counts always, and touches no retry."""
    assert verdict(Standing(1, 1, 0, 3), Outcome.PAYLOAD_ERROR, end(Outcome.PAYLOAD_ERROR)).retries_used == 1
    assert verdict(Standing(2, 1, 1, 3), Outcome.PAYLOAD_ERROR, end(Outcome.PAYLOAD_ERROR)).retries_used == 1
    for outcome in BLAMELESS:
        decided = verdict(Standing(1, 1, 0, BLAMELESS_BOUND), outcome, end(outcome))
        assert (decided.state, decided.retries_used, decided.blameless_ends) == (JobState.HELD, 0, BLAMELESS_BOUND + 1)


def test_how_pilots_end() -> None:
    """A fault makes a pilot failed; who is wanted back preempts what it held, all else is the node's."""
    assert end_of(PilotReason.UNFIT) is PilotState.FAILED
    assert end_of(PilotReason.SIGNAL) is PilotState.DONE
    assert left_behind(PilotReason.SIGNAL, "").outcome is Outcome.PREEMPTED
    assert left_behind(PilotReason.HALTED, "").outcome is Outcome.PREEMPTED
    assert left_behind(PilotReason.AGENT_DIED, "").outcome is Outcome.NODE_FAULT
    assert left_behind(None, "").outcome is Outcome.NODE_FAULT


def test_jobs_are_gathered_by_queue() -> None:
    """Single jobs become one row a queue, with counts by priority and the oldest."""
    queues = {number: TaskQueue(number, "atlas", "physics", "ada", Needs(cores=number)) for number in (1, 2)}
    rows = gathered(queues, [Requeued(1, 9, 5), Requeued(2, 8, 5), Requeued(1, 7, 5), Requeued(1, 11, 9)])
    assert [(row.queue.id, row.counts, row.oldest) for row in rows] == [(1, {5: 2, 9: 1}, 7), (2, {5: 1}, 8)]
