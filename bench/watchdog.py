"""What watching costs, and how long a kill takes: `python -m bench.watchdog`.

Beside it, what somebody would write first: psutil walks the tree of a payload once a second and asks for the memory of
each process; and a kill of all that such a walk finds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from bench import report
from commands.context import Capacity
from pilot.attempts.containment import Containment, control_groups
from pilot.payloads.slot_users import users_of
from pilot.states import Outcome
from tests.integration.pool_bench import PoolBench, pool_bench
from tests.pilot_fakes import shell

PAYLOADS, EACH = 10, 10  # processes of the kind that waits for files: a hundred in all
SECONDS = 10.0
KILLS = 10
USERS = "28000-28019"
#: Starts so many sleepers with some memory of their own, and waits.
SCRIPT = f"for n in $(seq {EACH - 1}); do sleep 600 & done; echo there >there; wait"


@contextmanager
def bench_of(containment: Containment) -> Iterator[PoolBench]:
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as folder:
        place = Path(folder)
        place.chmod(0o711)
        work = place / "pilot"
        work.mkdir()
        capacity = Capacity(cores=PAYLOADS, memory=10**10, disk=10**10, seconds_left="unlimited")
        with pool_bench(work, containment, capacity) as bench:
            yield bench


def watching(containment: Containment) -> tuple[float, float]:
    """CPU in percent of one core while all payloads are watched, and the median kill of one, in seconds."""
    with bench_of(containment) as bench:
        for job in range(PAYLOADS):
            bench.pool.start(shell(job, SCRIPT))
        for job in range(PAYLOADS):
            bench.wait_for_file(job, "there")
        time.sleep(3.0)  # no payload is young any more
        before = time.process_time()
        time.sleep(SECONDS)
        cost = (time.process_time() - before) / SECONDS * 100
        return cost, statistics.median(_kill(bench, 100 + turn) for turn in range(KILLS))


def _kill(bench: PoolBench, job: int) -> float:
    """Seconds from the order until nothing is left of a payload that is given no grace."""
    if bench.pool.offer().cores == 0:
        bench.pool.kill(job - 100, 1, "makes room")
        bench.central.end_of(job - 100)
    bench.pool.start(shell(job, SCRIPT, grace=0))
    bench.wait_for_file(job, "there")
    asked = time.monotonic()
    bench.pool.kill(job, 1, "measured")
    assert bench.central.end_of(job).outcome is Outcome.KILLED
    return time.monotonic() - asked


def by_psutil() -> tuple[float, float]:
    """The same with what one would write first."""
    payloads = [_start() for _ in range(PAYLOADS)]
    try:
        before, end = time.process_time(), time.monotonic() + SECONDS
        while time.monotonic() < end:
            for payload in payloads:
                for process in [payload, *payload.children(recursive=True)]:
                    process.cpu_times()
                    process.memory_full_info()
            time.sleep(1.0)
        cost = (time.process_time() - before) / SECONDS * 100
        return cost, statistics.median(_kill_tree(_start()) for _ in range(KILLS))
    finally:
        for payload in payloads:
            _kill_tree(payload)


def _start() -> psutil.Popen:
    script = SCRIPT.replace(">there", "")
    payload = psutil.Popen(["/bin/sh", "-c", script], stdout=subprocess.DEVNULL, start_new_session=True)
    while len(payload.children()) < EACH - 1:
        time.sleep(0.01)
    return payload


def _kill_tree(payload: psutil.Popen) -> float:
    asked = time.monotonic()
    doomed = [*payload.children(recursive=True), payload]
    for process in doomed:
        process.kill()
    psutil.wait_procs(doomed, timeout=10)
    return time.monotonic() - asked


def main() -> None:
    rows = [("process element", *watching(Containment()))]
    found = control_groups(f"bench-{os.getpid()}")
    if found.enclosures is not None:
        rows.append((f"with {found.enclosures.described}", *watching(Containment(None, found.enclosures))))
        if os.geteuid() == 0:
            made = control_groups(f"bench-{os.getpid()}-users").enclosures
            rows.append(("and a user for each payload", *watching(Containment(users_of(USERS), made))))
    rows.append(("psutil, each process each second", *by_psutil()))
    report.table(
        f"Watching {PAYLOADS} payloads of {EACH} processes, and killing one of them",
        ("how", "CPU, % of one core for 100 processes", "kill, median ms"),
        [(how, f"{cost:.2f}", f"{kill * 1000:.0f}") for how, cost, kill in rows],
        "a kill within 10 s of the order",
    )


if __name__ == "__main__":
    main()
