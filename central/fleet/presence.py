"""Who was heard when, and what they said last: kept in memory, written to the store in batches.

Every signed message of a pilot touches its entry; nothing is written for it until the next flush. Times inside are
those of a clock that never steps, and become the database's at the flush.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from central.matching.matcher import Free, alone
from central.records import Beat
from central.store.port import Store
from pilot.errors import Refusal
from pilot.protocol import Fact, Ledger, Offer, Usage
from pilot.states import PilotState

log = logging.getLogger(__name__)

#: Rows of one `store.beat`: enough to make the commit cheap, few enough not to hold up a claim.
BATCH = 1000


@dataclass
class _Heard:
    """One pilot. What `unwritten` lacks is in the store already."""

    seen: float
    state: PilotState | None = None
    free: dict[int, tuple[Offer, Free | None]] = field(default_factory=dict)  # agent → its offer, what is left of it
    usage: dict[tuple[int, int], Usage] = field(default_factory=dict)
    unwritten: _Unwritten | None = None


@dataclass
class _Unwritten:
    beat: tuple[int, int] | None = None  # epoch and sequence of the newest heartbeat
    offer: Offer | None = None
    facts: dict[str, Fact] = field(default_factory=dict)
    usage: dict[tuple[int, int], Usage] = field(default_factory=dict)
    ledger: tuple[int, Ledger] | None = None  # with its epoch

    def add(self, newer: _Unwritten) -> None:
        beats = [beat for beat in (self.beat, newer.beat) if beat is not None]
        self.beat = max(beats, default=None)
        self.offer = newer.offer or self.offer
        self.facts |= newer.facts
        self.usage |= newer.usage
        self.ledger = newer.ledger or self.ledger


@dataclass(frozen=True)
class FreePilot:
    """What one agent of a live pilot has left, by its last offer and what it was given since."""

    stamp: str
    agent: int
    offer: Offer


class Presence:
    """The pilots heard since this central started.

    `clock` gives seconds and never steps. `tell` is told what an agent has left whenever that changes.
    """

    def __init__(self, clock: Callable[[], float], tell: Callable[[str, int, Offer], None] | None = None) -> None:
        self._clock = clock
        self._tell = tell
        self._heard: dict[str, _Heard] = {}

    def touch(
        self,
        stamp: str,
        *,
        epoch: int | None = None,
        sequence: int | None = None,
        state: PilotState | None = None,
        facts: tuple[Fact, ...] = (),
        usage: Mapping[tuple[int, int], Usage] | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """The pilot has said something. `sequence` is of a heartbeat in that epoch; `usage` is of every attempt that
        it holds: (job, attempt) → usage."""
        heard = self._hear(stamp)
        new = self._unwritten(heard)
        if sequence is not None:
            new.beat = max(new.beat or (0, 0), (epoch or 0, sequence))
        if facts:
            new.facts.update((fact.name, fact) for fact in facts)
        if state is not None:
            heard.state = state
        if ledger is not None:
            new.ledger = (epoch or 0, ledger)
        if usage is not None:
            new.usage.update(usage)
            heard.usage = dict(usage)

    def offered(self, stamp: str, agent: int, offer: Offer) -> None:
        """An agent has asked for jobs with this offer."""
        heard = self._hear(stamp)
        heard.free[agent] = (offer, None)
        self._unwritten(heard).offer = offer
        if self._tell is not None:
            self._tell(stamp, agent, offer)

    def granted(self, stamp: str, agent: int, offer: Offer, left: Free) -> None:
        """It was given jobs; so much is left of its offer until it makes the next one."""
        if heard := self._heard.get(stamp):
            heard.free[agent] = (offer, left)
            if self._tell is not None:
                self._tell(stamp, agent, left.left_of(offer))

    def bound(self, stamp: str, community: str) -> None:
        """The pilot serves that community alone: what its agents have left is for no other."""
        for free in self.free(stamp):
            offer, left = self._heard[stamp].free[free.agent]
            self._heard[stamp].free[free.agent] = (alone(offer, community), left)
            if self._tell is not None:
                self._tell(stamp, free.agent, alone(free.offer, community))

    def elsewhere(self, stamp: str, agent: int, left: Offer) -> None:
        """Another central has heard the pilot, writes down that it did, and says what the agent has left."""
        heard = self._heard.get(stamp)
        if heard is None:
            heard = self._heard[stamp] = _Heard(self._clock())
        heard.seen = self._clock()
        heard.free[agent] = (left, None)

    def forget(self, stamp: str) -> None:
        """The pilot is over."""
        self._heard.pop(stamp, None)

    def drop(self, after: float) -> None:
        """Forget pilots not heard for so many seconds: late words of one that was over."""
        now = self._clock()
        for stamp in [stamp for stamp, heard in self._heard.items() if now - heard.seen > after]:
            del self._heard[stamp]

    def age(self, stamp: str) -> float | None:
        """Seconds since it was heard; None: never by this central."""
        heard = self._heard.get(stamp)
        return self._clock() - heard.seen if heard else None

    def silent(self, now: float, after: float = 180.0) -> tuple[str, ...]:
        """The pilots not heard for longer than `after` seconds, of those heard at all. `now` is of the same clock."""
        return tuple(stamp for stamp, heard in self._heard.items() if now - heard.seen > after)

    def state(self, stamp: str) -> PilotState | None:
        """What it last said of itself."""
        heard = self._heard.get(stamp)
        return heard.state if heard else None

    def usage(self, stamp: str) -> Mapping[tuple[int, int], Usage]:
        """What its attempts had used by its last heartbeat."""
        heard = self._heard.get(stamp)
        return heard.usage if heard else {}

    def free(self, stamp: str) -> tuple[FreePilot, ...]:
        """What each of its agents has left; empty when none has made an offer yet."""
        heard = self._heard.get(stamp)
        if heard is None:
            return ()
        return tuple(
            FreePilot(stamp, agent, offer if left is None else left.left_of(offer))
            for agent, (offer, left) in heard.free.items()
        )

    def idle_cores(self, stamps: Sequence[str]) -> int:
        """Cores that these pilots have left."""
        return sum(max(0, free.offer.cores) for stamp in stamps for free in self.free(stamp))

    async def flush(self, store: Store) -> int:
        """Write what was heard since the last time; returns how many pilots. What could not be written is kept."""
        stamps = [stamp for stamp, heard in self._heard.items() if heard.unwritten]
        if not stamps:
            return 0
        to_database = await store.now() - self._clock()
        for start in range(0, len(stamps), BATCH):
            await self._write(store, stamps[start : start + BATCH], to_database)
        return len(stamps)

    async def _write(self, store: Store, stamps: Sequence[str], to_database: float) -> None:
        """Write these. `to_database` turns a time of the clock into the database's."""
        taken: list[tuple[str, _Unwritten]] = []
        beats: list[Beat] = []
        for stamp in stamps:
            heard = self._heard.get(stamp)
            if heard is None or heard.unwritten is None:  # it is over, or another flush has it
                continue
            new, heard.unwritten = heard.unwritten, None
            taken.append((stamp, new))
            epoch, sequence = new.beat or (None, None)
            facts = tuple(new.facts.values())
            of, ledger = new.ledger or (None, None)
            beats.append(
                Beat(
                    stamp,
                    heard.seen + to_database,
                    sequence,
                    new.offer,
                    facts,
                    dict(new.usage),
                    epoch or None,
                    ledger if of == epoch else None,
                )
            )
        try:
            await _write_what_can_be(store, beats)
        except BaseException:  # whatever happened, also a cancellation, the words are not lost
            for stamp, unwritten in taken:
                self._put_back(stamp, unwritten)
            raise

    def _put_back(self, stamp: str, older: _Unwritten) -> None:
        heard = self._heard.get(stamp)
        if heard is None:
            return
        if heard.unwritten is not None:
            older.add(heard.unwritten)
        heard.unwritten = older

    def _hear(self, stamp: str) -> _Heard:
        heard = self._heard.get(stamp)
        if heard is None:
            heard = self._heard[stamp] = _Heard(0.0)
        heard.seen = self._clock()
        return heard

    @staticmethod
    def _unwritten(heard: _Heard) -> _Unwritten:
        """What of it is not in the store yet, to be added to."""
        if heard.unwritten is None:
            heard.unwritten = _Unwritten()
        return heard.unwritten


async def _write_what_can_be(store: Store, beats: Sequence[Beat]) -> None:
    """Write these. What one pilot said that no store keeps is dropped, and nothing of the others: else nobody would be
    seen any more. That it was heard is kept."""
    try:
        await store.beat(beats)
    except Refusal as refusal:
        if refusal.type != "invalid":
            raise
        log.warning("what %d pilots said is written one by one: %s", len(beats), refusal)
        for beat in beats:
            await _write_alone(store, beat)


async def _write_alone(store: Store, beat: Beat) -> None:
    try:
        await store.beat([beat])
    except Refusal as refusal:
        if refusal.type != "invalid":
            raise
        log.warning("what the pilot %s said of itself is dropped: %s", beat.stamp, refusal)
        await store.beat([Beat(beat.stamp, beat.seen)])
