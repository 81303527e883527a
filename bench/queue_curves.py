"""Does a match cost more when more waits? From 10³ to 10⁶ jobs (`--full`: 10⁷), and from 10 to 10⁵ queues:
`python -m bench.queue_curves`.

In the engine, eight pilots. What a round has matched goes back to its queues before the next, so the backlog stays.
"""

from __future__ import annotations

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


async def curve(place: Place, options: Options, name: str, loads: list[Load]) -> None:
    rows, counted = [], []
    for one in loads:
        for store in options.stores:
            row, count = await point(place, options, store, one)
            rows.append(row)
            counted.append(count)
    rows.sort(key=lambda row: options.stores.index(str(row[0])))
    report.table(f"Cost of a match against the number of {name} ({options.rounds} rounds)", HEADS, rows, GOAL)
    report.table("And every job was counted", COUNTED, counted)


async def point(place: Place, options: Options, name: str, one: Load) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """One store with one load in it: its row, and the count of its jobs."""
    async with place.store(name, "curve") as store:
        await load.fill(store, one)
        engine = Engine(name, store, one, place.pid(name))
        await engine.open()
        first = samples.part(await engine.introduce(), 0.5)
        found: list[list[Sample]] = [[] for _ in CELLS]
        for number in range(options.rounds + 1):
            for cell, of in zip(CELLS, found, strict=True):
                sample = await engine.some(*cell)
                if number:  # the first is for the caches
                    of.append(sample)
        figures = [figure for of in found for figure in short(of)]
        row = (name, f"{one.jobs:,}", f"{len(one.sweeps):,}", *figures, f"{1000 * first:.1f}")
        return row, await engine.counted()


def short(of: list[Sample]) -> tuple[str, ...]:
    """p50, p99, CPU of both sides: of what `samples.figures` tells."""
    *_, p50, p99, _, _, both = samples.figures(of)
    return p50, p99, both


if __name__ == "__main__":
    main()
