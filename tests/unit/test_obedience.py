"""Orders: each carried out once, acknowledged twice."""

from __future__ import annotations

from typing import Any

import pytest

from pilot import codec
from pilot.monitor.holdings import Holdings
from pilot.monitor.obedience import Obedience
from pilot.protocol import Acknowledgement, HeartbeatReply, JobSpec, Lease, Order, Spool
from pilot.states import OrderVerb


class Hands:
    """Notes what it is asked to do."""

    def __init__(self) -> None:
        self.did: list[tuple[Any, ...]] = []

    def drain(self, message: str, *, left: float | None = None) -> None:
        self.did.append(("drain", message) if left is None else ("drain", message, left))

    def halt(self, message: str, *, left: float | None = None) -> None:
        self.did.append(("halt", message) if left is None else ("halt", message, left))

    def lifetime(self, seconds: int) -> None:
        self.did.append(("lifetime", seconds))

    def kill(self, job: int, attempt: int, reason: str) -> None:
        self.did.append(("kill", job, attempt, reason))

    def show(self, job: int, attempt: int, order: int, argument: str) -> None:
        self.did.append(("show", job, attempt, order, argument))

    def flush(self) -> None:
        self.did.append(("flush",))

    def setting(self, name: str, value: str) -> str:
        self.did.append(("set", name, value))
        return "set"


class Scene:
    def __init__(self) -> None:
        self.hands = Hands()
        self.holdings = Holdings(lambda: None)
        self.obedience = Obedience(3, self.holdings, self.hands)

    def match(self, job: int) -> tuple[Lease, ...]:
        number = self.holdings.ask(1)
        self.holdings.hand(1, number, [Lease(job, 1, 600, JobSpec(("true",)), "token", 1)])
        return self.holdings.got(1, number)

    @property
    def said(self) -> tuple[Acknowledgement, ...]:
        return self.holdings.compose(3, 1, Spool()).acknowledgements


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize(
    ("order", "did", "result"),
    [
        (Order(1, OrderVerb.DRAIN, 3), ("drain", "drain ordered by the central"), "draining"),
        (Order(1, OrderVerb.HALT, 3, reason="fire", who="anna"), ("halt", "halt ordered by anna: fire"), "halting"),
        (Order(1, OrderVerb.DRAIN, 0), ("drain", "drain ordered by the central"), "draining"),
        (Order(1, OrderVerb.DRAIN, 3, argument="90"), ("drain", "drain ordered by the central", 90.0), "draining"),
        (Order(1, OrderVerb.HALT, 3, argument="5"), ("halt", "halt ordered by the central", 5.0), "halting"),
        (Order(1, OrderVerb.FLUSH, 3), ("flush",), "the logs are pushed now"),
        (Order(1, OrderVerb.SET, 3, argument="beat = 5"), ("set", "beat", "5"), "set"),
    ],
)
def test_to_the_pilot(scene: Scene, order: Order, did: Any, result: str) -> None:
    """An order to the pilot is carried out, and acknowledged as received and as done with its result."""
    scene.obedience.take(order)
    assert scene.hands.did == [did]
    assert scene.said == (Acknowledgement(1, "received"), Acknowledgement(1, "done", result))


def test_a_deadline_that_is_none(scene: Scene) -> None:
    """An order whose deadline is no number is not carried out, and says so."""
    scene.obedience.take(Order(1, OrderVerb.HALT, 3, argument="soon"))
    assert scene.hands.did == []
    assert scene.said[1].result == "expected seconds, got soon"


def test_of_another_epoch(scene: Scene) -> None:
    """An order to an earlier life of this pilot is done without being carried out."""
    scene.obedience.take(Order(1, OrderVerb.HALT, 2))
    assert scene.hands.did == []
    assert scene.said[1] == Acknowledgement(1, "done", "stale epoch")


def test_delivered_twice(scene: Scene) -> None:
    """An order that comes again is acknowledged again, and not carried out again."""
    scene.obedience.take(Order(1, OrderVerb.FLUSH, 3))
    scene.obedience.take(Order(1, OrderVerb.FLUSH, 3))
    assert scene.hands.did == [("flush",)]


def test_kill(scene: Scene) -> None:
    """An attempt that runs is killed, whatever epoch the order was given in: it dies with its attempt."""
    scene.match(7)
    scene.obedience.take(Order(1, OrderVerb.KILL, 1, job=7, attempt=1, reason="enough", who="anna"))
    assert scene.hands.did == [("kill", 7, 1, "kill ordered by anna: enough")]
    assert scene.said[1].result == "the payload is told to stop"


def test_kill_before_the_lease_has_come(scene: Scene) -> None:
    """An order can overtake the match reply; the attempt is killed when it comes, and no other."""
    scene.obedience.take(Order(1, OrderVerb.KILL, job=7, attempt=1))
    assert scene.hands.did == []
    assert scene.said[1].result == "not held here"
    scene.obedience.arrived(scene.match(8))
    assert scene.hands.did == []
    scene.obedience.arrived(scene.match(7))
    assert [did[:3] for did in scene.hands.did] == [("kill", 7, 1)]


def test_kill_of_nothing(scene: Scene) -> None:
    """A kill without an attempt is no order."""
    scene.obedience.take(Order(1, OrderVerb.KILL, 3))
    assert scene.hands.did == []
    assert scene.said[1].result == "kill needs a job and an attempt"


def test_a_look_into_an_attempt(scene: Scene) -> None:
    """A look into what runs here is passed on; one into another, or an order that is not for it, kills none."""
    scene.match(7)
    scene.obedience.take(Order(1, OrderVerb.PEEK, 0, 7, 1, '{"path": "x"}'))
    scene.obedience.take(Order(2, OrderVerb.PEEK, 0, 8, 1))
    scene.obedience.take(Order(3, OrderVerb.FLUSH, 0, 7, 1))
    scene.match(8)
    assert scene.hands.did == [("show", 7, 1, 1, '{"path": "x"}')]
    assert [word.result for word in scene.said if word.stage == "done"][1:] == [
        "not held here",
        "flush is for a pilot, not an attempt",
    ]


def test_an_order_of_the_future(scene: Scene) -> None:
    """An order that this pilot does not know is closed by saying so, and the answer that brought it is understood."""
    reply = codec.loads(HeartbeatReply, b'{"sequence": 1, "orders": [{"id": 9, "verb": "dance"}]}')
    scene.obedience.take(reply.orders[0])
    assert scene.said[-1] == Acknowledgement(9, "done", "this pilot does not know the order dance")
    assert scene.hands.did == []
