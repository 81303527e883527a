"""Match requests between agent and central."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from pilot.errors import Refusal, TransportError
from pilot.messages import Answer, AskMatch, Release
from pilot.monitor.holdings import Holdings
from pilot.monitor.matching import PATIENCE, Matching
from pilot.protocol import AttemptId, JobSpec, Lease, MatchReply, MatchRequest, Offer, Spool

OFFER = Offer("site", "queue", cores=2)
SECONDS = 10  # for threads to do what they are there for


def lease(job: int) -> Lease:
    return Lease(job, 1, 600, JobSpec(("true",)), "token", 1)


class Scene:
    """A central that answers when the test puts an answer, and an agent that notes what it is told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: queue.Queue[MatchRequest] = queue.Queue()
        self.answers: queue.Queue[MatchReply | Exception] = queue.Queue()
        self.told: queue.Queue[Answer] = queue.Queue()
        self.given_back: queue.Queue[Release] = queue.Queue()
        self.leased: list[Lease] = []
        self.refused: list[str] = []
        self.agent_is_gone = False
        self.holdings = Holdings(lambda: None)
        client: Any = self
        self.matching = Matching(
            client,
            self.holdings,
            agent=1,
            answer=self.answer,
            leased=self.leased.extend,
            give_back=self.given_back.put,
            refused=lambda refusal: self.refused.append(refusal.type),
            steady=lambda: self.now,
            rng=lambda: 0.0,
            say=lambda text: None,
        )

    def match(self, request: MatchRequest) -> MatchReply:
        self.asked.put(request)
        answer = self.answers.get(timeout=SECONDS)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer(self, answer: Answer) -> None:
        self.told.put(answer)
        if self.agent_is_gone:
            raise TransportError("gone")

    @property
    def through(self) -> int:
        return self.holdings.compose(1, 1, Spool()).matched_through.get("1", 0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_passed_on(scene: Scene) -> None:
    """A question goes to the central under a number, its answer to the agent, leases known before that."""
    scene.matching.ask(AskMatch(41, OFFER, 2, 30.0))
    assert scene.asked.get(timeout=SECONDS) == MatchRequest(1, OFFER, 1, 2, 30.0)
    scene.answers.put(MatchReply(1, (lease(1), lease(2))))
    told = scene.told.get(timeout=SECONDS)
    assert told == Answer(41, MatchReply(1, (lease(1), lease(2))))
    assert scene.leased == [lease(1), lease(2)]
    assert scene.through == 0
    assert scene.holdings.got(1, 1) == (lease(1), lease(2))
    assert scene.through == 1


def test_repeated_under_its_number(scene: Scene) -> None:
    """A reply that was lost, or a central that is busy: the same number again, until it is answered."""
    scene.answers.put(TransportError("lost"))
    scene.answers.put(Refusal("busy", "later"))
    scene.answers.put(MatchReply(1, (lease(1),)))
    scene.matching.ask(AskMatch(1, OFFER, 1, 0.0))
    reply = scene.told.get(timeout=SECONDS).match
    assert reply is not None
    assert reply.leases == (lease(1),)
    assert [scene.asked.get_nowait().number for _ in range(3)] == [1, 1, 1]


def test_central_is_away_for_long(scene: Scene) -> None:
    """After a while the agent gets nothing, with the reason; its next question has the same number."""
    scene.now = 0.0
    scene.matching.ask(AskMatch(1, OFFER, 1, 5.0))
    scene.asked.get(timeout=SECONDS)
    scene.now = 6.0 + PATIENCE
    scene.answers.put(TransportError("away"))
    told = scene.told.get(timeout=SECONDS)
    assert told.match is None
    assert "away" in told.problem
    assert scene.through == 0
    scene.answers.put(MatchReply(1, (lease(1),)))
    scene.matching.ask(AskMatch(2, OFFER, 1, 5.0))
    assert scene.asked.get(timeout=SECONDS).number == 1
    assert scene.told.get(timeout=SECONDS).id == 2


@pytest.mark.parametrize(
    ("type", "reason"), [("draining", "draining"), ("superseded", "superseded"), ("invalid", None)]
)
def test_refused(scene: Scene, type: str, reason: str) -> None:
    """A refusal is an empty answer to the agent, and the number is over."""
    scene.answers.put(Refusal(type, "no"))
    scene.matching.ask(AskMatch(1, OFFER, 1, 0.0))
    reply = scene.told.get(timeout=SECONDS).match
    assert reply is not None
    assert (reply.number, reply.leases, reply.detail) == (1, (), "no")
    assert reply.reason == (type if type != "invalid" else None)
    scene.holdings.got(1, 1)
    assert scene.through == 1
    assert scene.refused == [type]


def test_two_at_once(scene: Scene) -> None:
    """A newer request does not wait for an older one that is held."""
    scene.matching.ask(AskMatch(1, OFFER, 1, 30.0))
    scene.asked.get(timeout=SECONDS)
    scene.matching.ask(AskMatch(2, OFFER, 2, 30.0))
    assert scene.asked.get(timeout=SECONDS).number == 2
    for _ in range(2):
        scene.answers.put(MatchReply(0))  # whichever takes it, the number is that of its request
    numbers = {
        (told.id, told.match and told.match.number) for told in (scene.told.get(timeout=SECONDS) for _ in range(2))
    }
    assert numbers == {(1, 1), (2, 2)}


def test_stopped_while_one_is_held(scene: Scene) -> None:
    """When no new jobs are wanted the agent is answered at once, and leases that come all the same are given back."""
    scene.matching.ask(AskMatch(1, OFFER, 1, 30.0))
    scene.asked.get(timeout=SECONDS)
    scene.matching.stop()
    assert scene.told.get(timeout=SECONDS).match is None
    scene.answers.put(MatchReply(1, (lease(7),)))
    assert scene.given_back.get(timeout=SECONDS).leases == (AttemptId(7, 1),)
    assert scene.told.empty()
    scene.matching.ask(AskMatch(2, OFFER, 1, 30.0))
    assert scene.told.get(timeout=SECONDS).problem == "the pilot takes no new jobs"
    assert scene.asked.empty()


def test_agent_is_gone(scene: Scene) -> None:
    """An answer that finds no agent any more stays unseen, to be given back by whoever sees its end."""
    scene.agent_is_gone = True
    scene.answers.put(MatchReply(1, (lease(7),)))
    scene.matching.ask(AskMatch(1, OFFER, 1, 0.0))
    scene.told.get(timeout=SECONDS)
    assert scene.through == 0
    assert scene.holdings.unseen() == (lease(7),)


def test_the_place_of_an_agent_that_has_gone_is_given_up(scene: Scene) -> None:
    """An offer of nothing supersedes what an agent asked before it died; leases that come nevertheless go back."""
    scene.matching.ask(AskMatch(1, OFFER, 1, 30.0))
    assert scene.asked.get(timeout=SECONDS).number == 1
    scene.agent_is_gone = True
    settled = threading.Event()
    scene.matching.retire(Offer("site", "queue"), settled.set)
    last = scene.asked.get(timeout=SECONDS)
    assert (last.number, last.offer.cores, last.wait) == (2, 0, 0.0)
    assert not settled.is_set()
    for _ in range(2):
        scene.answers.put(MatchReply(0, (lease(7),)))
    assert settled.wait(SECONDS)
    assert [scene.given_back.get(timeout=SECONDS).leases for _ in range(2)] == [(AttemptId(7, 1),)] * 2
    assert scene.through == 2
