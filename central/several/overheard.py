"""What another central has said, done here: counts, orders, rows, streams and events as if it had happened here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from central.records import Requeued
from central.several.gossip import (
    Added,
    Admitted,
    Again,
    Decided,
    Followed,
    Free,
    Grown,
    Heard,
    JobSeen,
    JobsSeen,
    Ordered,
    Over,
    PilotMoved,
    PilotSeen,
    Placed,
    Returned,
    SetAnew,
    Spent,
    Taken,
    Word,
    unpack,
)
from pilot.errors import PilotageError

if TYPE_CHECKING:
    from central.app import Central

log = logging.getLogger(__name__)

#: Seconds after which everything is read anew, whatever was heard, and at least between two such readings.
EVERY = 60.0
PAUSE = 3.0
#: Seconds by which a word about jobs may be older than it says.
MARGIN = 1.0
#: Pilots whose orders are read one by one; with more of them all are read at once.
ONE_BY_ONE = 50
#: Jobs that one word can take away.
MOST_TAKEN = 100_000
W = TypeVar("W", bound=Word)


class Overheard:
    """Listens for one central."""

    def __init__(self, central: Central) -> None:
        self._central = central
        self._again = asyncio.Event()  # everything is to be read anew
        self._read_at = float("-inf")  # by the database's time, when that was done last
        self._ordered: set[str] = set()  # pilots whose orders are to be read
        self._orders = asyncio.Event()
        self._placed = asyncio.Event()  # sites and queues are others
        self._admitted = asyncio.Event()  # people and their tokens are others

    def hear(self, message: str | None) -> None:
        """Called by the store, with None when words may have been missed."""
        heard = None if message is None else unpack(message)
        if heard is None:
            self._missed()
        elif heard.sender != self._central.gossip.sender:
            self._take(heard)

    def _missed(self) -> None:
        central = self._central
        central.roster.all_stale()
        central.logs.all_stale()
        central.hub.missed()
        self._again.set()

    def _take(self, heard: Heard) -> None:
        words = heard.words
        if any(isinstance(word, Again) for word in words):
            self._missed()
        self._jobs(heard)
        overs = _of(words, Over)
        if overs:
            self._central.dispatcher.attempts_ended()
        for over in overs:
            if row := self._central.roster.known(over.stamp):
                self._central.dispatcher.attempts_ended_on(row.site, row.host)
            self._central.orders.attempt_ended(over.stamp, over.job, over.attempt)
            self._central.inputs.forget(over.job, over.attempt)
        for ordered in _of(words, Ordered):
            self._ordered.add(ordered.stamp)
            self._orders.set()
        if _of(words, Placed):
            self._placed.set()
        if _of(words, Admitted):
            self._admitted.set()
        for moved in _of(words, PilotMoved):
            self._pilot(moved)
        for word in words:
            self._show(heard.sender, word)

    def _jobs(self, heard: Heard) -> None:
        """Counts that are too high cost a claim, counts that are too low a wait: what may have been read is not
        subtracted again."""
        dispatcher = self._central.dispatcher
        if added := [word.waiting for word in _of(heard.words, Added)]:
            dispatcher.jobs_added(added)
        if returned := [word.job for word in _of(heard.words, Returned)]:
            dispatcher.jobs_requeued(returned)
        if heard.at - MARGIN <= self._read_at:
            return
        for taken in _of(heard.words, Taken):
            dispatcher.jobs_removed([Requeued(taken.queue, 0, taken.priority)] * min(taken.count, MOST_TAKEN))

    def _pilot(self, moved: PilotMoved) -> None:
        central = self._central
        central.roster.stale(moved.stamp)
        if moved.now == "changed":
            central.dispatcher.moved(moved.stamp)
        else:
            central.dispatcher.draining(moved.stamp)
        if moved.now == "over":
            central.orders.forget(moved.stamp)
            central.presence.forget(moved.stamp)

    def _show(self, sender: str, word: Word) -> None:
        """What people see, and pilots hear."""
        central = self._central
        if isinstance(word, JobSeen | JobsSeen | PilotSeen):
            central.hub.hear(word.communities, word.event)
        elif isinstance(word, Free):
            central.presence.elsewhere(word.stamp, word.agent, word.offer)
        elif isinstance(word, Decided):
            central.decisions[word.queue] = word
        elif isinstance(word, SetAnew):
            central.lately.changed(word.community, word.owner, word.name, word.version)
        elif isinstance(word, Spent):
            central.rates.hear(word)
        elif isinstance(word, Grown):
            central.logs.grown(word.stamp, word.stream)
        elif isinstance(word, Followed) and central.elsewhere:
            central.elsewhere.hear(sender, word)

    # -- reading anew -----------------------------------------------------------------------------------------------
    async def read_anew(self) -> None:
        """Find out whatever was not heard."""
        await self._central.dispatcher.refresh()
        self._read_at = self._central.wall()
        await self._central.orders.start()
        await self._central.look_at_places()
        await self._central.look_at_people()

    async def places(self) -> None:
        """Take up what others did to sites and queues, for as long as the central lives."""
        while True:
            await self._placed.wait()
            self._placed.clear()
            if not await _tried(self._central.look_at_places()):
                self._again.set()

    async def people(self) -> None:
        """Take up what others did to memberships and tokens, for as long as the central lives."""
        while True:
            await self._admitted.wait()
            self._admitted.clear()
            if not await _tried(self._central.look_at_people()):
                self._again.set()

    async def refresh(self) -> None:
        """Read everything anew when words were missed, and now and then, for as long as the central lives."""
        while True:
            try:
                await asyncio.wait_for(self._again.wait(), EVERY)
            except TimeoutError:
                pass
            self._again.clear()
            if not await _tried(self.read_anew()):
                self._again.set()
            await self._central.clock.sleep(PAUSE)

    async def orders(self) -> None:
        """Read the orders of pilots that others have given some, for as long as the central lives."""
        while True:
            await self._orders.wait()
            self._orders.clear()
            stamps, self._ordered = self._ordered, set()
            if not await _tried(self._read_orders(stamps)):
                self._again.set()

    async def _read_orders(self, stamps: Collection[str]) -> None:
        if len(stamps) > ONE_BY_ONE:
            await self._central.orders.start()
            return
        for stamp in stamps:
            await self._central.orders.reload(stamp)


async def _tried(work: Coroutine[Any, Any, None]) -> bool:
    """Do something; False when the store could not, for a reason that passes."""
    try:
        await work
    except (PilotageError, OSError) as error:
        log.warning("What other centrals did could not be read; it is tried again: %s", error)
        return False
    return True


def _of(words: Sequence[Word], kind: type[W]) -> list[W]:
    return [word for word in words if isinstance(word, kind)]
