"""Pilots of a queue with an end, with a real central and its director: what they take, and when they make room."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot.states import JobState, PilotReason
from tests.system import Plan, running_system, wait_for

pytestmark = pytest.mark.integration

#: Answers come soon, and little of the time is kept back.
QUICK = '[queues.settings]\nmatch_wait = "1 s"\nmargin = "5 s"\n'


def test_a_pilot_without_time_for_what_waits_makes_room(tmp_path: Path) -> None:
    """A pilot takes jobs while its time allows, ends when it is too short for all that wait, and a fresh one runs them.

    It does not wait until it counts as idle, and does not touch the job that it could not finish.
    """
    plan = Plan(slots=1, cores=1, wall_time="90 s", idle="600 s", queue=QUICK)
    with running_system(tmp_path / "central", plan) as system, system.client() as client:
        document = {"command": ["sleep", "8"], "needs": {"wall_time": "20 s"}}
        short = client.submit([document] * 3).ids
        client.wait(short, timeout=240)
        first = {attempt.pilot for job in short for attempt in client.attempts(job)}
        assert len(first) == 1
        long = client.submit([{"command": ["true"], "needs": {"wall_time": "70 s"}}]).ids[0]
        client.wait([long], timeout=180)
        assert client.job(long).job.state is JobState.DONE
        [attempt] = client.attempts(long)
        assert attempt.pilot not in first
        ended = wait_for(lambda: client.pilot(next(iter(first))).pilot, 10, "the first pilot")
        assert ended.reason is PilotReason.NO_TIME
        assert "the shortest job that waits needs 70 s" in ended.message
