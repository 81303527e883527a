"""What the central does beside answering: leads, writes down who was heard, sweeps, tidies, sums up what was used,
lets go of old jobs, and runs the directors.

Each duty is a loop of its own, so that one that hangs holds up none of the others. A turn that fails for a reason that
may pass is logged and tried again. A loop that ends any other way than by the stop event ends `run` with an error, and
with it the central.

What the leader alone does may be done by two for a moment, when a leader has lost its lead and not noticed: sweeping,
summing and letting go change what the store finds to be so at that moment, and doing them twice is doing them once.
What a director does outside is fenced by the epoch that it is given.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from central.clock import Clock
from central.dispatching.dispatch import Dispatcher
from central.fleet.hearing import Hearing
from central.fleet.presence import Presence
from central.records import Swept
from central.store.port import Store
from pilot.errors import PilotageError

log = logging.getLogger(__name__)

#: Seconds that turns under way may take to end when the central stops.
GRACE = 5.0
#: Seconds between looks at which cycles there are to be.
LOOK = 0.5
#: Old jobs that are let go of in one step, and seconds until the next step, so that others have the store between.
STEP = 500
PAUSE = 0.5


class DutyDied(PilotageError):
    """A loop that must run for as long as the central does has ended."""


@dataclass(frozen=True)
class Times:
    """How often, in seconds."""

    beat: float = 10.0  # what pilots were told; the sweep waits for two of these after a start and after a standstill
    call_back: float = 0.0  # within this pilots try again that could not reach the central; the sweep waits as long
    silent_after: float = 180.0
    lead: float = 30.0  # how long a leadership lasts that is not renewed; it is renewed three times as often
    flush: float = 1.0
    sweep: float = 5.0
    tidy: float = 60.0
    refresh: float = 600.0  # between readings of all counts
    forget: float = 86400.0  # pilots not heard for so long are no longer remembered
    use: float = 10.0  # between readings of what was used
    roll_up: float = 300.0  # between sums of what was used in hours that are over
    retire: float = 600.0  # between looks for old jobs
    keep: float | None = None  # a job is kept after its end; None: for ever


@dataclass(frozen=True)
class Cycle:
    """Something that the leader does again and again, as a director. `run` gets the epoch of the leadership."""

    name: str
    interval: float  # seconds from the end of one turn to the next
    run: Callable[[int], Awaitable[None]]
    patience: float = 1800.0  # seconds after which a turn that hangs is given up
    over: Callable[[], Awaitable[None]] | None = None  # called once, when it is not done any more


@dataclass(eq=False)
class _Loop:
    """A cycle that is being run."""

    cycle: Cycle
    stop: asyncio.Event
    task: asyncio.Task[None]


class Duties:
    """The background of one central.

    `duty` is what it leads; `holder` names it among other centrals, and is the same after a restart; `swept` is told
    what every sweep found. `changing` says which cycles there are to be now beside `cycles`: one that is not among them
    any more ends with the turn that it is in, and another of its name begins after that.
    """

    def __init__(
        self,
        store: Store,
        presence: Presence,
        dispatcher: Dispatcher,
        clock: Clock,
        *,
        duty: str,
        holder: str,
        times: Times = Times(),
        cycles: Sequence[Cycle] = (),
        changing: Callable[[], Awaitable[Sequence[Cycle]]] | None = None,
        swept: Callable[[Swept], None] = lambda swept: None,
    ) -> None:
        self._store = store
        self._presence = presence
        self._dispatcher = dispatcher
        self._clock = clock
        self._duty = duty
        self._holder = holder
        self._times = times
        self._cycles = cycles
        self._changing = changing
        self._swept = swept
        self._hearing = Hearing.begun(times.beat, clock.now(), times.call_back)
        self._epoch = 0
        self._leads_until = float("-inf")

    @property
    def epoch(self) -> int | None:
        """The epoch of the leadership; None while this central does not lead."""
        return self._epoch if self._clock.now() < self._leads_until else None

    def _leads(self) -> bool:
        return self.epoch is not None

    async def run(self, stop: asyncio.Event) -> None:
        """Do every duty until the event is set. Raises `DutyDied` when one of them cannot go on."""
        self._hearing = Hearing.begun(self._times.beat, self._clock.now(), self._times.call_back)
        loops = {
            "lead": self._every(stop, self._times.lead / 3, self._lead),
            "flush": self._every(stop, self._times.flush, self._flush),
            "look": self._every(stop, self._times.beat / 2, self._look),
            "sweep": self._every(stop, self._times.sweep, self._sweep),
            "tidy": self._every(stop, self._times.tidy, self._tidy),
            "refresh": self._every(stop, self._times.refresh, self._dispatcher.refresh, at_once=False),
            "use": self._every(stop, self._times.use, self._dispatcher.refresh_use, at_once=False),
            "roll up": self._every(stop, self._times.roll_up, self._roll_up),
            "retire": self._every(stop, self._times.retire, self._retire, at_once=False),
            **{cycle.name: self._every(stop, cycle.interval, self._turn(cycle)) for cycle in self._cycles},
        }
        if self._changing:
            loops["what changes"] = self._follow(stop, self._changing)
        tasks = {name: asyncio.create_task(loop) for name, loop in loops.items()}
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                raise _died(tasks)
            await self._within(GRACE, asyncio.gather(*tasks.values(), return_exceptions=True))
        finally:
            await _end(stopping, *tasks.values())

    async def _every(
        self,
        stop: asyncio.Event,
        interval: float,
        turn: Callable[[], Awaitable[object]],
        *,
        at_once: bool = True,
    ) -> None:
        """Take turns until the event is set."""
        if not at_once:
            await self._within(interval, stop.wait())
        while not stop.is_set():
            try:
                await turn()
            except (PilotageError, OSError) as error:
                log.warning("%s; it is tried again in %.0f s", error, interval)
            await self._within(interval, stop.wait())

    async def _follow(self, stop: asyncio.Event, changing: Callable[[], Awaitable[Sequence[Cycle]]]) -> None:
        """Run the cycles that come and go until the event is set."""
        loops: dict[str, _Loop] = {}
        try:
            while not stop.is_set():
                wanted = {cycle.name: cycle for cycle in await changing()}
                for name, loop in list(loops.items()):
                    if wanted.get(name) is not loop.cycle:
                        loop.stop.set()
                    if loop.task.done():
                        del loops[name]
                        await self._ended(loop)
                for name in wanted.keys() - loops.keys():
                    loops[name] = self._begun(wanted[name])
                await self._within(LOOK, stop.wait())
        finally:
            for loop in loops.values():
                loop.stop.set()
            await self._within(GRACE, asyncio.gather(*(loop.task for loop in loops.values()), return_exceptions=True))
            for loop in loops.values():
                await _end(loop.task)
                await self._let_go(loop.cycle)

    async def _ended(self, loop: _Loop) -> None:
        """A loop that was not asked to end has died, and its error is ours."""
        loop.task.result()
        if not loop.stop.is_set():
            raise DutyDied(f"{loop.cycle.name} has ended without being asked to")
        await self._let_go(loop.cycle)

    async def _let_go(self, cycle: Cycle) -> None:
        if cycle.over is None:
            return
        try:
            if not await self._within(GRACE, cycle.over()):
                log.warning("%s: letting go of what it held took more than %.0f s", cycle.name, GRACE)
        except Exception as error:  # as in a turn
            log.warning("%s: what it held was not let go of: %s", cycle.name, error, exc_info=error)

    def _begun(self, cycle: Cycle) -> _Loop:
        stop = asyncio.Event()
        return _Loop(cycle, stop, asyncio.create_task(self._every(stop, cycle.interval, self._turn(cycle))))

    async def _within(self, seconds: float, work: Awaitable[object]) -> bool:
        """Wait for something, and cancel it after so many seconds. Returns whether it ended; raises its error."""
        task = asyncio.ensure_future(work)
        patience = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait({task, patience}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return False
            task.result()
            return True
        finally:
            await _end(task, patience)

    # -- the duties -------------------------------------------------------------------------------------------------
    async def _lead(self) -> None:
        # Counted from before the question, so that this central never believes longer than the store does.
        asked = self._clock.now()
        epoch = await self._store.lead(self._duty, self._holder, self._times.lead)
        if epoch is None:
            self._leads_until = float("-inf")
            return
        if epoch != self._epoch:
            log.info("This central leads, in epoch %d", epoch)
        self._epoch = epoch
        self._leads_until = asked + self._times.lead

    async def _flush(self) -> None:
        await self._presence.flush(self._store)

    async def _look(self) -> None:
        """See whether this central stood still, or could not reach its store."""
        before = self._hearing
        time = await self._store.now()
        now = self._clock.now()
        self._hearing = before.look(now, time)
        if self._hearing.since != before.since:
            self._leads_until = float("-inf")  # another may lead by now: it is asked again first
            log.warning(
                "This central heard nobody for a while: no pilot is taken for lost in the next %.0f s", before.wait
            )

    async def _sweep(self) -> None:
        if self.epoch is None:
            return
        await self._look()
        if not self._hearing.judges(self._clock.now()):
            return
        await self._presence.flush(self._store)
        swept = await self._store.sweep(self._times.silent_after)
        if swept.silent or swept.ended:
            log.info("%d pilots are silent, %d attempts are lost with theirs", len(swept.silent), len(swept.ended))
        self._dispatcher.jobs_requeued([end.requeued for end in swept.ended if end.requeued])
        self._swept(swept)

    async def _tidy(self) -> None:
        self._dispatcher.tidy()
        self._presence.drop(self._times.forget)

    async def _roll_up(self) -> None:
        if self.epoch is not None and (hours := await self._store.roll_up()):
            log.info("What was used is summed up for %d hours", hours)

    async def _retire(self) -> None:
        """Let go of jobs that ended long ago, in steps, for as long as this central leads."""
        if self._times.keep is None or not self._leads():
            return
        before = await self._store.now() - self._times.keep
        gone = 0
        while self._leads() and (number := await self._store.retire(before, STEP)):
            gone += number
            await self._clock.sleep(PAUSE)
        if gone:
            log.info("%d jobs that ended long ago are gone", gone)

    def _turn(self, cycle: Cycle) -> Callable[[], Awaitable[None]]:
        async def turn() -> None:
            epoch = self.epoch
            if epoch is None:
                return
            try:
                if not await self._within(cycle.patience, cycle.run(epoch)):
                    log.warning("%s took more than %.0f s and was given up", cycle.name, cycle.patience)
            except PilotageError as error:
                log.warning("%s: %s; it is tried again in %.0f s", cycle.name, error, cycle.interval)
            except Exception:  # a director calls other people's systems through other people's libraries
                log.exception("%s failed; it is tried again in %.0f s", cycle.name, cycle.interval)

        return turn


def _died(tasks: Mapping[str, asyncio.Task[None]]) -> DutyDied:
    name, task = next((name, task) for name, task in tasks.items() if task.done())
    error = None if task.cancelled() else task.exception()
    log.critical("The duty %s has died: the central stops", name, exc_info=error)
    died = DutyDied(f"the duty {name} has died ({error!r}); the log says more")
    died.__cause__ = error
    return died


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
