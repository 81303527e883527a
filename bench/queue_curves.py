"""Does a match cost more when more waits? From 10³ to 10⁶ jobs (`--full`: 10⁷), and from 10 to 10⁵ queues:
`python -m bench.queue_curves`.

In the engine, eight pilots. What a round has matched goes back to its queues before the next, so the backlog stays.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from bench import load, report, samples, stores
from bench.engine import COUNTED, Engine
from bench.load import Load
from bench.samples import Sample
from bench.stores import Options, Place

JOBS = (1_000, 10_000, 100_000, 1_000_000)
QUEUES = (10, 100, 1_000, 10_000, 100_000)
#: The other size of each curve.
QUEUES_OF_JOBS, JOBS_OF_QUEUES = 100, 100_000
#: Pilots, jobs an ask, asks a round.
CELLS = ((8, 1, 200), (8, 32, 24))
HEADS = (
    "store",
    "jobs",
    "queues",
    *(
        f"{what}, {'one job' if most == 1 else f'up to {most}'}"
        for _, most, _ in CELLS
        for what in ("p50 ms", "p99 ms", "CPU ms a match")
    ),
    "first ask of a pilot, ms",
)
GOAL = "the cost of a match does not grow with jobs, and hardly with queues"


def main() -> None:
    options = stores.options(__doc__ or "", rounds=5)
    with stores.place(options.stores) as place:
        most = (*JOBS, 10_000_000) if options.full else JOBS
        stores.run(curve(place, options, "jobs", [load.plain(jobs, QUEUES_OF_JOBS) for jobs in most]))
        by_queues = [load.plain(max(JOBS_OF_QUEUES, queues), queues) for queues in QUEUES]
        stores.run(curve(place, options, "queues", by_queues))


@dataclass
class Point:
    """One store with one load in it, and what was measured there."""

    engine: Engine
    first: float  # seconds until a pilot that was never heard of has its first answer
    found: tuple[list[Sample], ...]  # by cell

    async def measure(self, *, keep: bool) -> None:
        for cell, of in zip(CELLS, self.found, strict=True):
            sample = await self.engine.some(*cell)
            if keep:
                of.append(sample)

    def row(self) -> tuple[object, ...]:
        one = self.engine.load
        figures = [figure for of in self.found for figure in short(of)]
        return (self.engine.name, f"{one.jobs:,}", f"{len(one.sweeps):,}", *figures, f"{1000 * self.first:.1f}")


async def curve(place: Place, options: Options, name: str, loads: list[Load]) -> None:
    """All points of a curve, which take turns, so that what else the machine does bends none of them alone."""
    async with AsyncExitStack() as stack:
        points = [await filled(place, store, one, stack) for store in options.stores for one in loads]
        for number in range(options.rounds + 1):
            for point in points:
                await point.measure(keep=number > 0)  # the first is for the caches
        rows = [point.row() for point in points]
        counted = [(point.engine.load.about, *await point.engine.counted()) for point in points]
    report.table(f"Cost of a match against the number of {name} ({options.rounds} rounds)", HEADS, rows, GOAL)
    report.table("And every job was counted", ("load", *COUNTED), counted)


async def filled(place: Place, name: str, one: Load, stack: AsyncExitStack) -> Point:
    database = f"curve_{name}_{one.jobs}_{len(one.sweeps)}"
    store = await stack.enter_async_context(place.store(name, database))
    await load.fill(store, one)
    await place.settle(name, database)
    engine = Engine(name, store, one, place.pid(name))
    await engine.open()
    return Point(engine, samples.part(await engine.introduce(), 0.5), tuple([] for _ in CELLS))


def short(of: list[Sample]) -> tuple[str, ...]:
    """p50, p99, CPU of both sides: of what `samples.figures` tells."""
    *_, p50, p99, _, _, both = samples.figures(of)
    return p50, p99, both


if __name__ == "__main__":
    main()
