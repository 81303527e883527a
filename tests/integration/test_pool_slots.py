"""What attempts get of a node and for how long, with real payloads: slots, kills, faults that others do not notice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from commands.context import Capacity, GpuDevice
from pilot.attempts.pool import KILL_GRACE
from pilot.errors import PilotageError
from pilot.health import MOST_FAULTS
from pilot.payloads.payload import Launch, Payload
from pilot.protocol import UNLIMITED, Lease, Needs
from pilot.states import Outcome, PilotReason
from tests.integration.pool_bench import MB, PoolBench, pool_bench
from tests.integration.test_pool import PATH, gone
from tests.patience import PATIENCE
from tests.pilot_fakes import FakeNode, shell

pytestmark = pytest.mark.integration

#: Goes on until the test makes a file.
WAIT = "echo here > ready; while [ ! -e go ]; do sleep 0.05; done"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PoolBench]:
    with pool_bench(tmp_path) as bench:
        yield bench


def begin(bench: PoolBench, lease: Lease) -> None:
    """Start a payload that prints a line to `ready`, and wait until it has."""
    bench.pool.start(lease)
    bench.wait_for_file(lease.job, "ready")


def finish(bench: PoolBench, *jobs: int) -> None:
    for job in jobs:
        (bench.job_directory(job) / "go").touch()
        assert bench.central.end_of(job).outcome is Outcome.SUCCESS
    bench.wait_until_empty()


def told(bench: PoolBench, job: int) -> dict[str, str]:
    """What a payload that ran `env` found in its environment."""
    lines = bench.central.logs[f"job-{job}-1-stdout"].decode().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_jobs_share_a_node_as_far_as_it_goes(bench: PoolBench) -> None:
    """Each start takes its cores and memory from the offer; what is too much is refused and takes nothing."""
    bench.pool.open(Capacity(cores=4, memory=16_000 * MB, disk=UNLIMITED), {"PATH": PATH})
    begin(bench, shell(1, WAIT))
    offer = bench.pool.offer()
    assert (offer.cores, offer.memory, bench.pool.running()) == (3, 16_000 * MB, 1)
    begin(bench, shell(2, WAIT, needs=Needs(2, 2, memory=4_000 * MB)))
    offer = bench.pool.offer()
    assert (offer.cores, offer.memory, bench.pool.running()) == (1, 12_000 * MB, 2)
    with pytest.raises(PilotageError, match="it needs 2 cores, and 1 of 4 are free"):
        bench.pool.start(shell(3, "true", needs=Needs(2, 2)))
    with pytest.raises(PilotageError, match="it needs the whole node, and 3 cores are in use"):
        bench.pool.start(shell(4, "true", needs=Needs(whole_node=True)))
    assert bench.pool.offer().cores == 1
    finish(bench, 1, 2)
    assert (bench.pool.offer().cores, bench.pool.offer().empty) == (4, True)


def test_a_range_is_told_what_it_got(bench: PoolBench) -> None:
    """A job that can use 2 to 8 cores gets the free ones, all where its lease does not say, and knows how many."""
    begin(bench, shell(1, WAIT))
    bench.pool.start(shell(2, "env", needs=Needs(2, 8, wall_time=60, memory_per_core=10 * MB)))
    bench.central.end_of(2)
    assert (told(bench, 2)["PILOTAGE_CORES"], told(bench, 2)["OMP_NUM_THREADS"]) == ("3", "3")
    assert told(bench, 2)["PILOTAGE_MEMORY"] == str(30 * MB)
    bench.wait_for_freed_cores(3)
    bench.pool.start(shell(3, "env", needs=Needs(2, 8, wall_time=60), cores=2))
    bench.central.end_of(3)
    assert told(bench, 3)["PILOTAGE_CORES"] == "2"
    bench.wait_for_freed_cores(3)
    with pytest.raises(PilotageError, match="it needs 4 cores, and 3 of 4 are free"):
        bench.pool.start(shell(4, "true", needs=Needs(2, 8), cores=4))
    finish(bench, 1)


def test_gpus_are_shown_to_who_was_granted_them(bench: PoolBench) -> None:
    """Payloads side by side see GPUs of their own, by uuid or index, and who asked for none sees none."""
    gpus = (GpuDevice(0, "GPU-aa", "A100", 40_000 * MB), GpuDevice(1, "GPU-bb", "A100", 80_000 * MB))
    old = GpuDevice(2, None, "K80", 12_000 * MB)
    bench.pool.open(Capacity(cores=4, memory=4_000 * MB, disk=UNLIMITED, gpus=(*gpus, old)), {"PATH": PATH})
    assert [gpu.memory for gpu in bench.pool.offer().gpus] == [40_000 * MB, 80_000 * MB, 12_000 * MB]
    begin(bench, shell(1, f"env; {WAIT}", needs=Needs(gpus=1, gpu_memory=50_000 * MB)))
    begin(bench, shell(2, f"env; {WAIT}", needs=Needs(gpus=2)))
    begin(bench, shell(3, f"env; {WAIT}"))
    with pytest.raises(PilotageError, match="it needs 1 GPU, and 0"):
        bench.pool.start(shell(4, "true", needs=Needs(gpus=1)))
    assert bench.pool.offer().gpus == ()
    finish(bench, 1, 2, 3)
    seen = [told(bench, job)["CUDA_VISIBLE_DEVICES"] for job in (1, 2, 3)]
    assert seen == ["GPU-bb", "2,GPU-aa", ""]
    assert len(bench.pool.offer().gpus) == 3


class SmallDisk(FakeNode):
    """A machine whose free disk the test sets."""

    def __init__(self) -> None:
        self.free = 10_000 * MB

    def free_disk(self, path: Path) -> int:
        return self.free


def test_scratch_that_was_promised_is_kept(bench: PoolBench) -> None:
    """What a job was promised and has not written yet is not offered again, though the disk still has it."""
    node = bench.pool.node = SmallDisk()
    bench.pool.settings = replace(bench.pool.settings, min_disk=1_000 * MB)
    bench.pool.open(Capacity(cores=4, memory=4_000 * MB, disk=9_000 * MB), {"PATH": PATH})
    assert bench.pool.offer().disk == 9_000 * MB
    begin(bench, shell(1, WAIT, needs=Needs(disk=5_000 * MB)))
    assert bench.pool.offer().disk == 4_000 * MB
    node.free = 7_000 * MB  # others have written 3 GB, and what is left was promised but for 1 GB
    disk = bench.pool.offer().disk
    assert isinstance(disk, int)
    assert 1_000 * MB <= disk < 1_001 * MB
    node.free = 2_000 * MB
    assert bench.pool.offer().disk == 0
    finish(bench, 1)


def test_a_kill_is_over_in_ten_seconds(bench: PoolBench) -> None:
    """A payload that asked for an hour's grace and ignores SIGTERM, strays included, is gone ten seconds after a kill.

    Its cores and memory are free then, and other payloads have not noticed.
    """
    deaf = "trap '' TERM; setsid sh -c \"trap '' TERM; sleep 600\" & echo $! > ready; while :; do sleep 1; done"
    begin(bench, shell(1, deaf, grace=3600, needs=Needs(2, 2, memory=1_000 * MB)))
    begin(bench, shell(2, WAIT))
    pid = int(bench.wait_for_file(1, "ready"))
    asked = time.monotonic()
    bench.pool.kill(1, 1, "by its owner")
    report = bench.central.end_of(1, 15)
    bench.wait_for_freed_cores(3)
    took = time.monotonic() - asked
    assert took < KILL_GRACE + 2 * PATIENCE
    assert (report.outcome, report.signal) == (Outcome.KILLED, signal.SIGKILL)
    assert gone(pid)
    assert bench.pool.offer().memory == 4_000 * MB
    finish(bench, 2)


def test_a_payload_that_somebody_kills_costs_itself_alone(bench: PoolBench) -> None:
    """SIGKILL from outside ends one attempt as its own, named with the signal; others go on and new ones start."""
    begin(bench, shell(1, "echo $$ > ready; sleep 600"))
    begin(bench, shell(2, WAIT))
    os.kill(int(bench.wait_for_file(1, "ready")), signal.SIGKILL)
    report = bench.central.end_of(1)
    assert (report.outcome, report.signal) == (Outcome.PAYLOAD_ERROR, signal.SIGKILL)
    assert bench.run(3, "true").outcome is Outcome.SUCCESS
    finish(bench, 2)


def failing(bench: PoolBench, problem: Exception) -> Callable[[Launch], Payload]:
    def start(launch: Launch) -> Payload:
        raise problem

    return start


def test_a_node_on_which_nothing_runs_takes_no_more(bench: PoolBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many faults of the node in a row the Pool starts nothing more and says why, with a code of its own."""
    monkeypatch.setattr(bench.element, "start", failing(bench, OSError(5, "Input/output error")))
    for job in range(1, MOST_FAULTS + 1):
        assert bench.pool.stopping() is None
        assert bench.run(job, "true").outcome is Outcome.NODE_FAULT
        bench.wait_until_empty()
    stopping = bench.pool.stopping()
    assert stopping is not None
    assert stopping[0] is PilotReason.NODE_FAULTS
    assert "Input/output error" in stopping[1]
    with pytest.raises(PilotageError, match="5 jobs in a row"):
        bench.pool.start(shell(99, "true"))


def test_directories_of_ended_attempts_are_gone(bench: PoolBench) -> None:
    """However an attempt ends, nothing of it is left on the node."""
    begin(bench, shell(1, WAIT))
    bench.pool.kill(1, 1, "")
    bench.central.end_of(1)
    bench.wait_until_empty()
    assert list((bench.work / "attempts").iterdir()) == []
