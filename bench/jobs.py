"""What a job costs that does nothing, through one pilot with two slots: `python -m bench.jobs`."""

from __future__ import annotations

import subprocess
import time

from bench import report
from pilotage import Client
from tests.system import Plan, System

JOBS = 1000


def main() -> None:
    with report.fresh_system(Plan(slots=1, cores=2)) as system, system.client() as client:
        client.wait(client.submit({"command": ["true"]}).ids, timeout=60)  # the pilot is there and warm
        seconds, used = through_the_pilot(system, client)
    bare = by_xargs()
    rows = [
        ("one pilot, 2 slots", f"{seconds:.1f}", f"{JOBS / seconds:.1f}"),
        ("xargs -P 2, for comparison", f"{bare:.1f}", f"{JOBS / bare:.1f}"),
    ]
    report.table(f"{JOBS:,} jobs that do nothing", ("", "seconds", "jobs/s"), rows, "≥ 20 jobs/s")
    costs = [(name, f"{1000 * value / JOBS:.2f}") for name, value in used.items()]
    costs.append(("all", f"{1000 * sum(used.values()) / JOBS:.2f}"))
    report.table("CPU per job", ("process", "ms per job"), costs)


def through_the_pilot(system: System, client: Client) -> tuple[float, dict[str, float]]:
    """Seconds from submission to the last end, and CPU seconds by process."""
    assert system.process
    pids = {"monitor": system.monitors()[0], "agent": system.agents()[0], "central": system.process.pid}
    before = {name: report.cpu(pid) for name, pid in pids.items()}
    begun = time.time()
    ids = client.submit({"command": ["true"], "sweep": {"n": f"1..{JOBS}"}}).ids
    while client.job_page(limit=1, counts=True).counts.get("done", 0) <= JOBS:  # the warm one as well
        assert time.time() - begun < 120, f"{JOBS} jobs did not end in 120 s. {system.log()}"
        time.sleep(0.5)
    used = {name: report.cpu(pid) - before[name] for name, pid in pids.items()}
    ended = max(job.changed for job in client.wait(ids, timeout=60))
    own = {name: each.own for name, each in used.items()}
    return ended - begun, {**own, "payloads (children of the agent)": used["agent"].children}


def by_xargs() -> float:
    before = time.perf_counter()
    subprocess.run(
        ["xargs", "-P", "2", "-n", "1", "true"], input="".join(f"{n}\n" for n in range(JOBS)), text=True, check=True
    )
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
