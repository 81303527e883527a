"""When a machine is suspect because jobs fail on it fast, one after another, and when it may be tried again.

A black hole empties a queue faster than good nodes work. Fast failures of ten jobs in a row, of at least two owners or
all of them faults of the node, make a machine suspect. It gets nothing until a pause is over, then one job at a time:
each that fails doubles the pause, one that succeeds ends the suspicion. A job that has failed there before proves
nothing by failing again: it counts once, and is not what a machine is tried with while another waits. Pure, and the
same for every store: a store keeps a `HostRow` for each machine on which something failed, and counts the attempts that
are out there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from central.records import Suspicion
from pilot.states import Outcome

#: Seconds from the lease to the end of an attempt below which its failure is fast.
FAST = 60.0
#: Fast failures in a row that make a machine suspect.
STREAK = 10
#: Seconds without a job: at first, and at most.
FIRST_PAUSE = 60.0
LONGEST_PAUSE = 3600.0

#: The ends that may be the machine's doing. Others (killed, lost, preempted, a limit) say nothing about it.
FAILURES = frozenset({Outcome.PAYLOAD_ERROR, Outcome.INPUT_ERROR, Outcome.NODE_FAULT, Outcome.OUTPUT_ERROR})


@dataclass(frozen=True)
class HostRow:
    """What is kept of one (site, host), from the first fast failure until a success."""

    failures: int  # jobs in a row that failed fast, and under suspicion every one that was to try the machine
    faults: int  # of the last of them, how many in a row were node-fault
    owner: str  # of the first of them, see `whose`
    several: bool  # another owner's job failed as well
    since: float  # of the first of them
    suspected: float | None = None  # since when it is suspect
    pause: float = 0.0  # seconds, the present one
    next: float = 0.0  # no job before this time


def whose(community: str, owner: str) -> str:
    """How an owner is told from others: names are given by each community."""
    return f"{community}/{owner}"


def concerns(row: HostRow | None, outcome: Outcome, seconds: float) -> bool:
    """Whether `after_end` could change anything, so that a store need not ask who owned the job."""
    if outcome is Outcome.SUCCESS:
        return row is not None
    return outcome in FAILURES and (seconds < FAST or (row is not None and row.suspected is not None))


def after_end(
    row: HostRow | None, outcome: Outcome, seconds: float, owner: str, now: float, *, again: bool
) -> HostRow | None:
    """The row after an attempt ended there so, so many seconds after it was leased; None: keep none.

    `again`: an earlier attempt of the same job failed on the same machine.
    """
    if not concerns(row, outcome, seconds):
        return row
    if outcome is Outcome.SUCCESS:
        return None
    if again:
        return row
    if row is None:
        row = HostRow(0, 0, owner, several=False, since=now)
    if row.suspected is None:
        return _judged(_counted(row, outcome, owner), now)
    if now - seconds <= row.suspected:  # leased before: no trial, and it must not double the pause
        return row
    pause = min(2 * row.pause, LONGEST_PAUSE)
    return replace(_counted(row, outcome, owner), pause=pause, next=now + pause)


def _counted(row: HostRow, outcome: Outcome, owner: str) -> HostRow:
    return replace(
        row,
        failures=row.failures + 1,
        faults=row.faults + 1 if outcome is Outcome.NODE_FAULT else 0,
        several=row.several or owner != row.owner,
    )


def _judged(row: HostRow, now: float) -> HostRow:
    """One owner's broken program fails anywhere: it takes two owners, or the word of the pilot, to blame a machine."""
    if (row.failures >= STREAK and row.several) or row.faults >= STREAK:
        return replace(row, suspected=now, pause=FIRST_PAUSE, next=now + FIRST_PAUSE)
    return row


def may_claim(row: HostRow | None, now: float, out: int) -> bool:
    """Whether a pilot on the machine may have a job (one alone, see `at_most`) while `out` attempts are there that
    were leased after `suspected`."""
    return row is None or row.suspected is None or (now >= row.next and out == 0)


def at_most(row: HostRow | None, wanted: int) -> int:
    """How many jobs a claim may be given that `may_claim`."""
    return wanted if row is None or row.suspected is None else min(wanted, 1)


def suspicion(row: HostRow | None, out: int) -> Suspicion | None:
    """What people and the matcher see of it. `out` as for `may_claim`."""
    if row is None or row.suspected is None:
        return None
    return Suspicion(row.failures, row.since, row.suspected, row.next, trying=out > 0)
