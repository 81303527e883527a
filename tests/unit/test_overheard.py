"""What a central does when another one tells it something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from central.app import Central
from central.events import Event, Hub, JobChanged
from central.fleet.orders import OrderDesk
from central.fleet.presence import Presence
from central.fleet.roster import Roster
from central.keeping.inputs import Inputs
from central.keeping.logs import LogStore
from central.keeping.objects import open_objects
from central.records import OrderRow, PilotRow, Requeued, TaskQueue, Waiting
from central.several.elsewhere import BELIEVED, Elsewhere
from central.several.gossip import (
    Added,
    Again,
    Decided,
    Followed,
    Free,
    Gossip,
    Grown,
    JobSeen,
    Ordered,
    Over,
    PilotMoved,
    Placed,
    Returned,
    SetAnew,
    Taken,
    Word,
    pack,
)
from central.several.overheard import MARGIN, ONE_BY_ONE, Overheard
from central.store.port import Store
from pilot.protocol import Needs, Offer
from pilot.states import JobState, OrderVerb, PilotState
from tests.unit.clockwork import Clockwork, settled
from tests.unit.pilot_rows import STAMP, pilot

OFFER = Offer("here", "local", cores=4)
WAITING = Waiting(TaskQueue(7, "c", "g", "o", Needs()), {5: 2}, 33)


class Calls:
    """A dispatcher that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.places = 0
        self.refreshed = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *what: self.told.append((name, *what))

    async def refresh(self) -> None:
        self.refreshed += 1

    async def looked_at_places(self) -> None:
        self.places += 1


class Rows:
    """As much of a store as is read here, shared by the centrals of a test."""

    def __init__(self) -> None:
        self.row = pilot()
        self.open: dict[int, OrderRow] = {}
        self.reads: list[str] = []
        self.tell_to: list[Scene] = []

    async def pilot(self, stamp: str) -> PilotRow:
        self.reads.append("pilot")
        return self.row

    async def orders(self, stamp: str) -> tuple[OrderRow, ...]:
        self.reads.append("orders")
        return tuple(row for row in self.open.values() if row.stamp == stamp)

    async def open_orders(self) -> tuple[OrderRow, ...]:
        self.reads.append("open_orders")
        return tuple(self.open.values())

    async def tell(self, word: str) -> None:
        for scene in self.tell_to:
            scene.overheard.hear(word)


class Scene:
    """One of two centrals."""

    def __init__(self, name: str, rows: Rows, objects: Path) -> None:
        self.rows = rows
        self.clock = Clockwork()
        self.calls = Calls()
        self.time = 5000.0
        store = cast(Store, rows)
        self.gossip = Gossip(store, name, self.clock, lambda: self.time)
        self.elsewhere = Elsewhere(self.gossip, self.clock)
        self.logs = LogStore(open_objects(str(objects)), 10_000, self.elsewhere)
        self.orders = OrderDesk(store)
        self.roster = Roster(store, self.clock.now)
        self.presence = Presence(self.clock.now)
        self.hub = Hub()
        self.decisions: dict[str, str] = {}
        self.set_anew: list[tuple[str, ...]] = []
        self.lately = SimpleNamespace(changed=lambda *what: self.set_anew.append(what))
        parts = SimpleNamespace(
            dispatcher=self.calls,
            inputs=Inputs(store),
            look_at_places=self.calls.looked_at_places,
            wall=lambda: self.time,
            **{name: value for name, value in vars(self).items() if name not in ("rows", "calls", "time")},
        )
        self.overheard = Overheard(cast(Central, parts))
        rows.tell_to.append(self)

    def hear(self, *words: Word, at: float = 5000.0) -> None:
        for message in pack("another", at, words):
            self.overheard.hear(message)


def story(tell: Callable[[Scene, Scene], Coroutine[Any, Any, None]], folder: Path) -> None:
    """Play it with two centrals, which listen to each other."""

    async def played() -> None:
        rows = Rows()
        one, two = Scene("one", rows, folder), Scene("two", rows, folder)
        reading = [asyncio.create_task(work) for scene in (one, two) for work in _listening(scene)]
        try:
            await tell(one, two)
        finally:
            for task in reading:
                task.cancel()

    asyncio.run(played())


def _listening(scene: Scene) -> list[Coroutine[Any, Any, None]]:
    return [scene.overheard.refresh(), scene.overheard.orders(), scene.overheard.places()]


def order(number: int, stamp: str = STAMP) -> OrderRow:
    verb = OrderVerb.FLUSH.value
    return OrderRow(number, stamp, 1, verb, None, None, "", "", "ann", 1.0, None, None, "")


# -- jobs -------------------------------------------------------------------------------------------------------------


def test_counts_follow_what_others_do(tmp_path: Path) -> None:
    """Jobs added, given back and taken elsewhere are counted here; each goes to the matcher once."""

    async def tell(one: Scene, two: Scene) -> None:
        one.hear(Added(WAITING), Returned(Requeued(7, 33, 5)), Taken(7, 5, 2))
        assert one.calls.told == [
            ("jobs_added", [WAITING]),
            ("jobs_requeued", [Requeued(7, 33, 5)]),
            ("jobs_removed", [Requeued(7, 0, 5)] * 2),
        ]
        assert not two.calls.told

    story(tell, tmp_path)


def test_what_was_read_is_not_subtracted_again(tmp_path: Path) -> None:
    """Word of a job taken before the counts were read comes too late: one too many is tried, one too few would wait."""

    async def tell(one: Scene, two: Scene) -> None:
        one.overheard.hear(None)
        await settled()
        one.hear(Taken(7, 5), at=5000.0 + MARGIN)
        assert not one.calls.told
        one.hear(Taken(7, 5), at=5000.1 + MARGIN)
        assert one.calls.told == [("jobs_removed", [Requeued(7, 0, 5)])]

    story(tell, tmp_path)


def test_what_was_set_anew_elsewhere_is_told_here(tmp_path: Path) -> None:
    """A credential that another central has kept is news to this one's pilots."""

    async def tell(one: Scene, two: Scene) -> None:
        two.gossip.say(SetAnew("physics", "ann", "eos", "2"))
        await two.gossip.flush()
        await settled()
        assert (one.set_anew, two.set_anew) == ([("physics", "ann", "eos", "2")], [])

    story(tell, tmp_path)


def test_what_others_did_to_sites_and_queues_is_taken_up(tmp_path: Path) -> None:
    """A word about them, and any gap, makes a central look at what was added."""

    async def tell(one: Scene, two: Scene) -> None:
        two.gossip.say(Placed())
        await two.gossip.flush()
        await settled()
        assert (one.calls.places, two.calls.places) == (1, 0)
        one.overheard.hear(None)
        await settled()
        assert one.calls.places == 2

    story(tell, tmp_path)


@pytest.mark.parametrize("message", [None, "garbage", *pack("another", 1.0, [Again()])])
def test_whoever_may_have_missed_something_reads_everything(tmp_path: Path, message: str | None) -> None:
    """After a gap counts and orders are read anew, no row is believed, and those who watch are told."""

    async def tell(one: Scene, two: Scene) -> None:
        await one.roster.row(STAMP)
        one.rows.open[1] = order(1)
        with one.hub.watching(None) as watcher:
            one.overheard.hear(message)
            await settled()
            assert watcher.missed == 1
        assert one.calls.refreshed == 1
        assert [pending.id for pending in one.orders.pending(STAMP, 1)] == [1]
        one.rows.reads.clear()
        await one.roster.row(STAMP)
        assert one.rows.reads == ["pilot"]

    story(tell, tmp_path)


def test_ones_own_words_are_not_heard(tmp_path: Path) -> None:
    """A central does nothing twice because it said so."""

    async def tell(one: Scene, two: Scene) -> None:
        one.gossip.say(Added(WAITING))
        await one.gossip.flush()
        assert not one.calls.told
        assert two.calls.told == [("jobs_added", [WAITING])]

    story(tell, tmp_path)


# -- orders and pilots ------------------------------------------------------------------------------------------------


def test_orders_of_others_are_read(tmp_path: Path) -> None:
    """A word about a pilot's orders has them read; after many such words all are read at once."""

    async def tell(one: Scene, two: Scene) -> None:
        one.rows.open[1] = order(1)
        two.hear(Ordered(STAMP), Ordered(STAMP))
        await settled()
        assert [pending.id for pending in two.orders.pending(STAMP, 1)] == [1]
        assert one.rows.reads == ["orders"]
        one.rows.open.clear()
        two.hear(*(Ordered(f"{number:032x}") for number in range(ONE_BY_ONE)), Ordered(STAMP))
        await settled()
        assert one.rows.reads == ["orders", "open_orders"]
        assert two.orders.pending(STAMP, 1) == ()

    story(tell, tmp_path)


def test_orders_to_an_attempt_end_with_it(tmp_path: Path) -> None:
    """When an attempt has ended elsewhere, its orders are not delivered here."""

    async def tell(one: Scene, two: Scene) -> None:
        one.rows.open[1] = replace(order(1), job=5, attempt=2)
        await one.orders.start()
        one.hear(Over(STAMP, 5, 1))
        assert one.orders.pending(STAMP, 1)
        one.hear(Over(STAMP, 5, 2))
        assert not one.orders.pending(STAMP, 1)
        assert one.calls.told == [("attempts_ended",)] * 2  # which may have left room under a limit

    story(tell, tmp_path)


def test_an_attempt_that_ended_elsewhere_wakes_those_on_its_machine(tmp_path: Path) -> None:
    """Where the pilot is known, so is its machine, which may be trusted again; of others nothing is said."""

    async def tell(one: Scene, two: Scene) -> None:
        one.roster.put(replace(pilot(), host="node7"))
        one.hear(Over(STAMP, 5, 1), Over("c" * 32, 6, 1))
        assert one.calls.told == [("attempts_ended",), ("attempts_ended_on", "here", "node7")]

    story(tell, tmp_path)


def test_a_pilot_that_was_changed_elsewhere_is_read_again(tmp_path: Path) -> None:
    """A drain is known here at once, and a pilot that is over is forgotten."""

    async def tell(one: Scene, two: Scene) -> None:
        await one.roster.row(STAMP)
        one.rows.row = pilot(state=PilotState.DRAINING)
        one.hear(PilotMoved(STAMP, "draining"))
        assert (await one.roster.row(STAMP)).state is PilotState.DRAINING
        assert one.calls.told == [("draining", STAMP)]
        one.presence.elsewhere(STAMP, 1, OFFER)
        one.hear(PilotMoved(STAMP, "over"))
        assert one.presence.free(STAMP) == ()

    story(tell, tmp_path)


def test_what_a_pilot_that_moved_elsewhere_has_asked_here_is_over(tmp_path: Path) -> None:
    """The matcher hears of a pilot that started anew at another central, and that row is read again."""

    async def tell(one: Scene, two: Scene) -> None:
        await one.roster.row(STAMP)
        one.rows.row = pilot(epoch=2)
        one.hear(PilotMoved(STAMP))
        assert one.calls.told == [("moved", STAMP)]
        assert (await one.roster.row(STAMP)).epoch == 2

    story(tell, tmp_path)


def test_what_pilots_have_left_is_known_everywhere(tmp_path: Path) -> None:
    """An offer made at one central is seen in explain and by the directors of all; it is not written down twice."""

    async def tell(one: Scene, two: Scene) -> None:
        one.hear(Free(STAMP, 1, OFFER), Decided("local", "no job waits"))
        assert [free.offer for free in one.presence.free(STAMP)] == [OFFER]
        assert one.presence.idle_cores([STAMP]) == 4
        assert one.presence.age(STAMP) == 0.0
        assert await one.presence.flush(cast(Store, one.rows)) == 0
        assert one.decisions == {"local": Decided("local", "no job waits")}

    story(tell, tmp_path)


def test_events_reach_those_who_watch_elsewhere(tmp_path: Path) -> None:
    """An event of another central is seen by those here who may see it."""

    async def tell(one: Scene, two: Scene) -> None:
        event: Event = JobChanged(1, JobState.DONE, 1)
        with one.hub.watching("c") as own, one.hub.watching("d") as other:
            one.hear(JobSeen(("c",), JobChanged(1, JobState.DONE, 1)))
            assert await own.next(60.0) == (event,)
            assert await other.next(0.0) == ()

    story(tell, tmp_path)


# -- logs -------------------------------------------------------------------------------------------------------------


def test_a_follower_here_is_told_of_chunks_there(tmp_path: Path) -> None:
    """A stream read at one central is announced, its pilot is told at the other, and a chunk there wakes the reader."""

    async def tell(one: Scene, two: Scene) -> None:
        await two.logs.append(STAMP, "pilot", 0, b"before, ", False)
        with one.logs.following(STAMP, "pilot"):
            assert await one.logs.read(STAMP, "pilot", 0, 100) == b"before, "
            await one.gossip.flush()
            assert two.logs.followed(STAMP) == ("pilot",)
            assert two.logs.is_followed(STAMP, "pilot")
            waiting = asyncio.create_task(one.logs.wait(STAMP, "pilot", 8, 3600.0))
            await settled()
            assert (await two.logs.append(STAMP, "pilot", 8, b"after", True)).added == 5
            await two.gossip.flush()
            await waiting
            assert await one.logs.read(STAMP, "pilot", 8, 100) == b"after"
            assert await one.logs.size(STAMP, "pilot") == (13, True)
        await one.gossip.flush()
        assert two.logs.followed(STAMP) == ()

    story(tell, tmp_path)


def test_a_reader_that_is_not_heard_of_any_more_is_forgotten(tmp_path: Path) -> None:
    """A central that has died follows nothing after a while."""

    async def tell(one: Scene, two: Scene) -> None:
        one.hear(Followed(((STAMP, "pilot"),)), Grown(STAMP, "unknown"))
        assert one.logs.followed(STAMP) == ("pilot",)
        await one.clock.advance(BELIEVED + 1)
        assert one.logs.followed(STAMP) == ()

    story(tell, tmp_path)
