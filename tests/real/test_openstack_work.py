"""A machine of a real OpenStack from its director's first thought to its end: it boots, does jobs, and goes."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from central.clouds.making import mark
from central.clouds.openstack.provider import make_openstack
from central.clouds.port import Machine
from central.configuration.elements import Cloud
from pilot.states import LIVE_PILOT, JobState, PilotReason, PilotState
from tests.real.openstack_scene import GROUP, IMAGE, NETWORK, Account, place
from tests.system import Plan, System, wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(
        not place() or os.environ.get("DRIVER") != "qemu",
        reason="needs an OpenStack whose machines boot: DRIVER=qemu tests/real/openstack.sh start",
    ),
]

QUEUE = f"""\
slot_users = "20000-20063"
[queues.cloud]
url = "{{url}}"
region = "RegionOne"
flavor = "pilot.large"
image = "{IMAGE}"
networks = ["{NETWORK}"]
security_groups = ["{GROUP}"]
patience = "120 s"
[queues.credential]
community = "physics"
owner = "{{owner}}"
name = "cloud"
kind = "application-credential"
"""
#: What jobs need that do nothing.
LITTLE = {"memory": "100 MB", "disk": "10 MB", "wall_time": "10 min"}


@contextmanager
def running(folder: Path, account: Account) -> Iterator[System]:
    plan = Plan(
        idle="10 s",
        silent_after="120 s",
        kind="openstack",
        wall_time="2 h",
        memory="1 GB",
        disk="1 GB",
        queue=QUEUE.format(url=account.url, owner=getpass.getuser()),
    )
    system = System(folder / "central", plan)
    plan.url = f"https://10.99.0.1:{system.port}"  # how machines reach this host's loopback interface
    system.make()
    try:
        system.start()
        yield system
    finally:
        system.end()
        account.clear()


def listed(system: System, account: Account, folder: Path) -> Sequence[Machine]:
    """What there is of this central's, asked by somebody who knows nothing."""
    held = folder / "credential"
    held.write_text(json.dumps(account.credential))
    cloud = Cloud(flavor="pilot.large", image=IMAGE, url=account.url, region="RegionOne", patience=120.0)

    async def asked() -> Sequence[Machine]:
        provider = make_openstack(cloud, mark(system.plan.url), held)
        try:
            return await provider.machines()
        finally:
            await provider.close()

    return asyncio.run(asked())


def test_a_machine_does_jobs_and_goes(tmp_path: Path) -> None:
    """With a credential of the vault the director starts one machine; it enrols by user-data from a config drive, does
    all jobs, powers itself off when there are no more, and is deleted and gone, at Nova and in the journal."""
    where = place()
    assert where
    account = Account(where)
    account.clear()
    with running(tmp_path, account) as system, system.client() as client:
        client.keep_credential("cloud", "application-credential", account.credential)
        jobs = client.submit([{"command": ["uname", "-n"], "needs": LITTLE}] * 8).ids
        client.wait(jobs, timeout=1500)
        assert [client.job(job).job.state for job in jobs] == [JobState.DONE] * 8
        [stamp] = {client.attempts(job)[-1].pilot for job in jobs}
        hosts = {client.logs(job).decode().strip() for job in jobs}
        assert hosts == {f"pilotage-{mark(system.plan.url)}-{stamp}"[:63]}
        wait_for(lambda: not listed(system, account, tmp_path), 150, "the machine to be gone", system.log)
        wait_for(lambda: not [one for one in client.pilots() if one.state in LIVE_PILOT], 60, "no pilot to live")
        [pilot] = client.pilots()
        assert (pilot.stamp, pilot.state, pilot.reason) == (stamp, PilotState.DONE, PilotReason.IDLE)
        assert pilot.machine is not None
        assert (pilot.machine.instance, pilot.machine.flavor) == (pilot.reference, "pilot.large")
