"""The rows of pilots that speak, remembered for a few seconds: what the store changes is noticed as fast."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from central.records import PilotRow
from central.store.port import Store
from central.trust.seal import PilotToken
from pilot.errors import Refusal
from pilot.states import LIVE_PILOT

#: Seconds for which a row is believed.
FRESH = 3.0
_KEPT = 50_000


def resumed_elsewhere(row: PilotRow, token: PilotToken) -> Refusal:
    """What a monitor hears that another has taken the place of."""
    detail = "the pilot has resumed elsewhere since this token was given"
    return Refusal("superseded", detail, expected=str(row.epoch), got=str(token.epoch))


@dataclass
class _Entry:
    row: PilotRow
    read: float
    epoch: int = 0
    sequence: int = 0  # of the newest heartbeat of that epoch


class Roster:
    """Tells what is known of a pilot, and whether what it says is old. `clock` gives seconds and never steps."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def row(self, stamp: str, *, fresh: bool = False) -> PilotRow:
        """A pilot's row, at most a few seconds old. Raises ``not-found``."""
        entry = self._entries.get(stamp)
        if fresh or entry is None or self._clock() - entry.read > FRESH:
            return self.put(await self._store.pilot(stamp))
        return entry.row

    def put(self, row: PilotRow) -> PilotRow:
        """A row that was just read or changed."""
        entry = self._entries.get(row.stamp)
        if entry is None:
            entry = self._entries[row.stamp] = _Entry(row, self._clock(), row.epoch, row.sequence)
            if len(self._entries) > _KEPT:
                self._entries.popitem(last=False)
        entry.row, entry.read = row, self._clock()
        if row.epoch > entry.epoch:
            entry.epoch, entry.sequence = row.epoch, row.sequence
        elif row.epoch == entry.epoch:  # another central may have heard more
            entry.sequence = max(entry.sequence, row.sequence)
        self._entries.move_to_end(row.stamp)
        return row

    def known(self, stamp: str) -> PilotRow | None:
        """The row of a pilot as it was last read, if it has spoken here; however old."""
        entry = self._entries.get(stamp)
        return entry.row if entry else None

    def stale(self, stamp: str) -> None:
        """Something has changed the pilot: read it again the next time."""
        if entry := self._entries.get(stamp):
            entry.read = float("-inf")

    def all_stale(self) -> None:
        """Anything may have changed: read every row again the next time."""
        for entry in self._entries.values():
            entry.read = float("-inf")

    async def speaking(self, token: PilotToken) -> PilotRow:
        """The row of a pilot that may go on. Raises ``revoked`` when it is over, ``superseded`` by a newer epoch."""
        row = await self.row(token.stamp)
        if token.epoch > row.epoch:  # it has resumed, at another central
            row = await self.row(token.stamp, fresh=True)
        if row.state not in LIVE_PILOT:
            why = f" ({row.reason.value})" if row.reason else ""
            raise Refusal("revoked", f"pilot {row.stamp} is {row.state.value}{why} as far as the central knows")
        if token.epoch < row.epoch:
            raise resumed_elsewhere(row, token)
        return row

    def heard(self, stamp: str, sequence: int) -> None:
        """Take a heartbeat's number. Raises ``replayed`` when a newer one was heard; the same again is answered."""
        entry = self._entries[stamp]
        if sequence < entry.sequence:
            raise Refusal(
                "replayed",
                f"heartbeat {sequence} is older than one that was answered",
                expected=str(entry.sequence + 1),
                got=str(sequence),
            )
        entry.sequence = sequence

    @property
    def size(self) -> int:
        """How many pilots have spoken lately."""
        return len(self._entries)

    def forget(self, stamp: str) -> None:
        self._entries.pop(stamp, None)
