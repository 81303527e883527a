"""Cycles that come and go while the duties run, as directors do with their queues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from central.directors.unsent import SILENT, end_of
from central.dispatching.dispatch import Dispatcher
from central.duties import GRACE, LOOK, Cycle, Duties, Times
from central.fleet.presence import Presence
from central.store.port import Store
from pilot.errors import PilotageError
from pilot.states import PilotReason, PilotState
from tests.unit.clockwork import Clockwork, settled
from tests.unit.matching_store import MatchingStore
from tests.unit.pilot_rows import pilot


class Scene:
    """Duties whose cycles are those of `wanted`; what happens to each is noted."""

    def __init__(self) -> None:
        self.clock = Clockwork()
        self.wanted: list[Cycle] = []
        self.noted: list[str] = []
        self.stop = asyncio.Event()
        store, presence = cast(Store, MatchingStore()), Presence(self.clock.now)
        dispatcher = Dispatcher(store, presence, self.clock, 10)
        duties = Duties(
            store, presence, dispatcher, self.clock, duty="d", holder="h", times=Times(), changing=self.changing
        )
        self.running = asyncio.create_task(duties.run(self.stop))

    async def changing(self) -> list[Cycle]:
        return self.wanted

    def cycle(self, name: str, note: str, turn: Callable[[], Coroutine[Any, Any, None]] | None = None) -> Cycle:
        async def run(epoch: int) -> None:
            self.noted.append(note)
            if turn:
                await turn()

        async def over() -> None:
            self.noted.append(f"{note} is over")

        return Cycle(name, 2.0, run, over=over)


def play(scenario: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        scene = Scene()
        await settled()
        await scenario(scene)
        scene.stop.set()
        await scene.clock.advance(GRACE + 1)
        assert scene.running.done()
        assert len(asyncio.all_tasks()) == 1, "a loop was left behind"
        scene.running.result()

    asyncio.run(run())


def test_a_cycle_that_is_wanted_begins_and_one_that_is_not_ends() -> None:
    """A cycle takes turns from when it is wanted until it is not any more; then it lets go of what it held, once."""

    async def scenario(scene: Scene) -> None:
        one = scene.cycle("one", "one")
        scene.wanted = [one]
        await scene.clock.advance(LOOK)
        await scene.clock.advance(2.0)
        assert scene.noted == ["one", "one"]
        scene.wanted = []
        await scene.clock.advance(10)
        assert scene.noted == ["one", "one", "one is over"]

    play(scenario)


def test_a_changed_cycle_begins_when_the_old_one_is_over() -> None:
    """Two cycles of one name never run side by side: the new one waits for the turn that the old one is in."""

    async def scenario(scene: Scene) -> None:
        hangs = asyncio.Event()

        async def long() -> None:
            await hangs.wait()

        scene.wanted = [scene.cycle("one", "old", long)]
        await scene.clock.advance(LOOK)
        scene.wanted = [scene.cycle("one", "new"), scene.cycle("two", "other")]
        await scene.clock.advance(LOOK)
        assert scene.noted == ["old", "other"]
        hangs.set()
        await scene.clock.advance(2 * LOOK)
        assert scene.noted == ["old", "other", "old is over", "new"]

    play(scenario)


def test_what_runs_when_the_duties_end_lets_go(caplog: pytest.LogCaptureFixture) -> None:
    """The end of the central ends every cycle that came, also one that cannot let go of what it held."""

    async def scenario(scene: Scene) -> None:
        async def cannot() -> None:
            raise PilotageError("the connection hangs")

        good = scene.cycle("good", "good")
        scene.wanted = [Cycle("bad", 2.0, good.run, over=cannot), good]
        await scene.clock.advance(LOOK)
        scene.stop.set()
        await scene.clock.advance(GRACE)
        assert scene.noted[-1] == "good is over"
        assert "bad: what it held was not let go of: the connection hangs" in caplog.text

    play(scenario)


def test_pilots_that_nobody_follows_are_closed() -> None:
    """Of the pilots that others start, one that came in and never enrolled is closed when its time is over, and a
    silent one when it has been silent for longer than any lease; all others stay."""
    came = pilot(state=PilotState.PLANNED, enrolled=None, last_seen=None, secret_expires=100.0)
    assert end_of(came, 100.0) is None
    end = end_of(came, 101.0)
    assert end
    assert end[:2] == (PilotState.FAILED, PilotReason.NEVER_CALLED)
    silent = pilot(state=PilotState.SILENT, last_seen=50.0)
    assert end_of(silent, 50.0 + SILENT) is None
    end = end_of(silent, 51.0 + SILENT)
    assert end
    assert end[:2] == (PilotState.LOST, PilotReason.GONE)
    assert end_of(pilot(state=PilotState.SILENT, last_seen=50.0, lease=100_000), 51.0 + SILENT) is None
    assert end_of(pilot(last_seen=50.0), 51.0 + SILENT) is None
