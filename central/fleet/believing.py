"""What a pilot says of itself, as far as it can be so."""

from __future__ import annotations

import logging

from central.records import PilotRow
from pilot.jobneeds import MAX_CORES
from pilot.ledger import problem
from pilot.protocol import Ledger

log = logging.getLogger(__name__)

#: Seconds by which a pilot may be older than the central knows: a vacuum pilot runs before anybody hears of it.
HEAD_START = 3600.0


def sound(row: PilotRow, ledger: Ledger | None, now: float) -> Ledger | None:
    """The ledger, or None for one that cannot be: it would spoil every sum. `now` is the database's time."""
    if ledger is None or not ledger.lifetime:
        return None
    why = _too_much(row, ledger, now) or problem(ledger, row.communities)
    if why:
        log.warning("The ledger of a pilot cannot be: %s", why, extra={"fields": {"pilot": row.stamp}})
        return None
    return ledger


def _too_much(row: PilotRow, ledger: Ledger, now: float) -> str:
    if ledger.cores > MAX_CORES:
        return f"expected at most {MAX_CORES} cores, got {ledger.cores}"
    age = now - row.created + HEAD_START
    if ledger.lifetime > age * 1_000_000:
        return f"expected a life of at most {age:.0f} s, got {ledger.lifetime / 1_000_000:.0f} s"
    return ""
