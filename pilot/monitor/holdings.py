"""What the pilot holds: answered match requests, leases and how far they are, what must be acknowledged.

The next heartbeat is composed from here. Every method may be called from any thread and takes no time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Callable, Optional

from pilot.protocol import (
    Acknowledgement,
    CredentialVersions,
    Fact,
    HeartbeatReply,
    HeartbeatRequest,
    Lease,
    LeaseReport,
    Order,
    Spool,
    Usage,
)
from pilot.states import PHASE_ORDER, Phase, PilotState

Attempt = tuple[int, int]  # job and attempt


@dataclass(frozen=True)
class Heard:
    """What a heartbeat's reply asks for."""

    gone: tuple[Attempt, ...]
    orders: tuple[Order, ...]
    followed: tuple[str, ...]
    next_beat: float
    credentials: tuple[CredentialVersions, ...] = ()  # set anew lately


class Numbers:
    """The match requests of one agent: which are open, and up to which all answers have been seen."""

    def __init__(self) -> None:
        self.last = 0
        self.asking: set[int] = set()  # on their way now
        self.idle: set[int] = set()  # given up for now, never answered: to be asked again under the same number
        self.handed: dict[int, tuple[Lease, ...]] = {}  # answered, not yet confirmed by the agent

    def take(self) -> int:
        """The number of the next request: one that was never answered, else a new one."""
        if self.idle:
            number = min(self.idle)
            self.idle.discard(number)
        else:
            self.last += 1
            number = self.last
        self.asking.add(number)
        return number

    @property
    def through(self) -> int:
        """Every answer up to this one has been seen."""
        return min([self.last + 1, *self.asking, *self.idle, *self.handed]) - 1


class Holdings:
    """One pilot's. `changed` is called, outside the lock, when the next heartbeat should not wait."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.changed = changed
        self._lock = threading.Lock()
        self._numbers: dict[int, Numbers] = {}  # by agent
        self._leases: dict[Attempt, LeaseReport] = {}
        self._holders: dict[Attempt, int] = {}  # which agent has the lease
        self._facts: tuple[Fact, ...] = ()
        self._acknowledgements: list[Acknowledgement] = []
        self._state = PilotState.RUNNING
        self._told = PilotState.RUNNING  # the state that the central has heard

    # -- match requests ---------------------------------------------------------------------------------------------

    def ask(self, agent: int) -> int:
        """The number for a match request that is about to be sent."""
        with self._lock:
            return self._numbers.setdefault(agent, Numbers()).take()

    def give_up(self, agent: int, number: int) -> None:
        """No answer for now; the same number will be asked again."""
        with self._lock:
            numbers = self._numbers[agent]
            numbers.asking.discard(number)
            numbers.idle.add(number)

    def hand(self, agent: int, number: int, leases: Sequence[Lease]) -> None:
        """The answer is there, and about to be handed to the agent."""
        with self._lock:
            numbers = self._numbers[agent]
            numbers.asking.discard(number)
            numbers.handed[number] = tuple(leases)

    def got(self, agent: int, number: int) -> tuple[Lease, ...]:
        """The agent has the answer: its leases are held from now on. Returns them."""
        with self._lock:
            numbers = self._numbers.get(agent)
            leases = numbers.handed.pop(number, ()) if numbers else ()
            for lease in leases:
                self._leases[lease.job, lease.attempt] = LeaseReport(lease.job, lease.attempt)
                self._holders[lease.job, lease.attempt] = agent
        if leases:
            self.changed()
        return leases

    def settle(self, agent: int, number: int) -> tuple[Lease, ...]:
        """The number is over without anybody having its leases. Returns those that somebody must release."""
        with self._lock:
            numbers = self._numbers[agent]
            numbers.asking.discard(number)
            return numbers.handed.pop(number, ())

    def unseen(self, agent: Optional[int] = None) -> tuple[Lease, ...]:
        """The agent has gone, or all have: leases that it never had, which are forgotten and are to be released."""
        with self._lock:
            leases: list[Lease] = []
            for numbers in [one for number, one in self._numbers.items() if agent in (None, number)]:
                for found in numbers.handed.values():
                    leases += found
                numbers.handed.clear()
        return tuple(leases)

    # -- leases -----------------------------------------------------------------------------------------------------

    def progress(self, reports: Iterable[LeaseReport]) -> None:
        """How far the leases are, as the agent says."""
        hurry = False
        with self._lock:
            for report in reports:
                known = self._leases.get((report.job, report.attempt))
                if known is not None and PHASE_ORDER[report.phase] >= PHASE_ORDER[known.phase]:
                    hurry = hurry or report.phase != known.phase
                    self._leases[report.job, report.attempt] = report
        if hurry:
            self.changed()

    def advance(self, job: int, attempt: int, phase: Phase, usage: Optional[Usage] = None) -> None:
        """A report of that phase is being delivered."""
        with self._lock:
            known = self._leases.get((job, attempt))
            if known is None or PHASE_ORDER[phase] <= PHASE_ORDER[known.phase]:
                return
            self._leases[job, attempt] = replace(known, phase=phase, usage=usage or known.usage)
        self.changed()

    def drop(self, job: int, attempt: int) -> Optional[LeaseReport]:
        """The lease is over: its end was accepted, or it was given back or lost. Returns what it was."""
        with self._lock:
            self._holders.pop((job, attempt), None)
            return self._leases.pop((job, attempt), None)

    def running(self, agent: Optional[int] = None) -> tuple[LeaseReport, ...]:
        """The leases of that agent, without one of any, whose end is not being reported yet."""
        with self._lock:
            return tuple(
                lease
                for attempt, lease in self._leases.items()
                if lease.phase is not Phase.ENDED and agent in (None, self._holders.get(attempt))
            )

    def holder(self, job: int, attempt: int) -> Optional[int]:
        """The agent that has the lease; None when none has."""
        with self._lock:
            return self._holders.get((job, attempt))

    def busy(self) -> frozenset[int]:
        """The agents that have leases whose end is not being reported yet."""
        with self._lock:
            live = (attempt for attempt, lease in self._leases.items() if lease.phase is not Phase.ENDED)
            return frozenset(self._holders[attempt] for attempt in live if attempt in self._holders)

    # -- the rest of a heartbeat --------------------------------------------------------------------------------------

    def drain(self) -> None:
        """From now on the pilot takes no new jobs, and says so."""
        with self._lock:
            known, self._state = self._state, PilotState.DRAINING
        if known is not PilotState.DRAINING:
            self.changed()

    @property
    def draining(self) -> bool:
        with self._lock:
            return self._state is PilotState.DRAINING

    @property
    def known_draining(self) -> bool:
        """Whether the central has heard that the pilot takes no new jobs."""
        with self._lock:
            return self._told is PilotState.DRAINING

    def found(self, facts: Iterable[Fact]) -> None:
        """Facts about the node, told once."""
        self.note(facts)
        self.changed()

    def note(self, facts: Iterable[Fact]) -> None:
        """Facts that the next heartbeat takes along, whenever that is. Of each the newest word is told."""
        newest = tuple(facts)
        names = {fact.name for fact in newest}
        with self._lock:
            self._facts = (*(fact for fact in self._facts if fact.name not in names), *newest)

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Said in every heartbeat until one was answered."""
        with self._lock:
            if acknowledgement not in self._acknowledgements:
                self._acknowledgements.append(acknowledgement)
        self.changed()

    @property
    def unsaid(self) -> bool:
        """Whether an acknowledgement has not reached the central yet."""
        with self._lock:
            return bool(self._acknowledgements)

    def compose(self, epoch: int, sequence: int, spool: Spool) -> HeartbeatRequest:
        """What there is to say now."""
        with self._lock:
            return HeartbeatRequest(
                epoch=epoch,
                sequence=sequence,
                state=self._state,
                matched_through={str(agent): numbers.through for agent, numbers in self._numbers.items()},
                leases=tuple(self._leases.values()),
                facts=self._facts,
                spool=spool,
                acknowledgements=tuple(self._acknowledgements),
            )

    def answered(self, request: HeartbeatRequest, reply: HeartbeatReply) -> Heard:
        """Take over the reply to a heartbeat. Of leases that are gone, those that still ran are told."""
        with self._lock:
            said = request.acknowledgements
            self._told = request.state
            self._acknowledgements = [one for one in self._acknowledgements if one not in said]
            self._facts = tuple(fact for fact in self._facts if fact not in request.facts)
            listed = {(lease.job, lease.attempt) for lease in request.leases}
            gone = []
            for renewal in reply.leases:
                attempt = (renewal.job, renewal.attempt)
                if renewal.seconds <= 0 and attempt in listed:
                    lease = self._leases.get(attempt)
                    # The end of an attempt that has ended is accepted or refused by the answer to its report.
                    if lease is not None and lease.phase is not Phase.ENDED:
                        del self._leases[attempt]
                        self._holders.pop(attempt, None)
                        gone.append(attempt)
        return Heard(tuple(gone), reply.orders, reply.followed, reply.next_beat, reply.credentials)
