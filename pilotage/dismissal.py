"""Sending pilots home: asked to drain, waited for, halted when it takes too long."""

from __future__ import annotations

from collections.abc import Callable

from pilot.errors import Refusal
from pilot.states import LIVE_PILOT
from pilot.views import PilotView
from pilotage.client import Client
from pilotage.transport import Clock

#: Seconds between two looks, and those that a halted pilot gets to end.
LOOK = 0.3
HALTED = 30.0


def dismiss(client: Client, seconds: float, clock: Clock, say: Callable[[str], None]) -> tuple[PilotView, ...]:
    """Drain every live pilot, give them so many seconds to end, then halt the others; returns those that stay.

    New ones that a director sends meanwhile are drained as well.
    """
    asked: set[tuple[str, bool]] = set()
    end = clock.now() + seconds
    spoken = ""
    while True:
        live = tuple(client.pilots(LIVE_PILOT))
        halting = clock.now() > end
        if not live or clock.now() > end + HALTED:
            return live
        for pilot in live:
            if (pilot.stamp, halting) not in asked:
                asked.add((pilot.stamp, halting))
                _ask(client, pilot.stamp, halting)
        running = sum(pilot.running for pilot in live)
        text = f"{'halting' if halting else 'draining'} {len(live)} pilots, {running} jobs run"
        if text != spoken:
            say(text)
            spoken = text
        clock.sleep(LOOK)


def _ask(client: Client, stamp: str, halting: bool) -> None:
    try:
        (client.halt if halting else client.drain)(stamp, "the central is being stopped")
    except Refusal as refusal:
        if refusal.type != "conflict":  # it has ended meanwhile
            raise
