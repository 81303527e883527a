"""How much of the pilots' time is idle under our directors and under a clairvoyant submitter, in virtual time:
`python -m bench.director_simulation`.

The mix of jobs is that of a production system (`--snapshot FOLDER` or PILOTAGE_BENCH_SNAPSHOT; else a generator with
the same totals); arrivals, run times and waits in batch queues are drawn with a fixed seed, the same for all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import load, report
from bench.simulation import Outcome, Policy, Simulation, World

HEADS = (
    "who sends pilots",
    "pilots",
    "without a job",
    "idle of their core time",
    "jobs waited, median s",
    "p99 s",
    "job to request, median s",
    "longest s",
)
GOAL = "a pilot is asked for within one cycle of 30 s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshot", type=Path)
    work = load.production(parser.parse_args().snapshot)
    for name, world in (
        ("bursts of 20 jobs, batch queues of 5 min", World()),
        ("single jobs", World(burst=1)),
        ("batch queues of an hour", World(batch_wait=3600.0)),
    ):
        rows = [_row(policy, Simulation(world, work, policy).run()) for policy in Policy]
        report.table(f"{world.jobs:,} jobs in a day, {world.queues} queues: {name}", HEADS, rows, GOAL)
    print(f"\n{work.about}")


def _row(policy: Policy, found: Outcome) -> tuple[object, ...]:
    waits, requests = sorted(found.waits), sorted(found.requests)
    asked = ("–", "–") if not requests else (f"{requests[len(requests) // 2]:.0f}", f"{requests[-1]:.0f}")
    return (
        policy.value,
        f"{found.pilots:,}",
        f"{found.empty_handed:,}",
        f"{found.idle_part:.1%}",
        f"{found.usual_wait:.0f}",
        f"{waits[len(waits) * 99 // 100]:.0f}",
        *asked,
    )


if __name__ == "__main__":
    main()
