"""What a pilot says of itself, as far as it can be so."""

from __future__ import annotations

import logging

from central.records import PilotRow
from pilot.ledger import problem
from pilot.protocol import Ledger

log = logging.getLogger(__name__)


def sound(row: PilotRow, ledger: Ledger | None) -> Ledger | None:
    """The ledger, or None for one in which the law of ledgers does not hold: it would spoil every sum."""
    if ledger is None or not ledger.lifetime:
        return None
    why = problem(ledger, row.communities)
    if why:
        log.warning("The ledger of a pilot cannot be: %s", why, extra={"fields": {"pilot": row.stamp}})
        return None
    return ledger
