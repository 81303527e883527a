"""The loop that a pilot is for: offer what is free, take jobs that fit, start them, wait until something changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from commands.asking import Answer, Asking, Pace, shape
from commands.context import Context
from commands.registry import command
from pilot.errors import PilotageError
from pilot.halting import STATIC, halts_in
from pilot.protocol import Lease, Offer
from pilot.states import PilotReason

#: With less time than this no job is asked for: staging alone may take as long.
LEAST_TIME = 10  # seconds
#: Longest sleep of the loop; it shows the monitor that the loop turns.
TURN = 5.0  # seconds
#: How long the answer of a request that is out may hold up the end.
LAST_ANSWER = 5.0  # seconds


@command(needs=["slots"], timeout=None)
def run_jobs(context: Context) -> Context:
    """Run jobs until told to stop, out of time, or idle for too long. Says why in the context's reason."""
    asking = Asking(context.central, context.computing.wake)
    pace = Pace()
    busy, ran = context.clock.now(), False  # when something last ran on the machine, and here at the last turn
    filled = False  # whether it ever got a job
    newest: Optional[Answer] = None
    while True:
        context.central.tick()
        now = context.clock.now()
        for answer in asking.take():
            started = _start(context, answer.reply.leases)
            pace = pace.answered(answer, now, context.random(), started)
            newest, filled = answer, filled or started > 0
        offer = context.computing.offer()
        # After the offer: a core that a fault has freed is not offered before the fault is known.
        pace = pace.seen(context.computing.faults(), now, context.random())
        runs = context.computing.running() > 0
        if runs or ran or context.computing.busy_beside():
            busy = now  # an agent that ends beside others frees nothing: the machine stays for them
        ran = runs
        # The steady clock of Linux counts from the machine's start, as does whoever is paid for it.
        idle = halts_in(context.halting, context.settings.idle, up=now, idle=now - busy, running=runs)
        ending = _ending(context, offer, idle, asking.pending())
        if ending is None and _may_be_late(context, filled) and not runs and not asking.pending():
            ending = _too_late(offer, newest)
        if ending is not None:
            return _finish(context, asking, *ending)
        if offer.cores and _enough_time(offer) and idle > 0 and pace.may_ask(offer, asking.pending(), now):
            asking.ask(offer, max(0.0, min(context.settings.match_wait, idle)), now)
            pace = pace.asking(offer, now)
        context.computing.wait(min(TURN, max(0.05, idle), pace.next_turn(asking.pending(), now)))


def _ending(context: Context, offer: Offer, idle: float, pending: bool) -> Optional[tuple[PilotReason, str]]:
    """Why no further job is to be started, None while jobs may be."""
    stopping = context.computing.stopping()
    if stopping is not None:
        return stopping
    if isinstance(offer.seconds_left, int) and offer.seconds_left <= 0:
        message = "the pilot's time is up"
        margin = context.settings.margin
        context.computing.stop(PilotReason.NO_TIME, message, margin / 2, margin / 3)
        return PilotReason.NO_TIME, message
    if context.computing.running():
        return None
    if not _enough_time(offer):
        return PilotReason.NO_TIME, f"{offer.seconds_left} s are left, too few for any job"
    if idle <= -LAST_ANSWER or (idle <= 0 and not pending):
        return PilotReason.IDLE, context.halting.why(context.settings.idle)
    return None


def _may_be_late(context: Context, filled: bool) -> bool:
    """Whether it may end before its time is up: one that has had jobs, since where the first is too long already, the
    next pilot would be as short of time; and none that is there for all its time.
    """
    return filled and context.halting.policy != STATIC


def _too_late(offer: Offer, newest: Optional[Answer]) -> Optional[tuple[PilotReason, str]]:
    """Whether the time that is left is too short for every job that would fit otherwise, by the newest answer."""
    least = newest.reply.least_time if newest is not None and shape(newest.offer) == shape(offer) else None
    left = offer.seconds_left
    if least is None or not isinstance(left, int) or left >= least:
        return None
    return PilotReason.NO_TIME, f"{left} s are left, and the shortest job that waits needs {least} s"


def _enough_time(offer: Offer) -> bool:
    return not isinstance(offer.seconds_left, int) or offer.seconds_left >= LEAST_TIME


def _start(context: Context, leases: Sequence[Lease]) -> int:
    """Start what was leased; what cannot be started goes back. Returns how many were started."""
    started = 0
    for lease in leases:
        stopping = context.computing.stopping()
        try:
            if stopping is not None:
                raise PilotageError(f"the pilot starts no new job: {stopping[1]}")
            context.computing.start(lease)
            started += 1
        except PilotageError as problem:
            context.say(f"job {lease.job} goes back to the queue: {problem}")
            context.central.release([lease], str(problem))
    return started


def _finish(context: Context, asking: Asking, reason: PilotReason, message: str) -> Context:
    """Wait until the last attempt has ended, and give back what is leased in the meantime."""
    context.say(f"no new jobs: {message}")
    patience = context.clock.now() + LAST_ANSWER
    while True:
        context.central.tick()
        late = [lease for answer in asking.take() for lease in answer.reply.leases]
        if late:
            context.central.release(late, message)
        waiting = asking.pending() and context.clock.now() < patience
        if not context.computing.running() and not waiting:
            # A stop may have come after a drain: the later word is the one that ended it.
            reason, message = context.computing.stopping() or (reason, message)
            return context.evolve(reason=reason, message=message)
        context.computing.wait(TURN if context.computing.running() else 0.2)
