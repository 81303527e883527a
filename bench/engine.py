"""The central's matching without its network: dispatcher and store in this process, and pilots that ask them.

With shares and limits, as in a central that serves.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from bench.load import Load
from bench.samples import Cell, Meter, Sample
from central.clock import SystemClock
from central.dispatching.dispatch import Dispatcher
from central.fleet.presence import Presence
from central.matching.shares import Standings
from central.records import Leased, NewPilot, PilotRow
from central.store.port import Store
from pilot.protocol import AttemptReport, EnrolRequest, MatchRequest, Offer
from pilot.states import Outcome, Phase

#: Pilots at most that ask at the same time.
PILOTS = 64
#: Seconds that no measurement lasts.
FAR = 1e6
WARM_ROUNDS = 200
ENDED = AttemptReport(Phase.ENDED, Outcome.SUCCESS, exit_code=0)


@dataclass
class Asker:
    """One pilot with one agent. Its node stays the same; the seconds that it has left differ from time to time."""

    row: PilotRow
    offer: Offer
    number: int = 0
    widths: dict[int, tuple[Offer, ...]] = field(default_factory=dict)

    def request(self, most: int) -> MatchRequest:
        self.number += 1
        offers = self.widths.get(most)
        if offers is None:
            offers = self.widths[most] = tuple(widened(self.offer, most, late) for late in range(5))
        return MatchRequest(self.number, offers[self.number % len(offers)], most=most)


def widened(offer: Offer, most: int, late: int) -> Offer:
    """The same node with room for so many jobs, a little later."""
    assert isinstance(offer.memory, int)
    assert isinstance(offer.disk, int)
    assert isinstance(offer.seconds_left, int)
    return replace(
        offer,
        cores=offer.cores * most,
        memory=offer.memory * most,
        disk=offer.disk * most,
        seconds_left=offer.seconds_left - 60 * late,
    )


class Engine:
    """One store with a load in it. `server` is the process whose tree is its database, None when it has none."""

    def __init__(self, name: str, store: Store, load: Load, server: int | None = None) -> None:
        self.name = name
        self.store = store
        self.load = load
        self.server = server
        self.askers: list[Asker] = []
        self.leases: list[tuple[int, int]] = []  # every one that was given out: job, attempt
        self.given_back: set[tuple[int, int]] = set()
        self.dispatcher: Dispatcher

    async def open(self) -> None:
        """Enrol the pilots, and read what waits, as a central does. The store is open and filled."""
        clock = SystemClock()
        standings = Standings(self.load.communities())
        presence = Presence(clock.now)
        self.dispatcher = Dispatcher(
            self.store, presence, clock, 1000, standings=standings, together=lambda queue: True
        )
        await self.store.set_limits(self.load.limits())
        await self.dispatcher.start()
        await self.dispatcher.refresh_use()
        epoch = await self.store.lead("bench", "bench", FAR)
        assert epoch is not None
        self.askers = [await self._enrolled(number, epoch) for number in range(PILOTS)]

    async def _enrolled(self, number: int, epoch: int) -> Asker:
        offer = self.load.offers[number % len(self.load.offers)]
        stamp, secret = f"{number:032x}", hashlib.sha256(str(number).encode()).hexdigest()
        new = NewPilot(stamp, offer.site, "ce", offer.communities, secret, FAR, 86_400, None)
        await self.store.plan_pilot(new)
        assert await self.store.submitting(stamp, "bench", epoch)
        row = await self.store.enrol(stamp, secret, secret, EnrolRequest("secret", "key", "1"))
        return Asker(row, offer)

    async def introduce(self) -> list[float]:
        """Each pilot asks once: seconds of the first answer to a kind of offer that was not seen before."""
        return [latency for asker in self.askers for latency in (await self._first(asker)).latencies]

    def warm(self, most: float) -> None:
        """Choose for each pilot again and again without claiming, for at most so many seconds: what the matcher finds
        out about a kind of offer little by little it knows then, as in a central that has served for a while."""
        until = time.perf_counter() + most
        for _ in range(WARM_ROUNDS):
            for asker in self.askers:
                choice = self.dispatcher.queues.choose(widened(asker.offer, 1, 0), 1)
                self.dispatcher.queues.settle(choice, None)
            if time.perf_counter() > until:
                return

    async def _first(self, asker: Asker) -> Sample:
        sample = Sample()
        await self._ask_some(asker, 1, iter((0,)), sample, [])
        return sample

    def cell(self, workers: int, most: int, *, end: bool = False) -> Cell:
        """So many pilots ask again and again for up to so many jobs; with `end` they also report that each is done."""
        return Cell((self.name, workers, most), partial(self._run, workers, most, end))

    async def _run(self, workers: int, most: int, end: bool, seconds: float) -> Sample:
        await self.dispatcher.refresh_use()
        with Meter(self.server) as sample:
            until = time.perf_counter() + seconds
            await asyncio.gather(*(self._ask(asker, most, end, until, sample) for asker in self.askers[:workers]))
        return sample

    async def _ask(self, asker: Asker, most: int, end: bool, until: float, sample: Sample) -> None:
        while (begun := time.perf_counter()) < until:
            leases = (await self.dispatcher.match(asker.row, asker.request(most))).leases
            sample.latencies.append(time.perf_counter() - begun)
            sample.jobs += len(leases)
            sample.empty += not leases
            self.leases += ((leased.job, leased.attempt) for leased in leases)
            if end:
                await asyncio.gather(*(self._end(asker, leased) for leased in leases))

    async def _end(self, asker: Asker, leased: Leased) -> None:
        await self.store.report(asker.row.stamp, leased.job, leased.attempt, ENDED)

    async def some(self, workers: int, most: int, requests: int) -> Sample:
        """So many requests in all; what they won goes back to its queues afterwards, unmeasured."""
        first = len(self.leases)
        held: list[tuple[Asker, Leased]] = []
        with Meter(self.server) as sample:
            numbers = iter(range(requests))
            await asyncio.gather(
                *(self._ask_some(asker, most, numbers, sample, held) for asker in self.askers[:workers])
            )
        await self._give_back(held)
        self.given_back.update(self.leases[first:])
        return sample

    async def _ask_some(
        self, asker: Asker, most: int, numbers: Iterator[int], sample: Sample, held: list[tuple[Asker, Leased]]
    ) -> None:
        for _ in numbers:
            begun = time.perf_counter()
            leases = (await self.dispatcher.match(asker.row, asker.request(most))).leases
            sample.latencies.append(time.perf_counter() - begun)
            sample.jobs += len(leases)
            sample.empty += not leases
            self.leases += ((leased.job, leased.attempt) for leased in leases)
            held += ((asker, leased) for leased in leases)

    async def _give_back(self, held: list[tuple[Asker, Leased]]) -> None:
        for stamp, own in itertools.groupby(sorted(held, key=_stamp), key=_stamp):
            leases = [(leased.job, leased.attempt) for _, leased in own]
            self.dispatcher.jobs_requeued(await self.store.release(stamp, leases, "measured"))

    async def counted(self) -> tuple[object, ...]:
        """After all: submitted, waiting, out or ended, leases handed out, doubled, lost. The last two are to be 0."""
        states = (await self.store.counts())["jobs"]
        waiting = states.get("waiting", 0)
        out = sum(states.values()) - waiting
        distinct = set(self.leases)
        kept = len(distinct - self.given_back)
        doubled = len(self.leases) - len(distinct)
        lost = self.load.jobs - waiting - out
        return (
            self.name,
            *(f"{number:,}" for number in (self.load.jobs, waiting, out, kept)),
            doubled + abs(kept - out),
            lost,
        )


COUNTED = ("store", "submitted", "waiting", "out or ended", "leases handed out", "doubled", "lost")


def _stamp(held: tuple[Asker, Leased]) -> str:
    return held[0].row.stamp
