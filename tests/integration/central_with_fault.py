"""``python -m central`` that stops or dies, once, at the worst moment: as PILOTAGE_TEST_FAULT says.

``dies-after-claim``: killed when jobs have been leased and nobody was told. ``stops-after-plan``: stopped, until it is
told to continue, when a pilot has been planned and not yet submitted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from central.__main__ import main
from central.records import Claim, NewPilot, Pick
from central.store.postgres import PostgresStore

FAULT = os.environ["PILOTAGE_TEST_FAULT"]
claim, plan_pilot = PostgresStore.claim, PostgresStore.plan_pilot


async def claims_and_dies(
    self: PostgresStore, stamp: str, agent: int, request: int, picks: Sequence[Pick], epoch: int | None = None
) -> Claim:
    claimed = await claim(self, stamp, agent, request, picks, epoch)
    if claimed.leases:
        os.kill(os.getpid(), signal.SIGKILL)
    return claimed


async def plans_and_stops(self: PostgresStore, pilot: NewPilot) -> None:
    await plan_pilot(self, pilot)
    os.kill(os.getpid(), signal.SIGSTOP)


if FAULT == "dies-after-claim":
    PostgresStore.claim = claims_and_dies  # type: ignore[method-assign]
else:
    PostgresStore.plan_pilot = plans_and_stops  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(main())
