"""What machines cost, from a queue's price to a person's table: a real central, its director, and a real pilot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pilot.states import PilotState
from tests.system import Plan, System, running_system, wait_for

pytestmark = pytest.mark.integration


def cost(system: System, *words: str) -> subprocess.CompletedProcess[str]:
    """`pilotage cost`, typed by the person of the folder."""
    command = [sys.executable, "-m", "pilotage", "cost", "--folder", str(system.folder), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_pilot_costs_what_its_queue_says(tmp_path: Path) -> None:
    """A pilot of a queue with a price costs that price for its life, as a table and as JSON: more while it lives, and
    at the end what it lived for; its community sees it."""
    plan = Plan(idle="2 s", queue='price = "3600 EUR"')  # one euro a second
    with running_system(tmp_path / "central", plan) as system, system.client() as client:
        done = client.submit([{"command": ["sleep", "1"], "needs": {"cores": 2}}])
        client.wait(done.ids, timeout=90)
        wait_for(lambda: list(client.pilots([PilotState.DONE])), 60, "the pilot to have come and gone", system.log)
        (pilot,) = client.pilots([PilotState.DONE])
        assert pilot.enrolled is not None
        assert pilot.ended is not None
        (row,) = client.cost(("community", "queue")).rows
        assert (row.keys, row.currency, row.pilots) == (("physics", "local"), "EUR", 1)
        assert row.seconds == pytest.approx(pilot.ended - pilot.enrolled)
        assert row.cost == pytest.approx(row.seconds)
        assert 0.1 < row.good < row.cost
        told = cost(system, "--by", "community,day")
        assert told.returncode == 0, told.stderr
        assert told.stdout.split()[:6] == ["COMMUNITY", "DAY", "PILOTS", "HOURS", "COST", "GOOD"]
        assert "of it for payloads that succeeded" in told.stderr
        page = json.loads(cost(system, "--by", "pilot", "--json").stdout)
        assert [each["keys"] for each in page["rows"]] == [[pilot.stamp]]
        assert page["unpriced"] == 0
