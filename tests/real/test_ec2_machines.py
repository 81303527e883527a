"""Jobs on machines of EC2, from the vault's access key to the bill: a real central, its director, moto's EC2 with the
faults of the real one. What the machines would do is done by processes: each lays out its user-data and boots from it.
"""

from __future__ import annotations

import base64
import getpass
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pilot.states import JobState, PilotState
from pilot.views import PilotView
from pilotage import Client
from tests.booting import boot, lay_out
from tests.real.ec2_faults import KEY
from tests.real.ec2_scene import FLAVOR, GROUP, IMAGE, REGION, SUBNET, Account, account, place
from tests.system import Plan, System, running_system, wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (place() / "url").is_file(), reason="what this needs is set up by the lane ec2"),
]
QUEUE = """\
interval = 1
secret_ttl = "10 min"
[queues.cloud]
url = "{url}"
region = "{region}"
flavor = "{flavor}"
image = "{image}"
networks = ["{subnet}"]
security_groups = ["{group}"]
spot = true
most = 0.05
patience = "20 s"

[queues.credential]
community = "physics"
owner = "{owner}"
name = "aws"
kind = "access-key"
"""
FINAL = (PilotState.DONE, PilotState.FAILED, PilotState.LOST, PilotState.CANCELLED)


@dataclass
class Machines:
    """What runs on EC2's machines, as processes below a folder. `turn` boots those that were started since, ends those
    that were deleted, and has those shut down whose process is over."""

    account: Account
    folder: Path
    booted: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = self.account.client()

    def listed(self, *states: str) -> dict[str, dict[str, Any]]:
        filters = [{"Name": "instance-state-name", "Values": list(states)}] if states else []
        reservations = self.client.describe_instances(Filters=filters)["Reservations"]
        found = [instance for reservation in reservations for instance in reservation["Instances"]]
        return {instance["InstanceId"]: instance for instance in found}

    def alive(self) -> list[str]:
        return list(self.listed("pending", "running"))

    def turn(self) -> None:
        alive = self.alive()
        for id in alive:
            if id not in self.booted:
                self.booted[id] = self._boot(id)
            elif self.booted[id].poll() is not None:
                self.account.end(id, "Client.InstanceInitiatedShutdown")
        for id in self.booted.keys() - set(alive):
            self.kill(id)

    def kill(self, id: str) -> None:
        """At once, with all that it runs, as when the machine is switched off."""
        with suppress(ProcessLookupError):
            os.killpg(self.booted[id].pid, signal.SIGKILL)
        self.booted[id].wait(10)

    def _boot(self, id: str) -> subprocess.Popen[bytes]:
        told = self.client.describe_instance_attribute(InstanceId=id, Attribute="userData")["UserData"]["Value"]
        root = self.folder / id
        lay_out(base64.b64decode(told), root)
        return boot(root, root / "console")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    market = [[time.time() - 90_000, 0.02, f"{REGION}a"]]
    with account(tmp_path_factory.mktemp("ec2")) as found, found.faulty(prices=market, spot=0.02):
        yield found


@contextmanager
def running(here: Account, folder: Path) -> Iterator[tuple[System, Client, Machines]]:
    """A central whose one queue is a flavor of EC2, spot, and the machines that it has there."""
    told = QUEUE.format(
        url=here.url,
        region=REGION,
        flavor=FLAVOR,
        image=IMAGE,
        subnet=SUBNET,
        group=GROUP,
        owner=getpass.getuser(),
    )
    plan = Plan(kind="ec2", slots=1, wall_time="2 d", idle="3 s", queue=told, workers=1)
    with running_system(folder / "central", plan) as system, system.client() as client:
        client.keep_credential("aws", "access-key", {"access_key": KEY, "secret_key": "secret"})
        machines = Machines(here, system.folder / "pilots")
        try:
            yield system, client, machines
        finally:
            for id in machines.booted:
                machines.kill(id)


def ended(client: Client) -> list[PilotView]:
    return list(client.pilots(FINAL))


def test_a_machine_from_the_key_to_the_bill(here: Account, tmp_path: Path) -> None:
    """A job has a spot machine started, which runs it, shuts itself down when nothing is left to do, and is deleted:
    gone from EC2, and closed in the journal; it cost what the market said, for as long as it lived."""
    with running(here, tmp_path) as (system, client, machines):
        jobs = client.submit([{"command": ["echo", "from EC2"], "needs": {"cores": 1}}] * 2).ids

        def done() -> bool:
            machines.turn()
            return all(client.job(job).job.state is JobState.DONE for job in jobs)

        wait_for(done, 120, "the jobs to run", system.log)

        def over() -> bool:
            machines.turn()
            return bool(ended(client)) and not machines.alive()

        wait_for(over, 120, "the machine to be gone", system.log)
        (pilot,) = ended(client)
        assert pilot.state is PilotState.DONE, pilot
        (instance,) = (one for id, one in machines.listed().items() if id == pilot.reference)
        assert instance["InstanceLifecycle"] == "spot"
        assert client.logs(jobs[0]) == b"from EC2\n"
        asked = here.has()["asked"]
        assert asked["RunInstances"]["InstanceMarketOptions.SpotOptions.MaxPrice"] == "0.05"
        wait_for(lambda: here.has()["asked"].get("TerminateInstances"), 30, "it to be deleted", system.log)
        (row,) = client.cost(("queue", "community")).rows
        assert (row.currency, row.pilots) == ("USD", 1)
        assert row.cost == pytest.approx(row.seconds / 3600 * 0.02)
        assert pilot.ended is not None
        assert row.seconds == pytest.approx(pilot.ended - pilot.created)


@pytest.mark.slow
def test_a_machine_that_is_taken_back_without_notice(here: Account, tmp_path: Path) -> None:
    """When EC2 takes a machine back, its pilot is closed with EC2's reason, long before its silence alone would have
    told, and its job goes on in another machine."""
    with running(here, tmp_path) as (system, client, machines):
        [job] = client.submit({"command": ["sleep", "5"], "needs": {"cores": 1}, "retries": 0}).ids

        def running_job() -> bool:
            machines.turn()
            return client.job(job).job.state is JobState.RUNNING

        wait_for(running_job, 120, "the job to run", system.log)
        (id,) = machines.alive()
        machines.kill(id)
        here.end(id, "Server.SpotInstanceTermination")

        def done() -> bool:
            machines.turn()
            return client.job(job).job.state is JobState.DONE

        wait_for(done, 180, "the job to run elsewhere", system.log)
        first, second = client.attempts(job)
        assert first.pilot != second.pilot
        lost = client.pilot(first.pilot).pilot
        assert lost.state is PilotState.LOST, lost
        assert "SpotInstanceTermination" in lost.message
