"""The loops beside the requests: each takes its turns, fails alone, and ends when the central stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from central.dispatching.dispatch import Dispatcher
from central.duties import GRACE, PAUSE, STEP, Cycle, Duties, DutyDied, Times
from central.fleet.presence import Presence
from central.records import Ended, Leased, Requeued, Swept
from central.store.port import Store
from pilot.errors import PilotageError, Refusal
from pilot.states import JobState
from tests.unit.clockwork import Clockwork, settled
from tests.unit.matching_scene import offer, task
from tests.unit.matching_store import MatchingStore
from tests.unit.pilot_rows import STAMP

TIMES = Times(beat=10, lead=30, flush=1, sweep=5, tidy=60, refresh=600)


class Scene:
    """Duties over a store in memory, running."""

    def __init__(self, cycles: Sequence[Cycle] = (), times: Times = TIMES) -> None:
        self.store = MatchingStore()
        self.clock = Clockwork()
        self.presence = Presence(self.clock.now)
        store = cast(Store, self.store)
        self.dispatcher = Dispatcher(store, self.presence, self.clock, 10)
        self.found: list[Swept] = []
        self.stop = asyncio.Event()
        self.duties = Duties(
            store,
            self.presence,
            self.dispatcher,
            self.clock,
            duty="d",
            holder="h",
            times=times,
            cycles=cycles,
            swept=self.found.append,
        )
        self.running = asyncio.create_task(self.duties.run(self.stop))

    def count(self, call: str) -> int:
        return self.store.calls.count(call)


def play(scenario: Callable[[Scene], Coroutine[Any, Any, None]], *cycles: Cycle, times: Times = TIMES) -> None:
    """Run a scenario, and see that the duties end well after it, unless they have died before."""

    async def run() -> None:
        scene = Scene(cycles, times)
        await asyncio.wait_for(scenario(scene), 30)
        scene.stop.set()
        await scene.clock.advance(GRACE)
        assert scene.running.done()
        if not scene.running.exception():
            assert len(asyncio.all_tasks()) == 1, "a loop was left behind"

    asyncio.run(run())


class Director:
    """Counts its turns; a turn does what the test says."""

    def __init__(self, turn: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        self.epochs: list[int] = []
        self.turn = turn

    async def cycle(self, epoch: int) -> None:
        self.epochs.append(epoch)
        if self.turn is not None:
            await self.turn()


def test_leadership_is_taken_and_kept() -> None:
    """The lead is renewed three times as often as it would end."""

    async def scenario(scene: Scene) -> None:
        await settled()
        assert scene.duties.epoch == 1
        await scene.clock.advance(45)
        assert scene.count("lead") == 5
        assert scene.duties.epoch == 1

    play(scenario)


def test_a_leadership_that_could_not_be_renewed_ends() -> None:
    """When the store cannot be asked this central leads no longer than the store believes."""

    async def scenario(scene: Scene) -> None:
        await settled()

        async def away(duty: str, holder: str, seconds: float) -> int | None:
            raise Refusal("busy", "the database is away")

        back = scene.store.lead
        scene.store.lead = away  # type: ignore[method-assign]
        await scene.clock.advance(29)
        assert scene.duties.epoch == 1
        await scene.clock.advance(2)
        assert scene.duties.epoch is None
        scene.store.lead, scene.store.epochs = back, [2]  # type: ignore[method-assign]
        await scene.clock.advance(10)
        assert scene.duties.epoch == 2

    play(scenario)


def test_a_leadership_that_somebody_else_has_ends_at_once() -> None:
    """Whoever is told that another leads does not wait for the end of the own time."""

    async def scenario(scene: Scene) -> None:
        await settled()
        assert scene.duties.epoch == 1
        scene.store.epochs = [None]
        await scene.clock.advance(10)
        assert scene.duties.epoch is None

    play(scenario)


def test_without_the_lead_nothing_is_swept_and_no_director_turns() -> None:
    """What has effects outside is done by the leader alone, and again as soon as it leads."""
    director = Director()

    async def scenario(scene: Scene) -> None:
        scene.store.epochs = [None]
        await scene.clock.advance(60)
        assert (scene.count("sweep"), director.epochs) == (0, [])
        scene.store.epochs = [7]
        await scene.clock.advance(30)
        assert scene.count("sweep") >= 2
        assert director.epochs[:2] == [7, 7]

    play(scenario, Cycle("a director", 3, director.cycle))


def test_presence_is_flushed_again_and_again() -> None:
    """What was heard is on disk about a second later."""

    async def scenario(scene: Scene) -> None:
        for turn in range(1, 4):
            scene.presence.touch(STAMP, epoch=1, sequence=turn)
            await scene.clock.advance(1)
            assert [beat.sequence for beat in scene.store.beats] == list(range(1, turn + 1))

    play(scenario)


def test_no_sweep_before_two_heartbeats() -> None:
    """A central that was away hears every pilot once before it gives up any; then it sweeps again and again."""

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(19.9)
        assert scene.count("sweep") == 0
        await scene.clock.advance(15.2)
        assert scene.count("sweep") == 4

    play(scenario)


def test_no_sweep_after_the_machine_was_asleep() -> None:
    """Time that passed for the database and not for this central is no silence of pilots: they are waited for again."""

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(31)
        swept = scene.count("sweep")
        assert swept
        scene.store.time += 3600  # and the clock of this central stood still
        await scene.clock.advance(19)
        assert scene.count("sweep") == swept
        await scene.clock.advance(12)
        assert scene.count("sweep") > swept

    play(scenario)


def test_a_leader_that_was_asleep_asks_again_whether_it_leads() -> None:
    """Its own clock stood still, so that it would believe in a lead that others have taken over meanwhile."""
    director = Director()

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(11)
        assert scene.duties.epoch == 1
        scene.store.time += 3600
        scene.store.epochs = [None]
        await scene.clock.advance(5)
        assert scene.duties.epoch is None
        turns = len(director.epochs)
        await scene.clock.advance(30)
        assert len(director.epochs) == turns

    play(scenario, Cycle("a director", 20, director.cycle))


def test_no_sweep_after_the_central_stood_still() -> None:
    """When nothing could run for longer than a beat, nobody was heard, and all are waited for again."""

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(31)
        swept = scene.count("sweep")
        scene.clock.time += 15
        await scene.clock.advance(19)
        assert scene.count("sweep") == swept
        await scene.clock.advance(12)
        assert scene.count("sweep") > swept

    play(scenario)


def test_no_sweep_after_the_store_was_away() -> None:
    """What was heard while the store was away could not be written down by anybody; it is heard once more first."""

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(31)
        swept, now = scene.count("sweep"), scene.store.now

        async def away() -> float:
            raise Refusal("busy", "the database is away")

        scene.store.now = away  # type: ignore[method-assign]
        await scene.clock.advance(60)
        assert scene.count("sweep") == swept
        scene.store.now = now  # type: ignore[method-assign]
        await scene.clock.advance(19)
        assert scene.count("sweep") == swept
        await scene.clock.advance(15)
        assert scene.count("sweep") > swept

    play(scenario)


def test_a_short_hiccup_holds_up_no_sweep() -> None:
    """Less than a beat was missed: every pilot is heard anyway."""

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(31)
        swept = scene.count("sweep")
        scene.store.time += 5
        await scene.clock.advance(10)
        assert scene.count("sweep") == swept + 2

    play(scenario)


def test_what_was_used_is_read_again_and_again() -> None:
    """Whose turn it is follows what others were given by other centrals as well, leader or not."""

    async def scenario(scene: Scene) -> None:
        scene.store.epochs = [None]
        await scene.clock.advance(31)
        assert (scene.count("consumed"), scene.count("limits")) == (3, 3)

    play(scenario)


def test_use_is_summed_by_the_leader() -> None:
    """Hours that are over are summed again and again, by one central."""

    async def scenario(scene: Scene) -> None:
        scene.store.epochs = [None]
        await scene.clock.advance(31)
        assert scene.count("roll_up") == 0
        scene.store.epochs = [3]
        await scene.clock.advance(31)
        assert scene.count("roll_up") >= 2

    play(scenario, times=replace(TIMES, roll_up=10))


def test_old_jobs_are_let_go_of_in_steps() -> None:
    """Jobs that ended longer ago than they are kept go, some at a time; what is kept for ever stays."""

    async def scenario(scene: Scene) -> None:
        scene.store.old = 3 * STEP + 7
        await scene.clock.advance(21)
        assert scene.store.old > 0
        await scene.clock.advance(5 * PAUSE)
        assert scene.store.old == 0
        assert {limit for _, limit in scene.store.retired} == {STEP}
        assert {before for before, _ in scene.store.retired} == {scene.store.time - 90 * 86400}

    async def for_ever(scene: Scene) -> None:
        scene.store.old = 1
        await scene.clock.advance(50)
        assert scene.store.retired == []

    often = replace(TIMES, retire=20)
    play(scenario, times=replace(often, keep=90 * 86400))
    play(for_ever, times=often)


def test_who_loses_the_lead_lets_go_of_nothing_more() -> None:
    """A long piece of work of the leader ends with its lead."""

    async def scenario(scene: Scene) -> None:
        scene.store.old = 1_000_000
        await scene.clock.advance(21)
        assert scene.store.retired
        scene.store.epochs = [None]
        await scene.clock.advance(10 + PAUSE)
        steps = len(scene.store.retired)
        await scene.clock.advance(60)
        assert len(scene.store.retired) == steps

    play(scenario, times=replace(TIMES, keep=1, retire=20))


def test_a_sweep_writes_down_first_who_was_heard() -> None:
    """A pilot whose word is still in memory is not taken for lost."""

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(21)
        order: list[str] = []
        beat, sweep = scene.store.beat, scene.store.sweep

        async def beaten(beats: Any) -> None:
            order.append("beat")
            await beat(beats)

        async def swept(silent_after: float) -> Swept:
            order.append("sweep")
            return await sweep(silent_after)

        scene.store.beat, scene.store.sweep = beaten, swept  # type: ignore[method-assign]
        scene.clock.calls = sorted(call for call in scene.clock.calls if call.due > scene.clock.time + 3.5)  # no flush
        scene.presence.touch(STAMP)
        await scene.clock.advance(5)
        assert order[:2] == ["beat", "sweep"]

    play(scenario)


def test_what_a_sweep_requeues_is_matched_again() -> None:
    """Jobs of lost pilots are counted as waiting at once, and whoever watches is told what was found."""

    async def scenario(scene: Scene) -> None:
        scene.dispatcher.jobs_added(scene.store.submit(task(1)))
        choice = scene.dispatcher.queues.choose(offer(), 1)
        won = cast("tuple[Leased, ...]", (await scene.store.claim(STAMP, 1, 1, choice.picks)).leases)
        scene.dispatcher.queues.settle(choice, won)
        requeued = Requeued(1, 1, 5)
        scene.store.jobs[1] = (1, 5)
        scene.store.swept = Swept((STAMP,), (Ended(1, 1, JobState.WAITING, requeued), Ended(2, 1, JobState.KILLED)))
        await scene.clock.advance(25)
        assert [(queue.id, number) for queue, number in scene.dispatcher.queues.queues()] == [(1, 1)]
        assert [len(found.ended) for found in scene.found if found.ended] == [2]

    play(scenario)


def test_counts_are_read_anew_and_what_is_old_is_forgotten() -> None:
    """Drift of the counts heals; queues and pilots of the past do not pile up."""

    async def scenario(scene: Scene) -> None:
        scene.presence.touch(STAMP)
        scene.store.submit(task(1))  # by another central: nobody tells
        await scene.clock.advance(599)
        assert scene.count("waiting") == 0
        await scene.clock.advance(602)
        assert scene.count("waiting") == 2
        assert scene.dispatcher.queues.waits(1)
        scene.store.jobs.clear()
        await scene.clock.advance(1800)
        assert scene.dispatcher.queues.task(1) is None
        scene.clock.time += 86_400 - 3001 + 1
        await scene.clock.advance(61)
        assert scene.presence.age(STAMP) is None

    play(scenario)


def test_directors_take_their_turns_each_in_its_own_time() -> None:
    """A cycle runs with the epoch of the lead, and again after its interval."""
    quick, slow = Director(), Director()

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(20.5)
        assert len(quick.epochs) == 11
        assert len(slow.epochs) == 3

    play(scenario, Cycle("quick", 2, quick.cycle), Cycle("slow", 10, slow.cycle))


def test_a_failing_director_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a cycle raises is told with its reason; it and the others go on."""
    failures: list[Exception] = [PilotageError("the computing element says no"), ValueError("a bug"), OSError("away")]

    async def fail() -> None:
        if failures:
            raise failures.pop(0)

    bad, good = Director(fail), Director()

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(8.5)
        assert len(bad.epochs) == len(good.epochs) == 5

    with caplog.at_level(logging.WARNING):
        play(scenario, Cycle("bad", 2, bad.cycle), Cycle("good", 2, good.cycle))
    said = caplog.text
    assert "bad: the computing element says no; it is tried again in 2 s" in said
    assert "ValueError: a bug" in said
    assert "OSError: away" in said


def test_a_hanging_director_holds_up_nobody_and_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """The others turn on meanwhile; after its patience the turn is cancelled, and the next one begins."""

    async def hang() -> None:
        await asyncio.Event().wait()

    stuck, good = Director(hang), Director()

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(99)
        assert len(stuck.epochs) == 1
        assert len(good.epochs) == 50
        assert scene.count("sweep") > 2
        await scene.clock.advance(5)
        assert len(stuck.epochs) == 2

    with caplog.at_level(logging.WARNING):
        play(scenario, Cycle("stuck", 2, stuck.cycle, patience=100), Cycle("good", 2, good.cycle))
    assert "stuck took more than 100 s and was given up" in caplog.text


def test_trouble_of_the_store_passes() -> None:
    """A duty whose turn was refused takes its next turn as if nothing had been."""

    async def scenario(scene: Scene) -> None:
        scene.presence.touch(STAMP)
        await settled()
        for _ in range(3):
            scene.presence.touch(STAMP)
            scene.store.error = Refusal("busy", "the disk is full")
            await scene.clock.advance(1)
        await scene.clock.advance(1)
        assert scene.store.beats
        assert not scene.running.done()

    play(scenario)


def test_a_duty_that_dies_stops_the_central_loudly(caplog: pytest.LogCaptureFixture) -> None:
    """A fault in a duty ends all of them with an error that names it, and leaves no loop behind."""

    async def scenario(scene: Scene) -> None:
        await settled()
        scene.store.error = ZeroDivisionError("a bug")
        scene.presence.touch(STAMP)
        await scene.clock.advance(1)
        assert scene.running.done()
        with pytest.raises(DutyDied, match="flush.*a bug") as caught:
            await scene.running
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert len(asyncio.all_tasks()) == 2  # the scenario, and what plays it

    with caplog.at_level(logging.CRITICAL):
        play(scenario)
    assert "The duty flush has died" in caplog.text


def test_a_turn_under_way_may_end_when_the_central_stops() -> None:
    """A director in the middle of a submission finishes it; nothing new begins."""
    go_on = asyncio.Event()
    finished: list[bool] = []

    async def submit() -> None:
        await go_on.wait()
        finished.append(True)

    director = Director(submit)

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(1)
        scene.stop.set()
        await scene.clock.advance(GRACE / 2)
        assert not scene.running.done()
        go_on.set()
        await settled()
        assert scene.running.done()
        assert finished == [True]

    play(scenario, Cycle("a director", 2, director.cycle))


def test_a_turn_that_does_not_end_is_cut_off_when_the_central_stops() -> None:
    """Stopping takes no longer than the grace."""

    async def hang() -> None:
        await asyncio.Event().wait()

    async def scenario(scene: Scene) -> None:
        await scene.clock.advance(1)
        scene.stop.set()
        await scene.clock.advance(GRACE + 0.1)
        assert scene.running.done()

    play(scenario, Cycle("stuck", 2, Director(hang).cycle))
