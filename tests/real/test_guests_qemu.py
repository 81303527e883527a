"""Emulated machines: the contract of every cloud, and one from the first thought of its director to its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from central.clouds.conformance import CloudProviderContract, Scene
from central.clouds.guests.qemu import make_qemu
from pilot.states import JobState, PilotReason, PilotState
from tests.real.guest_scene import IMAGES, LITTLE, scene
from tests.real.guest_system import guesthouse

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not IMAGES, reason="what this needs is set up by the lane qemu"),
]


class TestQemu(CloudProviderContract):
    """Machines with a kernel of their own."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
        folder = tmp_path_factory.mktemp("guests")
        yield scene(folder, make_qemu, networks=("user",), console=b"", patience=60)
        assert not list((folder / "machines").iterdir())


def test_a_machine_does_a_job(tmp_path: Path) -> None:
    """It boots a kernel, cloud-init finds its seed, the pilot does a job, and it powers off and is gone."""
    with guesthouse(tmp_path, "qemu", more='secret_ttl = "30 min"') as house, house.system.client() as client:
        job = client.submit({"command": ["uname", "-r"], "needs": LITTLE}).ids[0]
        client.wait([job], timeout=1800)
        assert client.job(job).job.state is JobState.DONE
        assert b"-cloud-" in client.logs(job)
        [pilot] = house.all_gone(client, patience=120)
        assert (pilot.state, pilot.reason) == (PilotState.DONE, PilotReason.IDLE)
        assert pilot.machine is not None
        assert (pilot.machine.cloud, pilot.machine.instance) == ("qemu", pilot.reference)
