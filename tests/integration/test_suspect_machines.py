"""Machines on which jobs fail, as people and pilots see them: what makes one suspect, what is said, who is woken."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from central.store.suspicion import STREAK
from pilot.protocol import Fact, Lease
from pilot.states import BLAMELESS_BOUND, JobState, Outcome, Phase
from pilot.views import JobExplanation, PilotExplanation
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import Person, RunningCentral, until
from tests.integration.test_api_jobs import change
from tests.integration.wire_pilot import SignedPilot

#: Seconds within which a request that waits has been woken. By itself it looks again after 5.
WOKEN = 4.5


@pytest.fixture
def central(make_central: CentralMaker) -> RunningCentral:
    return make_central()


def on(central: RunningCentral, host: str) -> SignedPilot:
    """A pilot on that machine."""
    pilot = central.pilot(enrolled=False)
    pilot.enrol((Fact("host", host, "uname"),))
    return pilot


def fault(pilot: SignedPilot, lease: Lease) -> None:
    pilot.report(lease, Phase.ENDED, outcome=Outcome.NODE_FAULT, message="no such image")


def next_job(person: Person, pilot: SignedPilot) -> Lease:
    """A new job, which the pilot is given."""
    job = person.submit_one()
    (lease,) = pilot.match().leases
    assert lease.job == job
    return lease


def make_suspect(person: Person, pilot: SignedPilot, faults: int = STREAK) -> None:
    """So many jobs fail on the pilot's machine, one after another, and are held."""
    for _ in range(faults):
        lease = next_job(person, pilot)
        fault(pilot, lease)
        change(person, "hold", lease.job)


def test_one_mistyped_job_starves_nobody(central: RunningCentral) -> None:
    """However often it fails there as a fault of the node, the machine goes on to work for others."""
    ann, pilot = central.person("ann"), on(central, "node7")
    mistyped = ann.submit_one()
    for _ in range(BLAMELESS_BOUND + 1):
        (lease,) = pilot.match().leases
        assert lease.job == mistyped
        fault(pilot, lease)
    assert ann.job(mistyped).state is JobState.HELD  # it has had its tries
    make_suspect(ann, pilot, STREAK - 2)
    pilot.succeed(next_job(ann, pilot))


def test_what_is_said_of_a_suspect_machine(central: RunningCentral) -> None:
    """A job is told of its pilots, also of those that came later; and both why, since when, and until when."""
    ann, pilot = central.person("ann"), on(central, "node7")
    make_suspect(ann, pilot)
    pilot.bye()
    late = on(central, "node7")
    why = re.compile(
        rf"suspect for \d+s: {STREAK} jobs failed there, one after another; another one tries it in \d+[sm]$"
    )
    of_pilot = ann.read(f"/v1/pilots/{late.stamp}/explain", PilotExplanation)
    assert why.search(of_pilot.summary)
    job = ann.submit_one()
    answer = late.match()
    assert answer.reason == "banned"
    assert why.search(answer.detail)
    said = ann.read(f"/v1/jobs/{job}/explain", JobExplanation)
    assert said.pilots == 1
    assert said.summary.startswith("It would fit 1 live pilot")
    assert why.search(said.summary)
    assert [one.need for one in said.failures if one.pilots] == ["machine"]


def test_who_waits_is_woken_when_the_machine_is_trusted(central: RunningCentral) -> None:
    """Another pilot there, which waits for a job, has it as soon as a job has succeeded on the machine."""
    ann, pilot, idle = central.person("ann"), on(central, "node7"), on(central, "node7")
    good = next_job(ann, pilot)
    pilot.report(good, Phase.RUNNING)
    make_suspect(ann, pilot)
    job = ann.submit_one()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(idle.match, wait=25.0)
        until(lambda: "suspect" in ann.read(f"/v1/jobs/{job}/explain", JobExplanation).summary, "the request")
        assert not asked.done()
        pilot.succeed(good)
        began = time.monotonic()
        (lease,) = asked.result(timeout=30).leases
        assert time.monotonic() - began < WOKEN
    assert lease.job == job
