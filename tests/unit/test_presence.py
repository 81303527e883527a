"""Who was heard when, and what of it is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from central.fleet.presence import BATCH, Presence
from central.matching.matcher import Free
from central.records import Beat
from central.store.port import Store
from pilot.errors import Refusal
from pilot.protocol import Fact, Usage
from pilot.states import PilotState
from tests.unit.matching_scene import offer
from tests.unit.matching_store import MatchingStore
from tests.unit.pilot_rows import STAMP

OTHER = "b" * 32


class Scene:
    def __init__(self) -> None:
        self.time = 100.0
        self.store = MatchingStore()
        self.presence = Presence(lambda: self.time)

    def flush(self) -> list[Beat]:
        """What a flush writes."""
        before = len(self.store.beats)
        asyncio.run(self.presence.flush(cast(Store, self.store)))
        return self.store.beats[before:]


def test_what_was_heard_is_written_once() -> None:
    """A flush writes each pilot that was heard since the last one, and no other."""
    scene = Scene()
    scene.presence.touch(STAMP, epoch=2, sequence=7, state=PilotState.RUNNING)
    scene.presence.touch(OTHER)
    assert scene.flush() == [
        Beat(STAMP, scene.store.time, sequence=7, epoch=2),
        Beat(OTHER, scene.store.time),
    ]
    assert scene.flush() == []
    scene.presence.touch(OTHER)
    assert [beat.stamp for beat in scene.flush()] == [OTHER]


def test_times_become_the_databases() -> None:
    """A pilot heard five seconds before the flush was seen five seconds ago by the database's clock."""
    scene = Scene()
    scene.presence.touch(STAMP)
    scene.time += 5
    assert [beat.seen for beat in scene.flush()] == [scene.store.time - 5]


def test_words_add_up_until_they_are_written() -> None:
    """Of what came since the last flush the newest of each is kept, and nothing is dropped by a later word."""
    scene = Scene()
    one, two = Fact("cores", 4, "affinity"), Fact("glibc", "2.36", "ctypes")
    early, late = Usage(wall=1.0), Usage(wall=2.0)
    scene.presence.touch(STAMP, epoch=1, sequence=4, facts=(one, two), usage={(1, 1): early, (2, 1): early})
    scene.presence.touch(STAMP, epoch=1, sequence=3, facts=(Fact("cores", 8, "cgroup"),), usage={(1, 1): late})
    scene.presence.offered(STAMP, 1, offer(cores=3))
    (beat,) = scene.flush()
    assert (beat.sequence, beat.offer) == (4, offer(cores=3))
    assert set(beat.facts) == {Fact("cores", 8, "cgroup"), two}
    assert beat.usage == {(1, 1): late, (2, 1): early}


def test_a_new_epoch_begins_its_heartbeats_anew() -> None:
    """The first heartbeat after a resume is newer than the last one before."""
    scene = Scene()
    scene.presence.touch(STAMP, epoch=1, sequence=900)
    scene.presence.touch(STAMP, epoch=2, sequence=1)
    (beat,) = scene.flush()
    assert (beat.epoch, beat.sequence) == (2, 1)


def test_what_could_not_be_written_is_kept() -> None:
    """After a failure of the store the next flush writes the same words, and those that came meanwhile."""
    scene = Scene()
    scene.presence.touch(STAMP, epoch=1, sequence=1, facts=(Fact("a", 1, "x"),))
    scene.store.error = Refusal("busy", "the disk is full")
    with pytest.raises(Refusal):
        scene.flush()
    scene.presence.touch(STAMP, epoch=1, sequence=2, facts=(Fact("b", 2, "x"),))
    (beat,) = scene.flush()
    assert beat.sequence == 2
    assert {fact.name for fact in beat.facts} == {"a", "b"}


def test_what_comes_while_a_flush_fails_is_not_overwritten() -> None:
    """Words that come during a write that fails are newer than those that are kept for the next one."""
    scene = Scene()
    scene.presence.touch(STAMP, epoch=1, sequence=1)
    scene.presence.offered(STAMP, 1, offer(cores=1))

    async def fail(beats: object) -> None:
        scene.presence.touch(STAMP, epoch=1, sequence=2)
        scene.presence.offered(STAMP, 1, offer(cores=2))
        raise Refusal("busy", "the disk is full")

    write = scene.store.beat
    scene.store.beat = fail  # type: ignore[method-assign, assignment]
    with pytest.raises(Refusal):
        scene.flush()
    scene.store.beat = write  # type: ignore[method-assign]
    (beat,) = scene.flush()
    assert (beat.sequence, beat.offer) == (2, offer(cores=2))


def test_what_no_store_keeps_is_dropped_alone() -> None:
    """One pilot's words that the store refuses as invalid keep no other pilot from being seen, nor that one itself."""
    scene = Scene()
    scene.presence.touch(STAMP, epoch=1, sequence=1, facts=(Fact("host", "bad", "x"),))
    scene.presence.touch(OTHER, epoch=1, sequence=4, facts=(Fact("host", "good", "x"),))
    write = scene.store.beat

    async def choosy(beats: Sequence[Beat]) -> None:
        if any(fact.value == "bad" for beat in beats for fact in beat.facts):
            raise Refusal("invalid", "a NUL")
        await write(beats)

    scene.store.beat = choosy  # type: ignore[method-assign]
    bare, whole = scene.flush()
    assert bare == Beat(STAMP, scene.store.time)
    assert (whole.stamp, whole.sequence, len(whole.facts)) == (OTHER, 4, 1)
    assert scene.flush() == []


def test_many_pilots_are_written_in_batches() -> None:
    """No single write grows with the number of pilots."""
    scene = Scene()
    for number in range(BATCH + 1):
        scene.presence.touch(f"{number:032x}")
    assert len(scene.flush()) == BATCH + 1
    assert scene.store.calls.count("beat") == 2


def test_silence_is_told_after_its_time() -> None:
    """A pilot not heard for longer than allowed is silent, and no longer when it is heard again."""
    scene = Scene()
    scene.presence.touch(STAMP)
    scene.time += 100
    scene.presence.touch(OTHER)
    scene.time += 81
    assert scene.presence.age(STAMP) == 181
    assert scene.presence.silent(scene.time) == (STAMP,)
    assert scene.presence.silent(scene.time, after=60) == (STAMP, OTHER)
    scene.presence.touch(STAMP)
    assert scene.presence.silent(scene.time) == ()


def test_the_last_offer_of_each_agent_is_known() -> None:
    """What an agent has left is its last offer, less what it was given; agents do not mix."""
    scene = Scene()
    scene.presence.offered(STAMP, 1, offer(cores=4))
    scene.presence.offered(STAMP, 2, offer(cores=8))
    scene.presence.granted(STAMP, 2, offer(cores=8), Free.of(offer(cores=1)))
    assert [(free.agent, free.offer.cores) for free in scene.presence.free(STAMP)] == [(1, 4), (2, 1)]
    assert scene.presence.idle_cores([STAMP, OTHER]) == 5
    assert scene.presence.free(OTHER) == ()


def test_usage_is_of_what_runs_now() -> None:
    """An attempt that a heartbeat no longer lists has no usage any more."""
    scene = Scene()
    scene.presence.touch(STAMP, usage={(1, 1): Usage(wall=1.0), (2, 1): Usage(wall=1.0)})
    scene.presence.touch(STAMP, usage={(2, 1): Usage(wall=2.0)})
    scene.presence.touch(STAMP, state=PilotState.DRAINING)
    assert scene.presence.usage(STAMP) == {(2, 1): Usage(wall=2.0)}
    assert scene.presence.state(STAMP) is PilotState.DRAINING


def test_a_pilot_that_is_over_is_forgotten() -> None:
    """Nothing of it is told or written any more; late words of it go with time."""
    scene = Scene()
    scene.presence.touch(STAMP, usage={(1, 1): Usage()})
    scene.presence.forget(STAMP)
    scene.presence.granted(STAMP, 1, offer(), Free.of(offer()))
    assert scene.presence.age(STAMP) is None
    assert scene.presence.usage(STAMP) == {}
    assert scene.flush() == []
    scene.presence.touch(OTHER)
    scene.time += 1000
    scene.presence.drop(1001)
    assert scene.presence.age(OTHER) == 1000
    scene.presence.drop(999)
    assert scene.presence.age(OTHER) is None
