"""A pilot as stored, for tests that say only what matters to them."""

from __future__ import annotations

from dataclasses import replace

from central.records import PilotRow
from pilot.states import PilotState

STAMP = "ab" * 16


def pilot(stamp: str = STAMP, **fields: object) -> PilotRow:
    """A running pilot of community c at site here, but for what the test names."""
    row = PilotRow(
        stamp=stamp,
        state=PilotState.RUNNING,
        site="here",
        queue="q",
        communities=("c",),
        created=0.0,
        secret_hash="",
        secret_expires=0.0,
        lease=600,
        ends=None,
        key_hash=None,
        instance="",
        epoch=1,
        sequence=0,
        enrolled=1.0,
        last_seen=1.0,
        ended=None,
        reason=None,
        message="",
        exit_code=None,
        reference="",
        alarm="",
        offer=None,
        facts=(),
    )
    return replace(row, **fields)  # type: ignore[arg-type]
