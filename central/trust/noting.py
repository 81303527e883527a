"""What a central notes in its audit: what people did, at once; what was refused, within bounds.

Whoever is refused again and again must not fill the disk: of one caller, and of all together, so many lines are written
in a minute, and then one that says how many more there were.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from central.clock import Clock
from central.records import Identity, Note
from central.store.port import Store
from central.trust.rules import Caller, PayloadCaller, PilotCaller, TicketCaller, community_of
from pilot.errors import PilotageError

log = logging.getLogger(__name__)
#: Seconds that the bounds are for, lines of one caller in them, and of all.
SPAN, OF_ONE, OF_ALL = 60.0, 10, 120
#: Characters kept of each text.
MAX_NAME, MAX_DETAIL = 200, 500
#: Lines that wait to be written; what is more is counted.
WAITING = 2000
#: Seconds between writing them.
INTERVAL = 1.0
#: Refusals that are noted. The others are of everyday life: a job that does not fit, a name mistyped.
NOTED = frozenset(
    {
        *("unauthorized", "forbidden", "bad-signature", "clock-skew", "replayed", "revoked"),
        *("secret-used", "secret-expired", "not-yours"),
    }
)


class Bounds:
    """How many lines a caller may cause. Pure; `passed` says what was left out in the span that is over."""

    def __init__(self) -> None:
        self._since = float("-inf")
        self._lines: Counter[str] = Counter()
        self._over: Counter[str] = Counter()
        self._all = 0

    def allow(self, caller: str) -> bool:
        """Whether one more line is written of this caller."""
        if self._lines[caller] < OF_ONE and self._all < OF_ALL:
            self._lines[caller] += 1
            self._all += 1
            return True
        # Callers without a line are counted together, so that this stays small whoever comes.
        self._over[caller if self._lines[caller] else ""] += 1
        return False

    def passed(self, now: float) -> dict[str, int]:
        """Where a span is over: caller → lines that were left out (empty: of others). The next span begins."""
        if now - self._since < SPAN:
            return {}
        over = dict(self._over)
        self._since, self._all = now, 0
        self._lines.clear()
        self._over.clear()
        return over


class Noting:
    """The audit as the rest of the central writes to it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._bounds = Bounds()
        self._waiting: list[Note] = []

    async def note(self, *notes: Note) -> None:
        """Write lines; they are durable when this returns."""
        await self._store.note([clean(note) for note in notes])

    def refused(self, caller: Caller, address: str, request: str, type: str, sentence: str) -> None:
        """Somebody was refused something. It is written within a second, if the bounds allow."""
        if type not in NOTED:
            return
        who = name_of(caller) or _network(address)
        community = (community_of(caller) or "") if isinstance(caller, Identity) else ""
        detail = f"{type}: {sentence}" + (f" (from {address})" if address else "")
        self.bounded(Note(who, "refused", community, "", request, detail=detail))

    def bounded(self, note: Note) -> None:
        """The same for anything that a stranger, or a pilot, can cause as often as it likes."""
        if len(self._waiting) < WAITING and self._bounds.allow(note.who):
            self._waiting.append(clean(note))

    async def flush(self) -> None:
        """Write what waits."""
        for who, more in self._bounds.passed(self._clock.now()).items():
            detail = f"{more} more lines in a minute"
            self._waiting.append(clean(Note(who or "others", "audit.omitted", "", "", "", detail=detail)))
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            await self._store.note(waiting)
        except (PilotageError, OSError):
            self._waiting = [*waiting, *self._waiting][:WAITING]
            raise

    async def follow(self) -> None:
        """Write what waits, for as long as the central lives."""
        while True:
            await self._clock.sleep(INTERVAL)
            try:
                await self.flush()
            except (PilotageError, OSError) as error:
                log.warning("What was refused could not be noted: %s; it is tried again", error)


def name_of(caller: Caller) -> str:
    """Whom the audit names; empty: nobody that is known."""
    if isinstance(caller, Identity):
        return caller.user
    if isinstance(caller, PilotCaller):
        return f"pilot {caller.token.stamp}"
    if isinstance(caller, PayloadCaller):
        return f"payload {caller.token.job}.{caller.token.attempt}"
    if isinstance(caller, TicketCaller):
        return f"ticket {caller.token.stamp}"
    return ""


def of_communities(communities: Sequence[str]) -> str:
    """Whose matter something is that serves these: where there are several, the operators' alone."""
    return communities[0] if len(communities) == 1 else ""


def clean(note: Note) -> Note:
    """A line without what would end it, move the cursor of its reader, or fill the disk."""
    return replace(
        note,
        who=_text(note.who, MAX_NAME),
        subject=_text(note.subject, MAX_NAME),
        detail=_text(note.detail, MAX_DETAIL),
    )


def _text(text: str, most: int) -> str:
    line = " ".join(text[: 4 * most].split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _network(address: str) -> str:
    """A stranger's address: of IPv6 what one customer has, so that nobody is many."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "nobody"
    if found.version == 6:
        return f"nobody at {ipaddress.ip_network((found, 64), strict=False).network_address}/64"
    return f"nobody at {address}"
