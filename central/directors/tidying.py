"""What a director does about pilots that are over: their last words and exit codes are kept, and what the computing
element still has of them is cleared away."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from central.directors.plan import QueuePlan
from central.directors.removals import Removals
from central.elements.port import ComputingElement, ComputingError, Listed
from central.records import Ended, PilotRow
from central.store.port import Store
from pilot.states import PilotReason, PilotState

log = logging.getLogger(__name__)

#: Characters of a dead pilot's output kept as the reason.
LAST_WORDS = 2000
#: What stands before them in the message of a pilot.
WORDS_ARE = "; its last words: "
#: Pilots closed, and pilots cleared away, in one turn: each takes a call or two, and the turn is to end.
MOST = 200
#: Turns in which the output of a pilot could not be fetched, until it is cleared away without.
TRIES = 3

Over = Callable[[PilotRow, PilotState, PilotReason, Sequence[Ended]], None]
Keep = Callable[[str, bytes], Awaitable[None]]


@dataclass(frozen=True)
class End:
    """A pilot that is to be closed, and what the computing element lists of it."""

    row: PilotRow
    entry: Listed | None
    state: PilotState
    reason: PilotReason


class Tidying:
    """The ends of one queue's pilots. `over` is told of every pilot that is closed here, `keep` gets what a pilot
    printed, with how it ended."""

    def __init__(self, plan: QueuePlan, store: Store, computing: ComputingElement, over: Over, keep: Keep) -> None:
        self.plan = plan
        self.store = store
        self.computing = computing
        self.over = over
        self.keep = keep
        self._kept: set[str] = set()  # stamps whose output has been fetched
        self._tries: Counter[str] = Counter()
        self.removals = Removals()

    async def end(self, ends: Sequence[End]) -> Sequence[End]:
        """Close pilots with what is known of their ends, up to `MOST` of them. Returns those that were closed."""
        some = ends[:MOST]
        closed = await asyncio.gather(*map(self._end, some))
        return [end for end, is_closed in zip(some, closed, strict=True) if is_closed]

    async def _end(self, end: End) -> bool:
        row, entry = end.row, end.entry
        words = await self._output(row.stamp, row.reference, entry) if row.reference or entry else "none"
        if await self._has_spoken(row):
            return False
        how = _told(entry) or "no exit code"
        await self.close(row, end.state, end.reason, f"{end.reason.value}, {how}{WORDS_ARE}{words or 'none'}")
        return True

    async def _has_spoken(self, row: PilotRow) -> bool:
        """Whether it has been heard of since it was judged: what it printed may take a minute to be had."""
        now = await self.store.pilot(row.stamp)
        return (now.enrolled, now.last_seen) != (row.enrolled, row.last_seen)

    async def close(self, row: PilotRow, state: PilotState, reason: PilotReason, message: str) -> None:
        """Close a pilot, for the reason in the message."""
        log.warning("Pilot %s of queue %s is %s: %s", row.stamp, self.plan.name, state.value, message)
        self.over(row, state, reason, await self.store.end_pilot(row.stamp, state, reason, message))
        why = f"{state.value}: {message.partition(WORDS_ARE)[0]}"
        await self.store.note((self.plan.line("pilot.end", row.stamp, why),))

    async def cancel(self, references: Sequence[str], now: float) -> None:
        """End submissions at the computing element, up to `MOST` of them."""
        references = self.removals.turn(references, MOST, now)
        if not references:
            return
        try:
            failures = await self.computing.cancel(references)
        except ComputingError as error:
            failures = dict.fromkeys(references, error)
        for reference, failure in failures.items():
            self.removals.refused(reference, str(failure))
        for words in {str(failure) for failure in failures.values()}:
            log.warning("queue %s: %s", self.plan.name, words)

    async def clear(
        self, forgotten: Sequence[Listed], left: Sequence[Listed], foreign: Sequence[Listed], now: float
    ) -> None:
        """Keep what ended pilots printed; take all but those that are `left` away from the computing element, up to
        `MOST` of them. The `foreign` ones are in no journal: of these nothing is kept."""
        left = [entry for entry in left if entry.stamp not in self._kept]
        some = set(self.removals.turn((entry.reference for entry in (*forgotten, *foreign)), MOST, now))
        await asyncio.gather(
            *map(self._fetch, left[:MOST]),
            *(self._forget(entry) for entry in forgotten if entry.reference in some),
            *(self._remove(entry) for entry in foreign if entry.reference in some),
        )

    def listed(self, stamps: Collection[str], references: Collection[str]) -> None:
        """These are all that the computing element has: nothing needs to be known of others."""
        self._kept.intersection_update(stamps)
        self.removals.listed(references)
        for stamp in self._tries.keys() - stamps:
            del self._tries[stamp]

    async def _forget(self, entry: Listed) -> None:
        await self._fetch(entry)
        if entry.stamp not in self._kept and self._tries[entry.stamp] < TRIES:
            return
        await self._remove(entry)

    async def _remove(self, entry: Listed) -> None:
        try:
            await self.computing.forget(entry.stamp, entry.reference)
        except ComputingError as error:
            self.removals.refused(entry.reference, str(error))
            log.warning("queue %s: pilot %s is not cleared away: %s", self.plan.name, entry.stamp, error)

    async def _fetch(self, entry: Listed) -> None:
        if entry.stamp not in self._kept:
            await self._output(entry.stamp, entry.reference, entry)

    async def _output(self, stamp: str, reference: str, entry: Listed | None) -> str:
        """Fetch what a pilot printed, and have it kept. The end of it, or why it could not be had."""
        try:
            output = await self.computing.output(stamp, reference or (entry.reference if entry else ""))
        except ComputingError as error:
            self._tries[stamp] += 1
            log.warning("queue %s: what pilot %s printed cannot be had: %s", self.plan.name, stamp, error)
            return f"they cannot be had: {error}"
        self._kept.add(stamp)
        how = _told(entry)
        await self.keep(stamp, output + (f"\n[{how}, says the computing element]\n".encode() if how else b""))
        head, newline, rest = output.decode("utf-8", "replace").strip().partition("\n")
        greeted = newline and head.startswith(f"pilot {stamp} on ")  # which says nothing of its end
        return (rest if greeted else f"{head}{newline}{rest}")[-LAST_WORDS:]


def _told(entry: Listed | None) -> str:
    """What the computing element says of an end."""
    if entry is None:
        return ""
    code = "" if entry.exit_code is None else f"exit code {entry.exit_code}"
    return ", ".join(filter(None, (code, entry.why)))
