"""Sending pilots home: asked to drain, waited for, halted when it takes too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pilot.errors import Refusal
from pilot.states import LIVE_PILOT
from pilot.views import PilotView
from pilotage import words
from pilotage.client import Client
from pilotage.transport import Clock

#: Seconds between two looks; those that a halted pilot gets to end; and those for one that a director sent meanwhile.
LOOK = 0.3
HALTED = 30.0
NEWCOMERS = 5.0


def dismiss(client: Client, seconds: float, clock: Clock, say: Callable[[str], None]) -> tuple[PilotView, ...]:
    """Drain every live pilot, give them so many seconds to end, then halt the others; returns those that stay.

    While jobs wait, directors send new pilots. These are drained as well, but not waited for without end.
    """
    asked: set[tuple[str, bool]] = set()
    end = clock.now() + seconds
    waited_for: set[str] = set()
    over = spoken = None
    while True:
        live = tuple(client.pilots(LIVE_PILOT))
        waited_for = waited_for or {pilot.stamp for pilot in live}
        if over is None and waited_for.isdisjoint(pilot.stamp for pilot in live):
            over = clock.now()
        halting = clock.now() > end
        if not live or clock.now() > end + HALTED or (over is not None and clock.now() > over + NEWCOMERS):
            return live
        for pilot in live:
            if (pilot.stamp, halting) not in asked:
                asked.add((pilot.stamp, halting))
                _ask(client, pilot.stamp, halting)
        told = _told(live, halting)
        if told != spoken:
            say(told)
            spoken = told
        clock.sleep(LOOK)


def _told(live: Sequence[PilotView], halting: bool) -> str:
    running = sum(pilot.running for pilot in live)
    verb = "halting" if halting else "draining"
    return f"{verb} {words.plural(len(live), 'pilot')} with {words.plural(running, 'job')} running"


def _ask(client: Client, stamp: str, halting: bool) -> None:
    try:
        (client.halt if halting else client.drain)(stamp, "the central is being stopped")
    except Refusal as refusal:
        if refusal.type != "conflict":  # it has ended meanwhile
            raise
