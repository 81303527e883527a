"""Machines of a private network: they reach the central by a router's address, and nobody reaches them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pilot.states import Outcome, PilotReason, PilotState
from tests.integration.cloud_network import inside
from tests.real.guest_nat import GUESTS, OUTSIDE, nat
from tests.real.guest_network import Cable
from tests.real.guest_scene import IMAGES, LITTLE
from tests.real.guest_system import guesthouse
from tests.system import Plan, wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not IMAGES, reason="what this needs is set up by the lane nspawn"),
]


def test_a_machine_behind_a_router_that_forgets(tmp_path: Path) -> None:
    """Its router drops connections that are silent for three seconds, without a word to either end, as one does that is
    overloaded: while the pilot waits for work, while its jobs run. Each job ends once, and the machine goes."""
    plan = Plan(idle="90 s", lease="5 min", beat="8 s", silent_after="60 s")
    with (
        nat(remembers=3) as network,
        guesthouse(tmp_path, cloud=f'networks = ["{network.guests}"]', plan=plan, reached_at=OUTSIDE) as house,
        house.system.client() as client,
    ):
        cable = Cable(network.outside, house.system.port, OUTSIDE)
        try:
            first = client.submit({"command": ["true"], "needs": LITTLE}).ids
            client.wait(first, timeout=240)
            with inside(network.outside), pytest.raises(OSError, match="unreachable"):
                socket.create_connection((GUESTS, 22), 5)
            before = cable.connections
            # The pilot waits for work by now, on a connection that its router forgets.
            wait_for(lambda: cable.connections > before, 120, "a connection to be made anew", house.told)
            jobs = client.submit([{"command": ["sleep", "10"], "needs": LITTLE}] * 4).ids
            client.wait(jobs, timeout=300)
            outcomes = [[attempt.outcome for attempt in client.attempts(job)] for job in (*first, *jobs)]
            assert outcomes == [[Outcome.SUCCESS]] * 5
            [pilot] = house.all_gone(client, patience=180)
            assert (pilot.state, pilot.reason) == (PilotState.DONE, PilotReason.IDLE)
        finally:
            cable.close()
