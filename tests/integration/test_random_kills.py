"""Random kills: whatever is killed or stopped, in whatever order, every job ends exactly once, and is accounted for.

The schedule is drawn with a seed, which a failure names; PILOTAGE_TEST_SEED draws another one.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pilot.states import BLAMELESS, JobState, Outcome
from pilotage import Client
from tests.integration.test_bad_days import payloads, submit
from tests.system import Plan, System, deliver, running_system, wait_for

pytestmark = pytest.mark.integration

SEED = int(os.environ.get("PILOTAGE_TEST_SEED", "20261126"))
JOBS = 60
FAILING = 6
RETRIES = 2
#: Jobs that end between two strikes, at least.
PACE = 5
#: Leaves a mark once it has done its work: whose attempt it was. Short lines that are appended come whole.
GOOD = 'sleep "$1"; echo "$PILOTAGE_JOB $PILOTAGE_ATTEMPT" >> "$2"'
BAD = 'sleep "$1"; exit 3'


class Chaos:
    """Kills and stops parts of a system, as the random numbers say. `done` names what it did."""

    def __init__(self, system: System, numbers: random.Random) -> None:
        self.system = system
        self.numbers = numbers
        self.done: list[str] = []
        self.stopped: list[int] = []
        self._faults: Sequence[Callable[[], bool]] = (
            self.central_killed,
            self.central_killed,
            self.one_killed("a monitor", system.monitors),
            self.one_killed("an agent", system.agents),
            self.one_killed("a payload", lambda: payloads(system.agents())),
            self.one_killed("a payload", lambda: payloads(system.agents())),
            self.one_killed("a worker", system.workers),
            self.pilot_stopped,
        )

    def told(self) -> str:
        """What happened, for whoever reads a failure."""
        return f"seed {SEED}: {', '.join(self.done)}"

    def strike(self) -> None:
        """Do one thing; one that finds nothing to be done to leaves it to another."""
        while not self.numbers.choice(self._faults)():
            pass

    def central_killed(self) -> bool:
        self.done.append("the central was killed")
        self.system.kill()
        self.system.start()
        return True

    def one_killed(self, what: str, find: Callable[[], list[int]]) -> Callable[[], bool]:
        def kill() -> bool:
            found = sorted(find())
            if not found:
                return False
            deliver(self.numbers.choice(found), signal.SIGKILL)
            self.done.append(f"{what} was killed")
            return True

        return kill

    def pilot_stopped(self) -> bool:
        """Everything of one pilot stands still; the one that was stopped before goes on."""
        self.go_on()
        monitors = sorted(self.system.monitors())
        if not monitors:
            return False
        monitor = self.numbers.choice(monitors)
        self.stopped = [monitor, *_descendants(monitor)]
        for pid in self.stopped:
            deliver(pid, signal.SIGSTOP)
        self.done.append("a pilot was stopped")
        return True

    def go_on(self) -> None:
        for pid in self.stopped:
            deliver(pid, signal.SIGCONT)
        self.stopped = []


def _descendants(pid: int) -> list[int]:
    children = payloads([pid])
    return [*children, *(below for child in children for below in _descendants(child))]


def documents(numbers: random.Random, marks: Path) -> list[dict[str, Any]]:
    """Jobs of up to two seconds, of which some always fail. One of them is one of the first to be tried."""
    scripts = [BAD] * FAILING + [GOOD] * (JOBS - FAILING)
    numbers.shuffle(scripts)
    return [
        {
            "command": ["sh", "-c", script, "job", f"{numbers.uniform(0.1, 2.0):.2f}", str(marks)],
            "name": "bad" if script is BAD else "good",
            # A payload that somebody kills is its own fault: it has to be tried again, however often that happens.
            "retries": RETRIES if script is BAD else 20,
        }
        for script in scripts
    ]


def ended(client: Client) -> int:
    return sum(job.state in (JobState.DONE, JobState.FAILED) for job in client.jobs())


def test_every_job_ends_once_whatever_is_killed(tmp_path: Path) -> None:
    """Central, workers, monitors, agents and payloads are killed and stopped at random while jobs run: each job ends
    once, as its payload decides; no attempt is missing, doubled or unaccounted for; nothing is left running."""
    numbers = random.Random(SEED)
    marks = tmp_path / "marks"
    plan = Plan(slots=2, cores=2, lease="6 s", silent_after="4 s")
    with running_system(tmp_path / "central", plan) as system, system.client() as client:
        jobs = submit(client, *documents(numbers, marks))
        chaos = Chaos(system, numbers)
        for enough in range(0, JOBS - 10, PACE):
            wait_for(lambda: ended(client) >= enough, 90, f"{enough} jobs to end", chaos.told)  # noqa: B023
            chaos.strike()
        chaos.go_on()
        client.wait(jobs, timeout=540)
        _check(client, jobs, marks, chaos.told)
        for pilot in client.pilots():
            if pilot.ended is None:
                client.drain(pilot.stamp)
        wait_for(lambda: not system.processes(""), 60, "every pilot to end", chaos.told)


def _check(client: Client, jobs: Sequence[int], marks: Path, told: Callable[[], str]) -> None:
    marked = Counter(tuple(map(int, line.split())) for line in marks.read_text().splitlines())
    outcomes: Counter[Outcome] = Counter()
    for job in jobs:
        view = client.job(job).job
        attempts = client.attempts(job)
        ends = [attempt.outcome for attempt in attempts if attempt.outcome]
        outcomes.update(ends)
        assert [attempt.attempt for attempt in attempts] == list(range(1, len(attempts) + 1)), told()
        if view.name == "good":
            assert view.state is JobState.DONE, (view, told())
            assert ends.count(Outcome.SUCCESS) == 1, (ends, told())
            assert (attempts[-1].outcome, marked[job, view.attempt]) == (Outcome.SUCCESS, 1), (view, told())
        else:
            assert view.state is JobState.FAILED, (view, told())
            assert len([end for end in ends if end not in BLAMELESS]) == RETRIES + 1, (ends, told())
    assert max(marked.values()) == 1, told()
    (used,) = client.usage(by=["community"]).rows
    assert (used.attempts, used.succeeded) == (outcomes.total(), outcomes[Outcome.SUCCESS]), told()
