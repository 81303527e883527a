"""How long a central is away when it is started anew with 10⁶ waiting jobs, and what queues and jobs cost in memory:
`python -m bench.restart`.

Away: from the start of the process to the answer to a pilot's first match, over HTTPS. Memory: what the process of a
central holds, with more queues and with more jobs; and what the index of the matcher takes, by Python's own accounts.
"""

from __future__ import annotations

import gc
import signal
import time
import tracemalloc
from dataclasses import dataclass

import msgspec

from bench import centrals, load, report, samples, stores, wire
from bench.load import Load
from bench.stores import Options, Place
from central.matching.task_queues import TaskQueues
from central.records import TaskQueue, Waiting
from pilot.protocol import Needs

#: Jobs and queues: the first is the restart; memory is told by the differences.
SIZES = ((1_000_000, 1_000), (1_000, 1_000), (100_000, 1_000), (100_000, 100_000))
GOAL = "restart with 10⁶ waiting jobs ≤ 5 s; ≤ 4 kB a task queue; nothing for a waiting job"
STARTS = 3


@dataclass(frozen=True)
class Found:
    """Of one central: seconds until ready and until the first match, MB that its processes hold then."""

    ready: tuple[float, ...]
    match: tuple[float, ...]
    memory: float


def main() -> None:
    options = stores.options(__doc__ or "", rounds=STARTS)
    sizes = (*SIZES, (10_000_000, 1_000)) if options.full else SIZES
    with stores.place(options.stores) as place:
        rows: list[tuple[object, ...]] = []
        for name in options.stores:
            found = {}
            for jobs, queues in sizes:
                found[jobs, queues] = of = restarted(place, options, name, load.plain(jobs, queues))
                times = (*report.spread(of.ready), *report.spread(of.match))
                rows.append((name, f"{jobs:,}", f"{queues:,}", *times, f"{of.memory:.0f}"))
            small, large = found[100_000, 1_000].memory, found[100_000, 100_000].memory
            few, many = found[1_000, 1_000].memory, found[1_000_000, 1_000].memory
            rows.append((name, "", "one more", *[""] * 6, f"{1000 * (large - small) / 99_000:.1f} kB"))
            rows.append((name, "one more", "", *[""] * 6, f"{1e6 * (many - few) / 999_000:.0f} B"))
    heads = ("store", "jobs", "queues", "ready, s", "least", "most", "first match, s", "least", "most", "PSS, MB")
    report.table(f"A central is killed and started anew ({options.rounds} times)", heads, rows, GOAL)
    report.table("Memory of the matcher's index", ("load", "queues", "bytes a queue"), index())


def restarted(place: Place, options: Options, name: str, one: Load) -> Found:
    """Fill a store, then start a central on it again and again."""
    ready, match, memory = [], [], 0.0
    database = f"restart_{name}_{one.jobs}_{len(one.sweeps)}"

    async def prepare() -> tuple[centrals.Central, wire.Planned]:
        central = centrals.make(place.folder / database, name, await place.url(name, database), one)
        planned = await centrals.fill(central, options.rounds)
        await place.settle(name, database)
        return central, planned

    async def ask(number: int) -> None:
        pilot = (await wire.enrolled(central.url, central.ca, {number: planned[number]}))[0]
        assert await pilot.match(1), "a waiting job fits the first pilot"
        pilot.connection.close()

    central, planned = stores.run(prepare())
    for number in range(options.rounds):
        begun = time.perf_counter()
        ready.append(central.start())
        try:
            stores.run(ask(number))
            match.append(time.perf_counter() - begun)
            memory = samples.tree_pss(central.pid)
        finally:
            central.stop(signal.SIGKILL)  # the hard way: what it had not written is written by nobody
    return Found(tuple(ready), tuple(match), memory)


def index() -> list[tuple[object, ...]]:
    """Bytes that each queue takes in the index, with one view of it."""
    rows: list[tuple[object, ...]] = []
    for one in (load.plain(100_000, 1_000), load.plain(100_000, 100_000), load.hostile(100_000, 20_000)):
        gc.collect()
        tracemalloc.start()
        queues = TaskQueues()
        queues.load(_waiting(one))
        queues.settle(queues.choose(one.offers[0], 1), None)
        gc.collect()
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        rows.append((one.name, f"{len(one.sweeps):,}", f"{used / len(one.sweeps):,.0f}"))
    return rows


def _waiting(one: Load) -> list[Waiting]:
    """What the store would say of it."""
    found, first = [], 1
    for number, sweep in enumerate(one.sweeps, 1):
        who = sweep.who
        needs = msgspec.json.decode(msgspec.json.encode(sweep.needs), type=Needs)  # records of its own, as a store's
        task = TaskQueue(number, who.community, who.group, who.user, needs)
        found.append(Waiting(task, {sweep.priority: sweep.jobs}, first))
        first += sweep.jobs
    return found


if __name__ == "__main__":
    main()
