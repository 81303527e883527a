"""What a pilot finds is what its jobs get: GPUs, power, and the way to the outside, by way of a real central."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pilot.states import JobState
from tests.system import Plan, check_log, running_system, wait_for

pytestmark = pytest.mark.integration

NVIDIA_SMI = """#!/bin/sh
echo "0, GPU-11111111-2222, NVIDIA T4, 15109, 7.5"
echo "1, GPU-22222222-3333, NVIDIA A100-SXM4-40GB, 40960, 8.0"
"""


def test_gpus_power_and_the_outside(tmp_path: Path) -> None:
    """A job gets the one GPU that is large enough; whom the queue names was reached; power is told, and kept."""
    stand_in = tmp_path / "bin" / "nvidia-smi"
    stand_in.parent.mkdir()
    stand_in.write_text(NVIDIA_SMI)
    stand_in.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as outside:
        lines = [
            f'cache = "{tmp_path}/cache"',
            f'reach = ["127.0.0.1:{outside.getsockname()[1]}"]',
            'gpus = { count = 1, memory = "40 GB" }',
        ]
        plan = Plan(path=f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}", queue="\n".join(lines))
        with running_system(tmp_path / "central", plan) as system, system.client() as client:
            needs = {"gpus": {"count": 1, "memory": "30 GB"}, "wall_time": 60, "disk": 0}
            command = ["sh", "-c", "echo $CUDA_VISIBLE_DEVICES"]
            [job] = client.submit({"command": command, "needs": needs}).ids
            client.wait([job], timeout=180)
            assert client.job(job).job.state is JobState.DONE
            check_log(client, job, b"GPU-22222222-3333\n")
            pilot = client.attempts(job)[-1].pilot
            facts = wait_for(lambda: _with_power(client.pilot(pilot).facts), 60, "the power of a core")
            assert "nvidia-smi" in facts["gpus"]
            assert "connected to 127.0.0.1" in facts["tag:outbound"]
            assert abs(float(facts["clock_offset"].split()[0])) < 5
    assert (tmp_path / "cache" / "power.json").exists()


def _with_power(facts: dict[str, str]) -> dict[str, str] | None:
    return facts if "power" in facts else None
