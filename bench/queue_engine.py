"""How fast jobs are matched in the engine, beside the barest loops and pgqueuer: `python -m bench.queue_engine`.

Matched: chosen for an offer in memory and claimed in the store, durable when answered. In one process, by turns in each
round: dispatcher and store, a bare loop that claims rows on the same server, SQLite's, and pgqueuer. The last also
completes each job, so there is a row of ours that does.
"""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack
from dataclasses import replace

from bench import load, peers, report, samples, stores
from bench.cluster import Cluster
from bench.engine import COUNTED, Engine
from bench.floors import BarePostgres, BareSqlite
from bench.load import Load
from bench.samples import Cell, Sample
from bench.stores import Options, Place

WORKERS = (1, 8, 64)
#: Managers and batch sizes of pgqueuer; the larger the batch, the more it favours it.
#: Seconds at most that choices are made before anything is measured.
WARM_SECONDS = 20.0
PEER = ((1, 10), (1, 1000), (8, 100), (64, 10))
BEFORE = (
    "store",
    "filled, jobs/s",
    "read at the start, s",
    "first ask of a pilot, median ms",
    "memory of the process, MB more",
)
GOAL = "half the rate of the bare loop, 10,000 batched matches/s, more than pgqueuer; SQLite 1,000/s"


def main() -> None:
    options = stores.options(__doc__ or "", seconds=0.7, load="both")
    with stores.place(options.stores) as place:
        if options.load != "hostile":
            stores.run(measure(place, options, load.production(options.snapshot), (1, 32, 100), complete=True))
        if options.load != "production":
            stores.run(measure(place, options, load.hostile_of(full=options.full), (1, 32), complete=False))


async def measure(place: Place, options: Options, one: Load, mosts: tuple[int, ...], *, complete: bool) -> None:
    """One load in every store: the table, then the count of what became of every job. With `complete` also pgqueuer,
    and our jobs when they are ended as well."""
    async with AsyncExitStack() as stack:
        engines, notes = [], []
        for name in options.stores:
            store = await stack.enter_async_context(place.store(name, f"engine_{one.name}_{name}"))
            before = report.memory(os.getpid()).rss
            engine = Engine(name, store, one, place.pid(name))
            seconds = await load.fill(store, one)
            await place.settle(name, f"engine_{one.name}_{name}")
            begun = time.perf_counter()
            await engine.open()
            read = time.perf_counter() - begun
            first = samples.part(await engine.introduce(), 0.5)
            engine.warm(WARM_SECONDS)
            engines.append(engine)
            memory = report.memory(os.getpid()).rss - before
            notes.append((name, f"{one.jobs / seconds:,.0f}", f"{read:.1f}", f"{1000 * first:.1f}", f"{memory:.0f}"))
        cells = [cell for engine in engines for cell in ours(engine, mosts, complete)]
        cells += await loops(place, options, mosts, stack)
        if complete and place.server:
            cells += await peer(place.server, stack)
        for cell in cells:
            await cell.run(0.2)
        found = await samples.interleaved(cells, options.rounds, options.seconds)
        rows = [(*cell.names, *each, *samples.figures(of)) for cell, each, of in compared(cells, found)]
        heads = ("what", "pilots", "most", "jobs/ask", "of the loop", *samples.HEADS)
        title = f"Matches in the engine, {one.name} ({options.rounds} rounds of {options.seconds:g} s)"
        report.table(f"{title}: {one.about}", heads, rows, GOAL)
        report.table("Before that", BEFORE, notes)
        report.table("And every job was counted", COUNTED, [await engine.counted() for engine in engines])


def ours(engine: Engine, mosts: tuple[int, ...], complete: bool) -> list[Cell]:
    cells = [engine.cell(workers, most) for most in mosts for workers in WORKERS]
    if not complete:
        return cells
    ends = [engine.cell(workers, most, end=True) for workers, most in ((1, 32), (8, 32), (64, 1))]
    return cells + [replace(cell, names=(f"{engine.name}, and ended", *cell.names[1:])) for cell in ends]


async def loops(place: Place, options: Options, mosts: tuple[int, ...], stack: AsyncExitStack) -> list[Cell]:
    cells: list[Cell] = []
    if "sqlite" in options.stores:
        bare = BareSqlite(place.folder / "bare.db")
        bare.open()
        stack.callback(bare.close)
        cells += [bare.cell(most) for most in mosts]
    if place.server:
        loop = BarePostgres(await place.server.make("bare"), place.server.pid, max(WORKERS))
        await loop.open()
        stack.push_async_callback(loop.close)
        cells += [loop.cell(workers, most) for most in mosts for workers in WORKERS]
    return cells


async def peer(server: Cluster, stack: AsyncExitStack) -> list[Cell]:
    if not peers.installed():
        print("pgqueuer is left out: it is not installed (pip install pgqueuer).")
        return []
    queuer = peers.PgQueuer(await server.make("peer"), server.pid)
    await queuer.open()
    stack.push_async_callback(queuer.close)
    return [queuer.cell(workers, batch) for workers, batch in PEER]


def compared(cells: list[Cell], found: list[list[Sample]]) -> list[tuple[Cell, tuple[str, str], list[Sample]]]:
    """Each with the jobs that a request got, and its rate as a part of the bare loop's with as many claims at once."""
    known = {cell.names: of for cell, of in zip(cells, found, strict=True)}
    rows = []
    for cell, of in zip(cells, found, strict=True):
        name, workers, most = cell.names
        asked = sum(len(sample.latencies) for sample in of)
        jobs = f"{sum(sample.jobs for sample in of) / asked:.1f}" if asked else "–"
        loop = {
            "sqlite": known.get(("SQLite loop", 1, most)),
            "postgres": known.get(("SKIP LOCKED loop", workers, most)),
        }.get(str(name))
        rows.append((cell, (jobs, f"{samples.ratio(of, loop):.0%}" if loop else "–"), of))
    return rows


if __name__ == "__main__":
    main()
