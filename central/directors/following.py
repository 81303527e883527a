"""What a director does in each turn about the pilots that are out, and about what the computing element has besides."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from central.directors.astray import Unlisted, outlived
from central.directors.follow import Action, Step, follow
from central.directors.machines import follow_machine
from central.directors.plan import QueuePlan
from central.directors.submitting import Submitting
from central.directors.tidying import End, Tidying
from central.elements.port import ComputingElement, Listed, Standing
from central.records import PilotRow
from central.store.port import Store
from pilot.states import LIVE_PILOT

log = logging.getLogger(__name__)

#: Characters of the computing element's words about one pilot.
ONE_LINE = 300
#: What is listed twice counts as what goes on most.
_WEIGHT = {Standing.RUNNING: 3, Standing.QUEUED: 2, Standing.UNKNOWN: 1, Standing.ENDED: 0}
_NO_USE = "it was of no use any more: too old, or without a job for too long"

Drain = Callable[[PilotRow, str], Awaitable[None]]


@dataclass
class Turn:
    """What one cycle knows."""

    now: float
    listed: Mapping[str, Listed]  # by stamp
    live: list[PilotRow]
    again: list[PilotRow] = field(default_factory=list)  # of these, those that the computing element does not have
    cancelled: list[str] = field(default_factory=list)  # references
    forgotten: list[Listed] = field(default_factory=list)
    left: list[Listed] = field(default_factory=list)
    foreign: list[Listed] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)

    @property
    def supply(self) -> list[PilotRow]:
        """The pilots that may still work as things are."""
        again = {row.stamp for row in self.again}
        return [row for row in self.live if row.stamp not in again]

    def waits(self) -> tuple[tuple[str, int], ...]:
        """What the computing element says of the live pilots that have not started, the most frequent first."""
        words: Counter[str] = Counter()
        for row in self.live:
            entry = self.listed.get(row.stamp)
            if entry and entry.standing is Standing.QUEUED and row.enrolled is None:
                words[" ".join(entry.why.split())[:ONE_LINE] or "it does not say why"] += 1
        return tuple(words.most_common())


class Following:
    """Follows the pilots of one queue. `drain`: a pilot gets no new jobs and ends; `alarm` is told what a person should
    look at, empty when there is nothing."""

    def __init__(
        self,
        plan: QueuePlan,
        store: Store,
        computing: ComputingElement,
        submitting: Submitting,
        tidying: Tidying,
        drain: Drain,
        alarm: Callable[[str], None],
    ) -> None:
        self.plan = plan
        self.store = store
        self.computing = computing
        self.submitting = submitting
        self.tidying = tidying
        self.drain = drain
        self.alarm = alarm
        self.unlisted = Unlisted()
        self._strange: dict[str, float] = {}  # reference → when a machine that no journal knows was seen first

    async def turn(self, entries: Sequence[Listed], now: float) -> Turn:
        """Act on what each pilot has become, and on what the computing element has that is no live pilot."""
        live = list(await self.store.live_pilots(self.plan.name))
        found = _by_stamp(entries, {row.stamp: row for row in live})
        turn = Turn(now, {stamp: same[0] for stamp, same in found.items()}, live)
        others = sorted(turn.listed.keys() - {row.stamp for row in live})
        known = {row.stamp: row for row in await self.store.find_pilots(others)} if others else {}
        inherited = [row for row in known.values() if self._inherits(row)]
        for row in (*live, *inherited):
            await self._act(row, turn.listed.get(row.stamp), turn)
        over = {end.row.stamp for end in await self.tidying.end(turn.ends)}
        turn.live = [row for row in turn.live if row.stamp not in over]
        for stamp in others:
            if known.get(stamp) not in inherited:
                self._act_on_other(known.get(stamp), turn.listed[stamp], turn)
        if self.plan.machines:
            followed = {row.stamp for row in (*live, *inherited)} - over
            await self._tell_twins_apart(found, followed, turn)
        return turn

    def _inherits(self, row: PilotRow) -> bool:
        """Whether it is of a queue that is not there any more, whose machines its cloud lists here: nobody else follows
        its pilot. Batch systems may list those of other queues, which have directors."""
        return self.plan.machines and row.state in LIVE_PILOT and row.queue != self.plan.name

    async def tidy(self, turn: Turn, entries: Sequence[Listed]) -> None:
        """Take away what is over, and say what will not go."""
        references = {entry.reference for entry in entries}
        self.tidying.listed(turn.listed.keys(), references)
        self._strange = {reference: first for reference, first in self._strange.items() if reference in references}
        await self.tidying.cancel([reference for reference in turn.cancelled if reference], turn.now)
        await self.tidying.clear(turn.forgotten, turn.left, turn.foreign, turn.now)
        self.alarm(self._astray(turn) if self.plan.machines else "")

    def _astray(self, turn: Turn) -> str:
        """What a person should look at; empty: nothing."""
        unlisted = self.unlisted.look(turn.live, turn.listed.keys(), turn.now)
        return self.tidying.removals.overdue(turn.now) or outlived(turn.live, turn.now) or unlisted

    def _decided(self, row: PilotRow | None, entry: Listed | None, now: float) -> Action:
        lag = self.computing.lag
        if not self.plan.machines:
            return follow(row, entry, now, lag, None if row is None else self.submitting.handed_over(row))
        if row is None:
            handed_over = self._strange.setdefault(entry.reference, now) if entry else now
        else:
            handed_over = self.submitting.handed_over(row)
        began = self.submitting.began
        return follow_machine(row, entry, now, lag, handed_over, elastic=self.plan.elastic, began=began)

    async def _act(self, row: PilotRow, entry: Listed | None, turn: Turn) -> None:
        action = self._decided(row, entry, turn.now)
        if action.step is Step.ADOPT and entry:
            await self.store.submitted(row.stamp, entry.reference)
        elif action.step is Step.RESUBMIT:
            turn.again.append(row)
        elif action.step is Step.CANCEL:
            turn.cancelled.append(row.reference or (entry.reference if entry else ""))
        elif action.step is Step.DRAIN:
            log.info("Pilot %s of queue %s drains: %s", row.stamp, row.queue, _NO_USE)
            await self.drain(row, _NO_USE)
        elif action.step is Step.END and action.state and action.reason:
            turn.ends.append(End(row, entry, action.state, action.reason))

    def _act_on_other(self, row: PilotRow | None, entry: Listed, turn: Turn) -> None:
        step = self._decided(row, entry, turn.now).step
        if step is Step.FORGET:
            (turn.forgotten if row else turn.foreign).append(entry)
        elif step is Step.LEAVE:
            turn.left.append(entry)
        elif step is Step.CANCEL:
            why = f"{row.state.value} already" if row else "not in the journal"
            log.warning("Pilot %s is at queue %s but %s: it is ended", entry.stamp, self.plan.name, why)
            turn.cancelled.append(entry.reference)

    async def _tell_twins_apart(self, found: Mapping[str, Sequence[Listed]], live: Collection[str], turn: Turn) -> None:
        """A cloud that started two machines for one stamp: both have its secret, and one has used it. The other is
        ended where the pilot says on which machine it is, and removed when it is off."""
        for stamp, same in found.items():
            if len(same) == 1:
                continue
            on = _machine_of(await self.store.pilot(stamp)) if stamp in live else ""
            if all(one.reference != on for one in same):
                on = ""  # a name that the cloud's interface does not have tells nothing
            for other in same:
                if other.reference == on or (not on and other is same[0]):
                    continue
                if other.standing is Standing.ENDED:
                    turn.foreign.append(other)
                elif on or stamp not in live:
                    turn.cancelled.append(other.reference)


def _by_stamp(entries: Iterable[Listed], live: Mapping[str, PilotRow]) -> dict[str, list[Listed]]:
    """What is listed of each stamp; first what goes on most, and of that what its pilot was submitted as."""
    found: dict[str, list[Listed]] = {}
    for entry in entries:
        found.setdefault(entry.stamp, []).append(entry)
    for stamp, same in found.items():
        if len(same) > 1:
            reference = live[stamp].reference if stamp in live else ""
            same.sort(key=lambda one: (-_WEIGHT[one.standing], one.reference != reference))
    return found


def _machine_of(row: PilotRow) -> str:
    """The cloud's own name of the machine that a pilot says it is on; empty where it does not."""
    return next((str(fact.value) for fact in row.facts if fact.name == "instance" and fact.value), "")
