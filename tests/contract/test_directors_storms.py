"""Whatever happens to directors and computing elements, in whatever order: no pilot too many, and none forgotten."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from central.directors.board import Wait
from central.directors.control import Limits
from central.directors.site import SiteDirector
from central.elements.port import ComputingError, Standing, Trouble
from central.store.sqlite import SqliteStore
from pilot.errors import Refusal
from pilot.states import LIVE_PILOT, PilotState
from tests.contract.stores import Clock, digest, enrolment
from tests.contract.test_directors import Doom, Killed, Mortal
from tests.director_scene import DUTY, Work, director
from tests.fake_element import FakeElement

SLOTS = 4
LAG = 20.0
#: Seconds that a leadership lasts that is not renewed.
LEAD = 30.0
Happening = Callable[["Storm", int], Awaitable[None]]


class Storm:
    """One queue, its computing element, and directors that come and go."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.store = SqliteStore(folder / "central.db", self.clock)
        self.element = FakeElement(self.clock, LAG)
        self.work = Work()
        self.number = 1  # of the process that leads
        self.mine = self.fresh()

    def fresh(self, doom: Doom | None = None) -> SiteDirector:
        limits = Limits(SLOTS, 3, 1)
        if doom is None:
            return director(self.store, self.element, self.work, limits)
        return director(Mortal(self.store, doom), Mortal(self.element, doom), self.work, limits)

    async def led(self) -> int:
        epoch = await self.store.lead(DUTY, f"central {self.number}", LEAD)
        assert epoch is not None
        return epoch

    # -- what may happen; the number says more where it matters --------------------------------------------------------
    async def time_passes(self, number: int) -> None:
        self.clock.forward(float(number * number))

    async def work_changes(self, number: int) -> None:
        self.work.waits = [Wait(1, number % 7, 1.0)] if number % 7 else []

    async def a_turn(self, _: int) -> None:
        await self.mine.cycle(await self.led())

    async def a_turn_of_one_that_was_deposed(self, _: int) -> None:
        before = self.element.numbers
        await self.fresh().cycle(await self.led() + 1)
        assert self.element.numbers == before, "one that does not lead has submitted"

    async def killed_before(self, number: int) -> None:
        await self.killed(Doom(number, True))

    async def killed_after(self, number: int) -> None:
        await self.killed(Doom(number, False))

    async def killed(self, doom: Doom) -> None:
        try:
            await self.fresh(doom).cycle(await self.led())
        except Killed:
            pass
        self.number += 1  # whoever comes next is another process, with an epoch of its own
        self.clock.forward(LEAD)
        self.mine = self.fresh()

    async def an_answer_is_lost(self, number: int) -> None:
        self.element.loses = {number % 3}

    async def one_is_refused(self, number: int) -> None:
        self.element.refuses = {number % 3: ComputingError("not now", Trouble.UNREACHABLE)}

    async def it_is_deaf(self, number: int) -> None:
        verb = ("submit", "listing", "cancel", "output")[number % 4]
        self.element.trouble[verb] = ComputingError("it did not answer", Trouble.UNREACHABLE)

    async def it_is_full(self, number: int) -> None:
        self.element.room = number % 4

    async def it_is_well(self, _: int) -> None:
        element = self.element
        element.loses, element.refuses, element.trouble, element.room = set(), {}, {}, None

    async def all_jobs_are_lost(self, _: int) -> None:
        self.element.jobs.clear()

    async def jobs_start(self, _: int) -> None:
        """What waits at the computing element starts, and calls if it may."""
        for job in self.element.live:
            job.standing = Standing.RUNNING
            try:
                await self.store.enrol(job.stamp, digest(job.secret), digest(job.stamp), enrolment())
            except Refusal:
                job.standing = Standing.ENDED  # it goes away, as a pilot does that is not let in

    async def jobs_end(self, number: int) -> None:
        for job in self.element.live[: number % 3]:
            job.standing, job.exit_code = Standing.ENDED, number % 2

    # -- and what is always so ----------------------------------------------------------------------------------------
    async def check(self) -> None:
        rows = (await self.store.pilots(None, states=sorted(LIVE_PILOT), limit=1000))[0]
        out = [row for row in rows if row.state not in (PilotState.PLANNED, PilotState.SUBMITTING)]
        assert len(out) <= SLOTS, "more pilots than slots"
        hashes = {row.stamp: row.secret_hash for row in rows}
        may = [job.stamp for job in self.element.live if hashes.get(job.stamp) == digest(job.secret)]
        stamps = [job.stamp for job in self.element.live]
        assert len(stamps) == len(set(stamps)), "one pilot submitted twice"
        assert len(may) <= SLOTS, "more submissions than slots"

    async def calm(self) -> None:
        """Everything is well for long enough: what waits has its pilots, and nothing is left that nobody knows."""
        await self.it_is_well(0)
        self.work.waits = [Wait(1, 2, 1.0)]
        for _ in range(6):
            self.clock.forward(4000.0)
            for _ in range(3):  # a look, and others when what has just begun is listed
                await self.mine.cycle(await self.led())
                self.clock.forward(LAG + 1)
        rows = {row.stamp for row in await self.store.live_pilots("local")}
        assert {job.stamp for job in self.element.live} <= rows, "submissions that no journal has"
        assert self.element.live, "jobs wait, and no pilot is on its way"


async def weathered(story: Sequence[tuple[Happening, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storm = Storm(Path(folder))
        await storm.store.open()
        try:
            for what, number in story:
                await what(storm, number)
                await storm.check()
            await storm.calm()
            await storm.check()
        finally:
            await storm.store.close()


HAPPENINGS = [
    Storm.time_passes,
    Storm.work_changes,
    Storm.a_turn,
    Storm.a_turn,  # more often than the others
    Storm.a_turn_of_one_that_was_deposed,
    Storm.killed_before,
    Storm.killed_after,
    Storm.an_answer_is_lost,
    Storm.one_is_refused,
    Storm.it_is_deaf,
    Storm.it_is_full,
    Storm.it_is_well,
    Storm.all_jobs_are_lost,
    Storm.jobs_start,
    Storm.jobs_end,
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, 25)), max_size=25))
def test_no_storm_doubles_or_loses_a_pilot(story: list[tuple[Happening, int]]) -> None:
    """Killed at any step, deposed, with answers lost, submissions refused, no list, no room, all jobs gone: never are
    there more pilots than slots, and none is submitted twice; and afterwards everything is in order."""
    asyncio.run(weathered(story))
