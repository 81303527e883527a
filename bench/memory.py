"""Memory and connections of the processes, idle and while two jobs run: `python -m bench.memory`."""

from __future__ import annotations

import time

from bench import report
from pilot.states import JobState
from tests.system import Plan, System, wait_for

SETTLE = 5.0  # seconds, several heartbeats


def main() -> None:
    rows: list[tuple[object, ...]] = []
    with report.fresh_system(Plan(slots=1, cores=2)) as system, system.client() as client:
        client.wait(client.submit({"command": ["true"]}).ids, timeout=60)
        time.sleep(SETTLE)
        rows += figures(system, "idle")
        jobs = client.submit({"command": ["sleep", "20"], "sweep": {"n": "1..2"}}).ids
        wait_for(lambda: all(client.job(job).job.state is JobState.RUNNING for job in jobs), 30, "two running jobs")
        time.sleep(SETTLE)
        rows += figures(system, "2 jobs run")
    heads = ("process", "when", "RSS, MB", "PSS, MB", "TCP connections")
    report.table("Memory and connections", heads, rows, "monitor ≤ 35 MB")


def figures(system: System, when: str) -> list[tuple[object, ...]]:
    assert system.process
    pids = {"monitor": system.monitors()[0], "agent": system.agents()[0], "central": system.process.pid}
    rows: list[tuple[object, ...]] = []
    for name, pid in pids.items():
        held = report.memory(pid)
        rows.append((name, when, f"{held.rss:.1f}", f"{held.pss:.1f}", report.connections(pid)))
    return rows


if __name__ == "__main__":
    main()
