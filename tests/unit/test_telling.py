"""What a store says to other centrals, verb by verb."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from central.added import PlaceRow
from central.databases import CountedStore
from central.records import Changed, Claim, CredentialRow, Ended, Leased, Requeued, Submitted, Swept, TaskQueue, Waiting
from central.several.gossip import (
    Added,
    Gossip,
    Ordered,
    Over,
    PilotMoved,
    Placed,
    Returned,
    SetAnew,
    Taken,
    Word,
    unpack,
)
from central.several.telling import telling
from central.store.port import Store
from central.trust.vault import version_of
from pilot.errors import Refusal
from pilot.protocol import JobSpec, Needs
from pilot.states import JobState
from tests.unit.clockwork import Clockwork
from tests.unit.pilot_rows import STAMP, pilot

WAITING = Waiting(TaskQueue(7, "c", "g", "o", Needs()), {5: 2}, 33)
BACK = Requeued(7, 33, 5)
LEASED = Leased(33, 1, 7, 5, 1, JobSpec(("true",)), "c", "g", "o")
PLACE = PlaceRow("queue", "far", 1, "", "ada", 0.0)
CREDENTIAL = CredentialRow("c", "o", "eos", "bearer", (), None, "k1", b"sealed")
DONE, AGAIN = Ended(33, 1, JobState.DONE), Ended(33, 1, JobState.WAITING, BACK)

#: A verb, what the store answers to it, and what is said.
VERBS: list[tuple[str, object, list[Word]]] = [
    ("submit", Submitted(((33, 2),), (WAITING,)), [Added(WAITING)]),
    ("submit", Submitted(((33, 2),), (WAITING,), again=True), []),
    ("change", Changed((), (WAITING,), (BACK,), (STAMP,)), [Added(WAITING), Ordered(STAMP), Taken(7, 5)]),
    ("claim", Claim((LEASED, LEASED)), [Taken(7, 5, 2)]),
    ("claim", Claim((), "draining"), []),
    ("report", None, []),
    ("report", DONE, [Over(STAMP, 33, 1)]),
    ("report", AGAIN, [Over(STAMP, 33, 1), Returned(BACK)]),
    ("return_unseen", (BACK,), [Returned(BACK)]),
    ("release", (BACK,), [Returned(BACK)]),
    ("sweep", Swept((STAMP,), (AGAIN,)), [PilotMoved(STAMP), Returned(BACK)]),
    ("enrol", pilot(), []),
    ("enrol", Refusal("secret-used", "by another"), [PilotMoved(STAMP)]),
    ("enrol", Refusal("unauthorized", "no such secret"), []),
    ("resume", (pilot(), (AGAIN,)), [PilotMoved(STAMP), Ordered(STAMP), Over(STAMP, 33, 1), Returned(BACK)]),
    ("drain", None, [PilotMoved(STAMP, "draining")]),
    ("goodbye", (AGAIN,), [Over(STAMP, 33, 1), Returned(BACK), PilotMoved(STAMP, "over")]),
    ("end_pilot", (), [PilotMoved(STAMP, "over")]),
    ("order", 5, [Ordered(STAMP)]),
    ("acknowledge", None, [Ordered(STAMP)]),
    ("keep_place", PLACE, [Placed()]),
    ("remove_place", PLACE, [Placed()]),
    ("keep_credential", 5.0, [SetAnew("c", "o", "eos", version_of(replace(CREDENTIAL, changed=5.0)))]),
    ("keep_credential", Refusal("too-large", "100 are the most"), []),
    ("held", (), []),
]
#: What each is asked with, where that is not the stamp alone.
WITH: dict[str, tuple[object, ...]] = {
    "submit": ((), (), None, ""),
    "change": ((), None, "kill", ()),
    "claim": (STAMP, 1, 1, ()),
    "report": (STAMP, 33, 1, None),
    "return_unseen": (STAMP, {}, ()),
    "release": (STAMP, (), ""),
    "sweep": (1.0,),
    "enrol": (STAMP, "", "", None),
    "resume": (STAMP, "", 1, ""),
    "goodbye": (STAMP, None),
    "end_pilot": (STAMP, None, None),
    "order": (STAMP, None),
    "acknowledge": (STAMP, ()),
    "keep_place": ("queue", "far", "", "ada"),
    "remove_place": ("queue", "far", "ada"),
    "keep_credential": (CREDENTIAL, None, 100),
}


class Answers:
    """A store that answers every verb in one way."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        async def answered(*arguments: object, **named: object) -> object:
            if isinstance(self.answer, Refusal):
                raise self.answer
            return self.answer

        return answered


class Wire:
    def __init__(self) -> None:
        self.words: list[Word] = []

    async def tell(self, message: str) -> None:
        heard = unpack(message)
        assert heard is not None
        self.words += heard.words


@pytest.mark.parametrize(("verb", "answer", "words"), VERBS)
def test_others_hear_what_a_verb_has_changed(verb: str, answer: object, words: list[Word]) -> None:
    """Each verb is the store's own, and what it changed for other centrals is said once it is done."""

    async def story() -> None:
        wire = Wire()
        gossip = Gossip(cast(Store, wire), "me", Clockwork(), lambda: 0.0)
        store = telling(cast(CountedStore, Answers(answer)), gossip)
        named = {"who": "ann"} if verb == "order" else {}
        if isinstance(answer, Refusal):
            with pytest.raises(Refusal):
                await getattr(store, verb)(*WITH.get(verb, (STAMP,)), **named)
        else:
            assert await getattr(store, verb)(*WITH.get(verb, (STAMP,)), **named) == answer
        await gossip.flush()
        assert sorted(map(repr, wire.words)) == sorted(map(repr, words))

    asyncio.run(story())
