"""The heartbeat's pace, and what it does with its answers."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pilot.errors import Refusal, TransportError
from pilot.monitor.beat import Beat
from pilot.monitor.holdings import Heard, Holdings
from pilot.protocol import Acknowledgement, HeartbeatReply, HeartbeatRequest, LeaseReport, Order, Spool
from pilot.states import OrderVerb, PilotState


class Client:
    """Answers heartbeats from a list."""

    def __init__(self) -> None:
        self.standing: Any = type("Standing", (), {"epoch": 3})
        self.sent: list[HeartbeatRequest] = []
        self.answers: list[HeartbeatReply | Exception] = []
        self.answered = threading.Event()

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        self.sent.append(request)
        self.answered.set()
        answer = self.answers.pop(0) if self.answers else HeartbeatReply(request.sequence)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Scene:
    def __init__(self) -> None:
        self.client: Any = Client()
        self.heard: list[Heard] = []
        self.refused: list[Refusal] = []
        self.holdings = Holdings(lambda: None)
        self.beat = Beat(
            self.client,
            self.holdings,
            lambda: Spool(reports=2, bytes=70),
            interval=60.0,
            heard=self.heard.append,
            refused=self.refused.append,
            rng=lambda: 1.0,
            say=lambda text: None,
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_says_all(scene: Scene) -> None:
    """Epoch, sequence, state, leases, spool and acknowledgements are in it."""
    number = scene.holdings.ask(1)
    scene.holdings.hand(1, number, [])
    scene.holdings.got(1, number)
    scene.holdings.drain()
    scene.holdings.acknowledge(Acknowledgement(5, "received"))
    scene.beat.turn()
    (sent,) = scene.client.sent
    assert sent == HeartbeatRequest(
        3, 1, PilotState.DRAINING, {"1": 1}, (), (), Spool(reports=2, bytes=70), (Acknowledgement(5, "received"),)
    )


def test_every_heartbeat_has_a_higher_number(scene: Scene) -> None:
    """Also one after another that nobody answered: it may say something else by then."""
    scene.client.answers = [HeartbeatReply(1), TransportError("away"), HeartbeatReply(3)]
    for _ in range(3):
        scene.beat.turn()
    assert [sent.sequence for sent in scene.client.sent] == [1, 2, 3]


def test_next_beat_is_the_centrals(scene: Scene) -> None:
    """The reply says when the next is due; never more than one a second, and an order may ask for more."""
    scene.client.answers = [HeartbeatReply(1, next_beat=10.0), HeartbeatReply(2, next_beat=0.0)]
    assert scene.beat.turn() == 10.0
    assert scene.beat.turn() == 1.0
    scene.beat.longest = 5.0
    assert scene.beat.turn() == 5.0


def test_an_absent_central_is_asked_less_and_less(scene: Scene) -> None:
    """Waits double up to half a minute while nobody answers, and are over with the first answer."""
    scene.client.answers = [TransportError("away") for _ in range(8)]
    assert [scene.beat.turn() for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert scene.beat.turn() == 60.0
    scene.client.answers = [TransportError("away")]
    assert scene.beat.turn() == 1.0


def test_refusal(scene: Scene) -> None:
    """A refusal is handed on, and the next heartbeat comes no sooner than the central wants."""
    scene.client.answers = [Refusal("busy", "later", retry_after=25.0)]
    assert scene.beat.turn() >= 25.0
    assert [refusal.type for refusal in scene.refused] == ["busy"]


def test_what_was_heard_is_handed_on(scene: Scene) -> None:
    """Orders and followed streams arrive."""
    order = Order(1, OrderVerb.FLUSH)
    scene.client.answers = [HeartbeatReply(1, (), (order,), 60.0, ("pilot",))]
    scene.beat.turn()
    assert (scene.heard[0].orders, scene.heard[0].followed) == ((order,), ("pilot",))


def test_hurry(scene: Scene) -> None:
    """Something to tell brings the next heartbeat, though its time has not come; and the thread ends when told."""
    stop = threading.Event()
    thread = threading.Thread(target=scene.beat.run, args=(stop,))
    thread.start()
    assert scene.client.answered.wait(10)
    scene.client.answered.clear()
    scene.holdings.progress([LeaseReport(1, 1)])
    scene.beat.hurry()
    assert scene.client.answered.wait(10)
    stop.set()
    scene.beat.hurry()
    thread.join(10)
    assert not thread.is_alive()
    assert len(scene.client.sent) == 2
