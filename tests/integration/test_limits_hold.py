"""Limits that the watchdog keeps, where there are no control groups: real payloads, and what their owners are told."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.context import Capacity
from pilot import procfs
from pilot.attempts.containment import Containment
from pilot.protocol import Needs, StopSignal
from pilot.states import Outcome
from tests.integration.pool_bench import MB, PoolBench, pool_bench
from tests.patience import PATIENCE
from tests.pilot_fakes import shell

pytestmark = pytest.mark.integration

PYTHON = sys.executable
CPUS = tuple(sorted(os.sched_getaffinity(0)))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PoolBench]:
    with pool_bench(tmp_path, Containment(), max_processes=30) as bench:
        yield bench


def test_cpu_time_is_a_limit_of_all_together(bench: PoolBench) -> None:
    """What all processes of a payload have used together counts, those that have ended included."""
    script = "while :; do sh -c 'n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done'; done"
    report = bench.run(1, script, cpu_time=1)
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "cpu_time")
    assert report.usage.cpu is not None
    assert 1.0 < report.usage.cpu < 5.0


def test_no_single_process_gets_past_the_limit_of_cpu_time(bench: PoolBench) -> None:
    """Every process has a limit of CPU time from the kernel too, with room for the watchdog to be first."""
    report = bench.run(1, "ulimit -t; ulimit -c", cpu_time=100)
    assert report.outcome is Outcome.SUCCESS
    assert bench.printed(1).split() == ["160", "0"]


def test_processes_are_counted(bench: PoolBench) -> None:
    """More processes than the queue allows end the payload, and the sentence has both numbers."""
    report = bench.run(1, "for n in $(seq 60); do sleep 30 & done; wait")
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "processes")
    assert "its limit is 30" in report.message


def test_what_hangs_is_ended(bench: PoolBench) -> None:
    """A payload that sleeps without an end is ended for want of progress; one that asked to be let alone is not."""
    bench.pool.start(shell(2, "sleep 5; echo slept", no_progress=0))
    report = bench.run(1, "sleep 60", no_progress=2)
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "no_progress")
    assert bench.central.end_of(2).outcome is Outcome.SUCCESS


def test_work_and_files_are_progress(bench: PoolBench) -> None:
    """A payload that computes, and one that writes now and then, go on."""
    bench.pool.start(shell(1, "for n in $(seq 14); do sleep 0.5; date >>file; done", no_progress=4))
    bench.pool.start(shell(2, "end=$(($(date +%s) + 7)); while [ $(date +%s) -lt $end ]; do :; done", no_progress=4))
    assert bench.central.end_of(1).outcome is Outcome.SUCCESS
    assert bench.central.end_of(2).outcome is Outcome.SUCCESS


def test_a_job_finishes_before_its_time_is_over(bench: PoolBench) -> None:
    """A job is told before its end, at the process that it names, uses the time to finish, and has succeeded."""
    fit = (
        "import signal, sys, time\n"
        "def finish(*_):\n  print('told', flush=True)\n  time.sleep(0.3)\n  print('finished')\n  sys.exit(0)\n"
        "signal.signal(signal.SIGUSR2, finish)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    inputs = (bench.central.add("fit.py", fit.encode()),)
    other = "import signal, time\nsignal.signal(signal.SIGUSR2, lambda *_: open('wrong', 'w'))\ntime.sleep(60)\n"
    others = (bench.central.add("other.py", other.encode()),)
    script = f"{PYTHON} other.py & {PYTHON} fit.py; kill %1; ls"
    report = bench.run(
        1,
        script,
        inputs=(*inputs, *others),
        needs=Needs(wall_time=30),
        stop_signal=StopSignal(25, "SIGUSR2", "fit*"),
    )
    assert report.outcome is Outcome.SUCCESS, (report, bench.printed(1, "stderr"))
    assert bench.printed(1).split() == ["ready", "told", "finished", "fit.py", "other.py"]
    assert report.usage.wall < 30


def test_a_signal_reaches_nobody_else(bench: PoolBench) -> None:
    """The same program run by another job, and by the pilot's own user beside it, hears nothing."""
    deaf = "trap 'echo told >told' USR1; echo x >there; for n in 1 2 3 4 5; do sleep 1; done"
    bench.pool.start(shell(2, deaf, needs=Needs(wall_time=60)))
    bench.wait_for_file(2, "there")
    told = shell(1, deaf, needs=Needs(wall_time=30), stop_signal=StopSignal(28), outputs=["told"])
    bench.pool.start(told)
    first = bench.central.end_of(1)
    assert [output.name for output in first.outputs] == ["told"], first
    assert not (bench.directory(2) / "job" / "told").exists()
    assert bench.central.end_of(2).outcome is Outcome.SUCCESS


def test_a_payload_can_read_what_it_was_granted(bench: PoolBench) -> None:
    """The grant is in a file that only the payload's user reads, and says the same as the environment."""
    script = (
        'cat "$PILOTAGE_GRANT_FILE"; stat -c %a "$PILOTAGE_GRANT_FILE" >&2; echo $PILOTAGE_MEMORY $OMP_NUM_THREADS >&2'
    )
    needs = Needs(cores=2, max_cores=2, memory=100 * MB, wall_time=60)
    report = bench.run(1, script, needs=needs, no_progress=0)
    assert report.outcome is Outcome.SUCCESS
    grant = json.loads(bench.printed(1))
    assert (grant["cores"], grant["memory"], grant["wall_time"], grant["processes"]) == (2, 100 * MB, 60, 30)
    assert (grant["cpu_time"], grant["no_progress"]) == (120, None)
    assert bench.printed(1, "stderr").split() == ["600", str(100 * MB), "2"]


def test_each_payload_has_cpus_of_its_own(tmp_path: Path) -> None:
    """Payloads side by side are bound to different CPUs, as many as they have cores."""
    if len(CPUS) < 2:
        pytest.skip("this machine has one CPU")
    capacity = Capacity(cores=2, cpus=CPUS[:2], memory=500 * MB, disk=500 * MB)
    with pool_bench(tmp_path, Containment(), capacity) as bench:
        script = f"{PYTHON} -c 'import os; print(*os.sched_getaffinity(0))'; echo x >done; sleep 1"
        for job in (1, 2):
            bench.pool.start(shell(job, script))
        for job in (1, 2):
            bench.central.end_of(job)
        assert {bench.printed(job).strip() for job in (1, 2)} == {str(cpu) for cpu in CPUS[:2]}


def test_a_kill_takes_less_than_ten_seconds(bench: PoolBench) -> None:
    """From the order to the last process of a payload that ignores every request, grace included."""
    deaf = "trap '' TERM INT HUP; for n in 1 2 3; do (sleep 600) & done"
    script = f"{deaf}; echo $$ >pid; while :; do sleep 1; done"
    bench.pool.start(shell(1, script, grace=5))
    pid = int(bench.wait_for_file(1, "pid"))
    asked = time.monotonic()
    bench.pool.kill(1, 1, "a person")
    assert bench.central.end_of(1).outcome is Outcome.KILLED
    assert time.monotonic() - asked < 10 * PATIENCE
    assert (about := procfs.process(pid)) is None or about.over
