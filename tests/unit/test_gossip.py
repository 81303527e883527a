"""What centrals tell each other: packed, bounded, understood, and harmless when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.events import JobChanged, JobsSubmitted, PilotChanged
from central.records import Requeued, TaskQueue, Waiting
from central.several.gossip import (
    LONGEST,
    MOST,
    SLOWLY,
    Added,
    Again,
    Decided,
    Followed,
    Free,
    Gossip,
    Grown,
    JobSeen,
    JobsSeen,
    Ordered,
    Over,
    PilotMoved,
    PilotSeen,
    Returned,
    SetAnew,
    Taken,
    Word,
    pack,
    unpack,
)
from central.store.port import Store
from pilot.errors import Refusal
from pilot.protocol import Gpu, Needs, Offer, Platform
from pilot.states import JobState, Outcome, PilotState
from tests.unit.clockwork import Clockwork

STAMP = "ab" * 16
NEEDS = Needs(cores=4, memory=2 * 10**9, tags="cvmfs & ~slow", sites=("a", "b"))
OFFER = Offer("here", "local", cores=4, gpus=(Gpu("a100", 10**9),), platform=Platform(arch="x86_64"), tags=("cvmfs",))
WAITING = Waiting(TaskQueue(7, "physics", "muons", "ann", NEEDS), {5: 10, 0: 1}, 33)
#: One of each kind.
WORDS: tuple[Word, ...] = (
    Added(WAITING),
    Returned(Requeued(7, 33, 5)),
    Taken(7, 5, 3),
    Over(STAMP, 33, 2),
    Ordered(STAMP),
    PilotMoved(STAMP, "draining"),
    Free(STAMP, 1, OFFER),
    JobSeen(("physics",), JobChanged(33, JobState.DONE, 2, Outcome.SUCCESS)),
    JobsSeen(("physics",), JobsSubmitted(33, 4, "ann", "muons")),
    PilotSeen(("physics", "biology"), PilotChanged(STAMP, PilotState.DONE, "idle")),
    Decided("local", "no waiting job fits this queue: ü\x00\n"),
    Grown(STAMP, "job-33-2-stdout"),
    Followed(((STAMP, "pilot"),)),
    SetAnew("physics", "ann", "eos", "5f3a"),
    Again(),
)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def understood(messages: list[str]) -> list[Word]:
    heard = [unpack(message) for message in messages]
    return [word for one in heard if one for word in one.words]


class Wire:
    """As much of a store as gossip needs: keeps what was told, or is away."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.away = False

    async def tell(self, word: str) -> None:
        if self.away:
            raise Refusal("busy", "the database is away")
        self.told.append(word)


class Scene:
    """A central's end over a wire."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.clock = Clockwork()
        self.gossip = Gossip(cast(Store, self.wire), "me", self.clock, lambda: 1000.0)

    async def words(self) -> list[Word]:
        """What goes out now."""
        self.wire.told.clear()
        await self.gossip.flush()
        return understood(self.wire.told)


def test_every_word_arrives_as_it_was_said() -> None:
    """Whatever a central says is the same when it is heard, with who said it and when."""
    (message,) = pack("me", 12.5, WORDS)
    heard = unpack(message)
    assert heard is not None
    assert (heard.sender, heard.at, heard.words) == ("me", 12.5, WORDS)


def test_words_of_another_version_are_passed_over() -> None:
    """A word that is not known, or looks otherwise, costs nothing but itself; more in a known one is no matter."""
    message = (
        '{"sender": "newer", "at": 1.0, "more": [], "words": [["sung", 1], ["ordered", 5], {"a": 1}, null,'
        f' ["over", "{STAMP}", 1, 2, "and more"]]}}'
    )
    heard = unpack(message)
    assert heard is not None
    assert heard.words == (Over(STAMP, 1, 2),)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"sender": 1}', "\ud800", '{"sender": "x", "at": "now"}'])
def test_what_is_no_message_is_none(text: str) -> None:
    """Anything else on the wire is not taken for a message."""
    assert unpack(text) is None


@given(st.lists(st.builds(Decided, st.text(max_size=30), st.text(max_size=2000)), max_size=60))
def test_messages_stay_short_and_lose_nothing(words: list[Decided]) -> None:
    """However much is said, no message is longer than the store takes, and every word arrives, in order."""
    messages = pack("me", 1.0, words)
    assert all(len(message.encode()) <= LONGEST for message in messages)
    assert understood(messages) in (words, [Again()])


def test_too_much_to_say_is_said_as_one_word() -> None:
    """A word that is too long, or more messages than others care to read, become the word to read everything anew."""
    assert understood(pack("me", 1.0, [Decided("q", "x" * LONGEST), Ordered(STAMP)])) == [Again()]
    many = [Decided("q", "x" * 6000)] * (MOST + 1)
    assert understood(pack("me", 1.0, many)) == [Again()]
    assert understood(pack("me", 1.0, many[1:])) == many[1:]


def test_what_was_gathered_goes_out_together() -> None:
    """Jobs taken from one queue are one word, and of what an agent has left the newest alone is said, now and then."""

    async def story() -> None:
        scene = Scene()
        say = scene.gossip.say
        say(Taken(7, 5), Ordered(STAMP), Taken(7, 5), Taken(7, 0), Free(STAMP, 1, Offer("a", "q", cores=1)))
        say(Free(STAMP, 1, OFFER))
        assert await scene.words() == [Ordered(STAMP), Taken(7, 5, 2), Taken(7, 0, 1), Free(STAMP, 1, OFFER)]
        say(Free(STAMP, 1, OFFER))
        assert await scene.words() == []
        await scene.clock.advance(SLOWLY)
        assert await scene.words() == [Free(STAMP, 1, OFFER)]

    run(story())


def test_what_could_not_be_said_is_made_up_for() -> None:
    """When the database is away the others are told to read everything anew, once it is back."""

    async def story() -> None:
        scene = Scene()
        scene.wire.away = True
        scene.gossip.say(Ordered(STAMP))
        failing = asyncio.create_task(scene.gossip.flush())
        await scene.clock.advance(SLOWLY)
        await failing
        scene.wire.away = False
        assert await scene.words() == [Again()]
        assert await scene.words() == []

    run(story())


def test_a_central_that_is_alone_says_nothing() -> None:
    """Without others there is nothing to gather."""

    async def story() -> None:
        gossip = Gossip(None, "me", Clockwork(), lambda: 0.0)
        gossip.say(Ordered(STAMP))
        await gossip.flush()
        assert gossip.alone

    run(story())
