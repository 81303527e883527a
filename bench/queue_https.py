"""What a signed match costs over HTTPS, and how long it takes when pilots ask at their own pace: `python -m
bench.queue_https`.

A real central with 10⁶ waiting jobs (the sizes of the production snapshot, or `--load hostile`); pilots are simulated
over the wire by this process, whose CPU is not counted. In the open loop requests are due at random times, 200 a second
over 64 connections, and a latency counts from when its request was due, also when every connection was busy then.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from bench import centrals, load, report, samples, stores, wire
from bench.centrals import Central
from bench.engine import COUNTED
from bench.load import Load
from bench.samples import Cell, Meter, Sample
from bench.snapshot import JOBS
from bench.stores import Options, Place
from bench.wire import Given, Planned, WirePilot

WAITING = 1_000_000
CONNECTIONS = 64
#: Connections, jobs a request.
CELLS = ((1, 1), (8, 1), (64, 1), (8, 32), (64, 32))
RATE, OPEN_SECONDS, OPEN_ROUNDS = 200, 8.0, 2
#: Leases that a pilot holds whose heartbeats are measured.
HELD = 4
#: What a central finds out little by little about a kind of offer, it knows after so many.
WARM_ASKS = 10
GOAL = "≤ 0.8 ms of CPU a signed match (central and database); p99 < 20 ms in the open loop; ≥ 1,500 heartbeats/s"


@dataclass
class Scene:
    """One central and its pilots: those that ask for jobs, and those that only beat."""

    central: Central
    server: int | None
    asking: list[WirePilot] = field(default_factory=list)
    beating: list[WirePilot] = field(default_factory=list)
    leases: list[Given] = field(default_factory=list)

    async def open(self, planned: Planned) -> None:
        pilots = await wire.enrolled(self.central.url, self.central.ca, planned)
        self.asking, self.beating = pilots[:CONNECTIONS], pilots[CONNECTIONS:]
        for _ in range(WARM_ASKS):
            for pilot in self.asking:
                self.leases += await pilot.match(1)
        for pilot in self.beating:
            pilot.leases = await pilot.match(HELD)
            self.leases += pilot.leases

    def close(self) -> None:
        for pilot in (*self.asking, *self.beating):
            pilot.connection.close()

    def meter(self) -> Meter:
        return Meter(self.server, self.central.pid)

    # -- closed loops: each connection asks again as soon as it has its answer ----------------------------------------
    def match(self, connections: int, most: int) -> Cell:
        return Cell((self.central.name, "match", connections, most), partial(self._match, connections, most))

    def beat(self) -> Cell:
        return Cell((self.central.name, f"heartbeat, {HELD} leases", CONNECTIONS, "–"), self._beats)

    async def _match(self, connections: int, most: int, seconds: float) -> Sample:
        with self.meter() as sample:
            until = time.perf_counter() + seconds
            await asyncio.gather(*(self._ask(pilot, most, until, sample) for pilot in self.asking[:connections]))
        return sample

    async def _ask(self, pilot: WirePilot, most: int, until: float, sample: Sample) -> None:
        while (begun := time.perf_counter()) < until:
            leases = await pilot.match(most)
            sample.latencies.append(time.perf_counter() - begun)
            sample.jobs += len(leases)
            sample.empty += not leases
            self.leases += leases

    async def _beats(self, seconds: float) -> Sample:
        with self.meter() as sample:
            until = time.perf_counter() + seconds
            await asyncio.gather(*(_beat(pilot, until, sample) for pilot in self.beating))
        return sample

    # -- an open loop: requests come when they come -------------------------------------------------------------------
    def open_loop(self, seed: int) -> Cell:
        return Cell((self.central.name, "match", CONNECTIONS, 1), partial(self._open_loop, seed))

    async def _open_loop(self, seed: int, seconds: float) -> Sample:
        rng = random.Random(seed)
        idle: asyncio.Queue[WirePilot] = asyncio.Queue()
        for pilot in self.asking:
            idle.put_nowait(pilot)
        tasks = []
        with self.meter() as sample:
            begun = due = time.perf_counter()
            while due < begun + seconds:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                tasks.append(asyncio.create_task(self._one(idle, due, sample)))
                due += rng.expovariate(RATE)
            await asyncio.gather(*tasks)
        return sample

    async def _one(self, idle: asyncio.Queue[WirePilot], due: float, sample: Sample) -> None:
        pilot = await idle.get()
        leases = await pilot.match(1)
        sample.latencies.append(time.perf_counter() - due)
        idle.put_nowait(pilot)
        sample.jobs += len(leases)
        sample.empty += not leases
        self.leases += leases

    async def counted(self) -> tuple[object, ...]:
        """After the central has stopped, as `Engine.counted`."""
        store = self.central.store()
        await store.open()
        states = (await store.counts())["jobs"]
        await store.close()
        waiting = states.get("waiting", 0)
        out = sum(states.values()) - waiting
        distinct = {(lease.job, lease.attempt) for lease in self.leases}
        doubled = len(self.leases) - len(distinct) + abs(len(distinct) - out)
        numbers = (f"{number:,}" for number in (self.central.one.jobs, waiting, out, len(distinct)))
        return (self.central.name, *numbers, doubled, self.central.one.jobs - waiting - out)


async def _beat(pilot: WirePilot, until: float, sample: Sample) -> None:
    while (begun := time.perf_counter()) < until:
        await pilot.beat()
        sample.latencies.append(time.perf_counter() - begun)
        sample.jobs += 1


def main() -> None:
    options = stores.options(__doc__ or "")
    with stores.place(options.stores) as place:
        if options.load != "hostile":
            stores.run(measure(place, options, load.production(options.snapshot, WAITING / JOBS)))
        if options.load != "production":
            stores.run(measure(place, options, load.hostile_of(full=options.full)))


async def measure(place: Place, options: Options, one: Load) -> None:
    async with AsyncExitStack() as stack:
        scenes = []
        for name, store, workers in variants(options):
            database = f"https_{one.name}_{store}_{workers}"
            central = centrals.make(place.folder / database, name, await place.url(store, database), one, workers)
            planned = await centrals.fill(central, 2 * CONNECTIONS)
            await place.settle(store, database)
            stack.enter_context(centrals.running(central))
            scene = Scene(central, place.pid(store))
            await scene.open(planned)
            stack.callback(scene.close)
            scenes.append(scene)
        cells = [cell for scene in scenes for cell in (*(scene.match(*each) for each in CELLS), scene.beat())]
        found = await samples.interleaved(cells, options.rounds, options.seconds)
        opened = [scene.open_loop(seed=number) for number, scene in enumerate(scenes)]
        late = await samples.interleaved(opened, OPEN_ROUNDS, OPEN_SECONDS)
        memory = [(scene.central.name, f"{samples.tree_pss(scene.central.pid):.0f}") for scene in scenes]
    show(options, one, list(zip(cells, found, strict=True)), list(zip(opened, late, strict=True)))
    report.table("Memory of the centrals afterwards", ("central", "PSS, MB"), memory)
    report.table("And every job was counted", ("central", *COUNTED[1:]), [await scene.counted() for scene in scenes])


def variants(options: Options) -> list[tuple[str, str, int]]:
    """Name, store, workers."""
    names = []
    for store in options.stores:
        names.append((f"{store}, 1 process", store, 1))
        if store == "postgres":
            names.append((f"{store}, 2 processes", store, 2))
    return names


def show(
    options: Options, one: Load, closed: list[tuple[Cell, list[Sample]]], opened: list[tuple[Cell, list[Sample]]]
) -> None:
    heads = ("central", "request", "connections", "most", "jobs/request", *samples.HEADS)
    title = f"Signed requests over HTTPS ({options.rounds} rounds of {options.seconds:g} s)"
    rows = [(*cell.names, _each(of), *samples.figures(of)) for cell, of in closed]
    report.table(f"{title}: {one.about}", heads, rows, GOAL)
    rows = [(*cell.names, _each(of), *samples.figures(of)) for cell, of in opened]
    report.table(f"{RATE} requests/s due at random ({OPEN_ROUNDS} × {OPEN_SECONDS:g} s)", heads, rows, GOAL)


def _each(of: list[Sample]) -> str:
    asked = sum(len(sample.latencies) for sample in of)
    return f"{sum(sample.jobs for sample in of) / asked:.1f}" if asked else "–"


if __name__ == "__main__":
    main()
