"""How many hours of machines our directors buy, and how many a clairvoyant buyer does, in virtual time:
`python -m bench.cloud_buying`.

The mix of jobs is that of a production system (`--snapshot FOLDER` or PILOTAGE_BENCH_SNAPSHOT; else a generator with
the same totals); arrivals, run times and boots are drawn with a fixed seed, the same for both. A machine is paid for
from its creation until it is deleted: it boots, works, waits for jobs as its halting policy says, and our directors
see in their next turn that it is off. The clairvoyant's machines have booted in the moment in which a job finds no
free core; a job goes where it keeps a machine from ending by the least, and nothing is waited for but a job that will
come within what is paid for already.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from bench import load, report
from bench.load import Load
from bench.simulation import Job, Pilot, Policy, Simulation, World
from pilot.halting import Halting, halts_in

#: Seconds in which a machine boots, and its pilot is there: uniform between these.
BOOTS = (30.0, 90.0)
HOUR = 3600.0
HEADS = (
    "who buys",
    "machines",
    "without a job",
    "hours bought",
    "of the clairvoyant's",
    "of these, work",
    "jobs waited, median s",
    "p99 s",
)


@dataclass(frozen=True)
class Bought:
    """What came of it. Hours are those of whole machines."""

    machines: int
    empty_handed: int
    hours: float
    work: float  # of these: what the jobs ran, on as many cores as a machine has
    waits: list[float]  # seconds, of every job, in order of length


class Buying(Simulation):
    """Machines of a cloud in the place of pilots in batch queues. `period`: seconds that a machine is paid by; 0: it is
    paid by the second."""

    def __init__(self, world: World, load: Load, policy: Policy, period: int) -> None:
        super().__init__(world, load, policy)
        self.period = period
        self._until: dict[Pilot, float] = {}  # when the last of its jobs ends

    def buy(self) -> Bought:
        outcome = self.run()
        seconds = sum(self._paid(pilot) for pilot in self._over)
        work = sum(pilot.busy for pilot in self._over) / self.world.cores
        return Bought(outcome.pilots, outcome.empty_handed, seconds / HOUR, work / HOUR, sorted(outcome.waits))

    def _paid(self, pilot: Pilot) -> float:
        assert pilot.ended is not None
        clairvoyant = self.policy is Policy.CLAIRVOYANT
        whole = pilot.ended - pilot.sent + (sum(BOOTS) / 2 if clairvoyant else self.world.cycle)
        return math.ceil(whole / self.period) * self.period if self.period else whole

    def _delay(self) -> float:
        return self._rng.uniform(*BOOTS)

    def _patience(self, pilot: Pilot) -> float:
        up = self.now - pilot.sent
        if self.policy is not Policy.CLAIRVOYANT:
            halting = Halting(period=self.period)
            return max(0.0, halts_in(halting, self.world.idle, up=up, idle=0.0, running=False))
        return -(up + sum(BOOTS) / 2) % self.period if self.period else 0.0

    def _free_for(self, job: Job) -> Pilot | None:
        if self.policy is not Policy.CLAIRVOYANT:
            return super()._free_for(job)
        there = (pilot for number in self._of_task[job.task] for pilot in self._queues[number].pilots if pilot.free)
        end = self.now + job.runs
        # Best is one that is there for longer anyway, by as little as can be; else one that must stay the least longer.
        return min(there, key=lambda one: (self._ends(one) < end, abs(self._ends(one) - end)), default=None)

    def _ends(self, pilot: Pilot) -> float:
        return self._until.get(pilot, self.now)

    def _start(self, pilot: Pilot, job: Job) -> None:
        super()._start(pilot, job)
        self._until[pilot] = max(self._ends(pilot), self.now + job.runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshot", type=Path)
    work = load.production(parser.parse_args().snapshot)
    for jobs, world in (("bursts of 20 jobs", World()), ("single jobs", World(burst=1))):
        for paid, period in (("paid by the second", 0), ("paid by the hour", int(HOUR))):
            bought = {who: Buying(world, work, who, period).buy() for who in (Policy.OURS, Policy.CLAIRVOYANT)}
            best = bought[Policy.CLAIRVOYANT].hours
            rows = [_row(who, found, best) for who, found in bought.items()]
            what = f"{world.jobs:,} jobs in a day, {world.queues} queues of {world.cores}-core machines"
            report.table(f"{what}: {jobs}, {paid}", HEADS, rows)
    print(f"\n{work.about}")


def _row(policy: Policy, bought: Bought, best: float) -> tuple[object, ...]:
    waits = bought.waits
    return (
        {Policy.OURS: "our directors", Policy.CLAIRVOYANT: "a clairvoyant buyer"}[policy],
        f"{bought.machines:,}",
        f"{bought.empty_handed:,}",
        f"{bought.hours:,.0f}",
        f"{bought.hours / best:.2f}",
        f"{bought.work / bought.hours:.1%}",
        f"{waits[len(waits) // 2]:.0f}",
        f"{waits[len(waits) * 99 // 100]:.0f}",
    )


if __name__ == "__main__":
    main()
