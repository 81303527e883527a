"""Gives waiting jobs to pilots that ask: chooses in memory, claims in the store, and holds requests that nothing fits.

A choice is reserved at once, and put right with what the claim really won. Requests of one agent are worked on one
after another. What is claimed for a client that has gone stays leased until the pilot's heartbeat shows that it never
saw the answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from central.clock import Clock, Timer
from central.dispatching.binding import Binding
from central.dispatching.doubting import Doubts
from central.dispatching.held import Answer, Held, HeldRequests
from central.dispatching.intake import Intake
from central.explanations.explain import nothing_for
from central.fleet.presence import Presence
from central.matching.choosing import Chooser
from central.matching.limits import RETRY, Limits
from central.matching.matcher import fits
from central.matching.remaining import least_time
from central.matching.reservations import Reservations
from central.matching.shares import Standings
from central.matching.task_queues import Choice, TaskQueues
from central.records import Claim, PilotRow, Requeued, Waiting
from central.store.port import Store
from pilot.errors import Refusal
from pilot.protocol import MatchRequest, NoMatch
from pilot.states import PilotState

#: Seconds that a request is held at most, whatever it asks for; half a lease is the other bound.
MAX_WAIT = 60.0
#: Seconds until a pilot asks again, about: when its request was not held, and when it will get nothing anyway.
POLL = 10.0
BARRED = 60.0
#: Claims that one request may lose in a row; each puts a count right.
ROUNDS = 10
#: Different needs that are looked at for the nearest miss.
LOOKED_AT = 100
#: Seconds until jobs that could not be claimed because the store was in trouble are offered to others.
RECOVERY = 2.0
#: Seconds after which a queue without jobs, and an agent that has not asked, are forgotten.
EMPTY_FOR = 600.0
UNUSED_FOR = 3600.0

_DETAIL: dict[str, str] = {
    "draining": "the pilot takes no new jobs",
    "banned": "the pilot may have no jobs until somebody has looked at its alarm",
    "superseded": "a newer request of the same agent has taken this one's place",
}


@dataclass(eq=False)
class _Seat:
    """One agent: its newest request, and what that is doing."""

    epoch: int
    number: int = 0
    ask_store: bool = True  # the number may have been answered before
    leaving: bool = False  # it drains
    used: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    held: Held | None = None
    claim: asyncio.Task[Answer | None] | None = None


class Dispatcher:
    """Answers match requests. `jitter` gives numbers from 0 to 1, so that pilots do not all ask again at once.

    Without `standings` all shares are equal. Limits are the store's, see `refresh_use`; `together`: see `Binding`.
    """

    def __init__(
        self,
        store: Store,
        presence: Presence,
        clock: Clock,
        max_held: int,
        jitter: Callable[[], float] = random.random,
        standings: Standings | None = None,
        together: Callable[[str], bool] = lambda queue: False,
    ) -> None:
        self.standings = standings or Standings()
        self.limits = Limits()
        self.reservations = Reservations()
        self.queues = TaskQueues(self.standings, self.limits)
        self._store = store
        self._presence = presence
        self._clock = clock
        self._max_held = max_held
        self._jitter = jitter
        self._chooser = Chooser(self.queues, self.reservations, clock)
        self._held = HeldRequests(self.queues, self._chooser, clock)
        self._binding = Binding(store, self.queues, self._held, presence, together)
        self._doubts = Doubts(store, self._held, clock, jitter, self._later)
        self._seats: dict[tuple[str, int], _Seat] = {}
        self._intake = Intake(store, self.queues, self._held)
        self._closed = False
        self._retry: Timer | None = None  # when a full limit may be tried again

    # -- life -------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Read what waits."""
        await self._intake.load()

    async def refresh(self) -> None:
        """Read all counts anew: corrects what drifted, and finds what other centrals added."""
        await self._intake.load()

    async def refresh_use(self) -> None:
        """Read what has been used and how full the limits are: every few seconds, for what other centrals gave too."""
        self.standings.asking()
        consumed = await self._store.consumed(self.standings.half_life)
        self.standings.load(consumed, self._clock.now())
        if self.limits.load(await self._store.limits(), self._clock.now()):
            self._held.serve_all()
        self._await_limits()

    def tidy(self) -> None:
        """Forget queues that have long been empty, and agents that have long not asked."""
        now = self._clock.now()
        self.queues.prune(now, EMPTY_FOR)
        self._chooser.look_around()
        for (stamp, agent), seat in list(self._seats.items()):
            if now - seat.used > UNUSED_FOR and not seat.lock.locked():
                del self._seats[stamp, agent]
                self.reservations.forget(stamp, (agent,))
        self._binding.tidy({stamp for stamp, _ in self._seats})

    def close(self) -> None:
        """Answer everybody who waits; hold nobody from now on."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._held.end_all(self._busy("the central is stopping"))

    # -- what others tell -------------------------------------------------------------------------------------------
    def jobs_added(self, added: Sequence[Waiting]) -> None:
        """Jobs were submitted, released, or given another priority."""
        self._intake.added(added)

    def jobs_removed(self, removed: Sequence[Requeued]) -> None:
        """Jobs that waited were killed or held, or left one priority for another."""
        self._intake.removed(removed)

    def jobs_requeued(self, requeued: Sequence[Requeued]) -> None:
        """Attempts ended, and their jobs wait again."""
        self._intake.requeued(requeued)
        if requeued:
            self.attempts_ended()

    def attempts_ended(self) -> None:
        """Attempts ended, so that full limits may have room again."""
        self.limits.ended(self._clock.now())
        self._await_limits()

    def attempts_ended_on(self, site: str, host: str) -> None:
        """Attempts ended on a machine, which may be trusted again, or be tried with another job."""
        if host:
            self._held.stir(site, host)

    def draining(self, stamp: str) -> None:
        """The pilot takes no new jobs, or is over: answer what it has asked."""
        mine = [(agent, seat) for (known, agent), seat in self._seats.items() if known == stamp]
        for _, seat in mine:
            seat.leaving = True
        self.reservations.forget(stamp, (agent for agent, _ in mine))
        for held in self._held.of(stamp):
            held.end(self._barred("draining"))

    def moved(self, stamp: str) -> None:
        """The pilot is not what it was: it started anew, say. What it asked before is not worth a claim any more."""
        for held in self._held.of(stamp):
            held.end(self._barred("superseded"))

    def idle_cores(self, stamps: Sequence[str]) -> int:
        """Cores that these pilots have left, may use now, and that some waiting job could use; others are no supply."""
        barred = self._held.barred()
        free = [free.offer for stamp in stamps if stamp not in barred for free in self._presence.free(stamp)]
        return sum(max(0, offer.cores) for offer in free if self.queues.any_fits(offer))

    # -- a request --------------------------------------------------------------------------------------------------
    async def match(self, pilot: PilotRow, request: MatchRequest) -> Answer:
        """Give jobs that fit the offer, at once or within the seconds that the request may wait.

        `pilot` is its row, seconds old at most: site, queue and communities are taken from there, whatever the offer
        says, but that it may leave out communities. Raises ``busy`` when too many requests wait already. When it is
        cancelled nothing is lost.
        """
        seat = self._seat(pilot, request)
        if seat is None:
            return self._barred("superseded")
        if pilot.state is PilotState.DRAINING or seat.leaving:
            return self._barred("draining")
        if pilot.alarm:
            return self._barred("banned")
        async with seat.lock:
            if seat.claim is not None and not seat.claim.done():  # of a request whose client has gone
                await asyncio.wait({seat.claim})
            if request.number < seat.number:
                return self._barred("superseded")
            asked, seat.ask_store = seat.ask_store, False
            if asked and (before := await self._before(pilot, request)):
                return before
            return await self._serve(seat, pilot, request, asked)

    def _seat(self, pilot: PilotRow, request: MatchRequest) -> _Seat | None:
        """The agent's seat, with this as its newest request; None when a newer one was heard."""
        key = (pilot.stamp, request.agent)
        seat = self._seats.get(key)
        if seat is None or seat.epoch < pilot.epoch:
            if seat is not None and seat.held is not None:
                seat.held.end(self._barred("superseded"))
            seat = self._seats[key] = _Seat(pilot.epoch)
        if pilot.epoch < seat.epoch or request.number < seat.number:
            return None
        seat.ask_store = seat.ask_store or request.number == seat.number
        seat.number = request.number
        seat.used = self._clock.now()
        if seat.held is not None:
            waits = bool(self.queues.samples(seat.held.offer.communities, 1))
            seat.held.end(self._barred("superseded")._replace(waits=waits))
        return seat

    async def _before(self, pilot: PilotRow, request: MatchRequest) -> Answer | None:
        """What this number was answered with before, here or by another central; None: nothing yet."""
        before = await self._store.answered(pilot.stamp, request.agent, request.number)
        if before is None:
            return None
        return Answer(before) if before else self._barred("superseded")

    async def _serve(self, seat: _Seat, pilot: PilotRow, request: MatchRequest, asked: bool) -> Answer:
        """Claim what fits, or wait for it. `asked`: the store was asked whether it knows the number."""
        offer = self._binding.placed(request.offer, pilot)
        self._presence.offered(pilot.stamp, request.agent, offer)
        deadline = self._clock.now() + max(0.0, min(request.wait, MAX_WAIT, pilot.lease / 2))
        due = self._binding.is_due(offer, pilot)
        held = seat.held = Held(pilot.stamp, request.agent, offer, request.most, deadline, pilot.host, due)
        self.reservations.offered(pilot.stamp, request.agent, pilot.epoch, held.free)
        try:
            if pilot.suspect and (answer := await self._settled(seat, pilot, request, held)):
                return answer
            choice = self._chooser.choose(held)
            for _ in range(ROUNDS):
                if not choice.picks and not asked:
                    # A claim finds out by itself whether another central has answered this number; who waits does not.
                    asked = True
                    if before := await self._before(pilot, request):
                        return before
                    choice = self._chooser.choose(held, tries=False)  # what has come meanwhile woke nobody
                    continue
                if not choice.picks:
                    held.passed = choice
                    outcome = await self._hold(seat, request.number, held)
                    if isinstance(outcome, Answer):
                        return outcome
                    choice = outcome
                if answer := await self._claim(seat, request, held, choice):
                    return answer
                if held.barred and (answer := await self._settled(seat, pilot, request, held)):
                    return answer
                choice = self._chooser.choose(held, tries=False)
            self._held.give_back(choice)
            return self._nothing(held)
        finally:
            seat.held = None
            self._held.leave(held)

    async def _settled(self, seat: _Seat, pilot: PilotRow, request: MatchRequest, held: Held) -> Answer | None:
        """Wait until a machine on which jobs fail may have one; the answer when it may not in time, or has."""
        if before := await self._before(pilot, request):
            return before

        def hold(seconds: float, after: Callable[[], Choice | Answer]) -> Awaitable[Choice | Answer]:
            return self._hold(seat, request.number, held, after, seconds)

        return await self._doubts.settled(held, request.most, hold)

    async def _hold(
        self,
        seat: _Seat,
        number: int,
        held: Held,
        otherwise: Callable[[], Choice | Answer] | None = None,
        seconds: float = MAX_WAIT,
    ) -> Choice | Answer:
        """Let it wait, for so many seconds at most; `otherwise` is what it gets then, in place of nothing."""
        left = held.deadline - self._clock.now()
        if seat.leaving:
            return self._barred("draining")
        if number < seat.number or self._seats.get((held.stamp, held.agent)) is not seat:
            return self._barred("superseded")  # a newer one came while the store was asked, and must not wait for this
        if left <= 0:
            return otherwise() if otherwise else self._nothing(held)
        if self._closed:
            raise self._busy("the central is stopping")
        if len(self._held) - held.barred >= self._max_held:
            raise self._busy(f"{self._max_held:,} match requests wait already")
        if self._retry is None:
            self._await_limits()
        return await self._held.wait(held, min(left, seconds), otherwise or (lambda: self._nothing(held, waited=True)))

    # -- a claim ----------------------------------------------------------------------------------------------------
    async def _claim(self, seat: _Seat, request: MatchRequest, held: Held, choice: Choice) -> Answer | None:
        """Claim what was chosen; None when others had all of it. Goes on to its end when the request is cancelled."""
        seat.claim = asyncio.create_task(self._claimed(seat.epoch, request, held, choice))
        return await asyncio.shield(seat.claim)

    async def _claimed(self, epoch: int, request: MatchRequest, held: Held, choice: Choice) -> Answer | None:
        try:
            if held.due and not (choice := await self._binding.bind(held, choice)).picks:
                return None
            claim = await self._store.claim(held.stamp, request.agent, request.number, choice.picks, epoch)
        except BaseException:  # also when it is cancelled: what was reserved waits still
            self.queues.settle(choice, None)
            # Not at once: the next would run into the same trouble, and so on through all that wait.
            self._clock.later(RECOVERY, self._held.serve_all)
            raise
        if claim.reason is not None and not claim.leases:
            self._held.give_back(choice)
            return await self._refused(held, claim)
        picked = {pick.queue for pick in choice.picks}
        if any(lease.queue not in picked for lease in claim.leases):
            self._held.give_back(choice)  # another central had answered this number
        else:
            if self.queues.settle(choice, claim.leases, claim.limited, cut=claim.reason is not None):
                self._held.serve_all()
            if claim.limited:
                self._await_limits()
        if not claim.leases:
            return None
        free = held.free.copy()
        for lease in claim.leases:
            free.take(lease.spec.needs, lease.cores, 1)
        self._presence.granted(held.stamp, request.agent, held.offer, free)
        if held.due:
            self._binding.keep(held, claim.leases[0].community)
        return Answer(claim.leases)

    # -- empty answers ----------------------------------------------------------------------------------------------
    def _nothing(self, held: Held, *, waited: bool = False) -> Answer:
        again = self._jitter() if waited else self._about(POLL)
        if full := self._full(held):
            return Answer((), "limit", f"what fits has to wait: {', '.join(full)} is full", again)
        kept = self.reservations.at(held.stamp, held.agent, self._clock.now())
        waiting = self.queues.samples(held.offer.communities, LOOKED_AT)
        reason, detail = nothing_for(held.offer, waiting)
        return Answer((), reason, f"{kept}; {detail}" if kept else detail, again, least_time(held.offer, waiting))

    def _full(self, held: Held) -> tuple[str, ...]:
        """The full limits that kept the last choice for it from a job that fits."""
        if held.passed is None or not held.passed.limited:
            return ()
        for task in self.queues.samples(held.offer.communities, LOOKED_AT):
            if fits(task, held.offer) and (names := self.queues.closed(task, held.offer)):
                return names
        return ("a limit on what runs",)

    async def _refused(self, held: Held, claim: Claim) -> Answer | None:
        """The answer; None where it may get jobs yet: others, or later."""
        held.barred = claim.reason == "suspect"
        if claim.reason == "bound":
            await self._binding.look(held)
        if claim.reason in ("suspect", "bound"):
            return None
        if claim.reason == "superseded":
            return self._barred("superseded")
        return self._barred("draining" if claim.reason == "draining" else "banned")

    def _later(self, seconds: float) -> float:
        """When to ask again of what is over in so many seconds."""
        return max(0.0, seconds) + self._jitter() * POLL

    def _barred(self, reason: NoMatch) -> Answer:
        return Answer((), reason, _DETAIL[reason], 0.0 if reason == "superseded" else self._about(BARRED))

    def _busy(self, why: str) -> Refusal:
        return Refusal("busy", f"{why}; ask again later", retry_after=self._about(POLL))

    def _about(self, seconds: float) -> float:
        return seconds * (0.5 + self._jitter())

    def _await_limits(self) -> None:
        """Serve those who wait when a full limit may be tried again."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        due = self.limits.next_due()
        if due is not None and not self._closed:
            self._retry = self._clock.later(max(0.0, due - self._clock.now()), self._try_limits)

    def _try_limits(self) -> None:
        self._retry = None
        self._held.serve_all()
        if self.limits.next_due() is not None and len(self._held):
            self._retry = self._clock.later(RETRY, self._try_limits)
