"""How a pilot comes to its end: signals, orders, notices and the end of its time go one way."""

from __future__ import annotations

from typing import Any

import pytest

from pilot import messages
from pilot.monitor.control import Control
from pilot.monitor.holdings import Holdings
from pilot.notices.notice import FILES, GRACE, Notice, divide
from pilot.states import PilotReason

MARGIN = 30.0


class Scene:
    """A control whose clock a test turns, and what it told the agent."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.told: list[messages.Message] = []
        self.said: list[str] = []
        self.closed = 0
        nobody: Any = None
        self.control = Control(
            self.told.append,
            Holdings(lambda: None),
            self.close,
            nobody,
            nobody,
            self.said.append,
            lambda: self.now,
            MARGIN,
        )

    def close(self) -> None:
        self.closed += 1

    def stops(self) -> list[messages.Stop]:
        return [message for message in self.told if isinstance(message, messages.Stop)]

    def pass_time(self, seconds: float) -> None:
        """Look once a second."""
        for _ in range(int(seconds)):
            self.now += 1.0
            self.control.look()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_signal(scene: Scene) -> None:
    """When nobody knows how much time is left, payloads get ten seconds, and files some more; no new jobs come."""
    scene.control.stop(PilotReason.SIGNAL, "signal 15")
    assert scene.stops() == [messages.Stop(PilotReason.SIGNAL, "signal 15", GRACE, FILES)]
    assert scene.control.holdings.draining
    assert scene.closed == 1
    assert scene.control.stopping is not None
    assert scene.control.stopping.reason is PilotReason.SIGNAL


def test_a_signal_again_and_again(scene: Scene) -> None:
    """The same word again changes nothing: nobody gets more time by being told twice."""
    for _ in range(20):
        scene.control.stop(PilotReason.SIGNAL, "signal 15")
        scene.pass_time(1)
    assert len(scene.stops()) == 1


def test_a_notice_of_a_cloud(scene: Scene) -> None:
    """A machine that will be taken away has its payloads told at once, with all the time that there is."""
    scene.control.notice(Notice("EC2 will terminate this instance", 120.0))
    times = divide(120.0)
    assert scene.stops() == [
        messages.Stop(PilotReason.SIGNAL, "EC2 will terminate this instance", times.grace, times.files)
    ]
    assert scene.control.left == pytest.approx(120.0)


def test_the_end_of_a_life(scene: Scene) -> None:
    """A time that the machine says it ends at is told to the agent at once, and stops what runs a margin before."""
    scene.control.notice(Notice("shutdowntime", 600.0, at_once=False))
    assert scene.told == [messages.Lifetime(600 - 30)]
    scene.pass_time(569)
    assert scene.stops() == []
    assert not scene.control.holdings.draining
    scene.pass_time(2)
    (stop,) = scene.stops()
    assert stop.reason is PilotReason.NO_TIME
    assert stop.grace + stop.files < 30.0


def test_the_agent_finds_out_how_long_it_has(scene: Scene) -> None:
    """The end of the batch job, which the agent finds, is an end like any other: told once, stopped a margin before."""
    scene.control.lifetime(300)
    assert scene.told == []
    scene.pass_time(299)
    assert scene.stops() == []
    assert scene.control.left == pytest.approx(31.0)
    scene.pass_time(2)
    (stop,) = scene.stops()
    assert (stop.reason, stop.message) == (PilotReason.NO_TIME, "the pilot's time is up")


def test_a_drain_with_a_deadline(scene: Scene) -> None:
    """What runs may end by itself until shortly before the deadline; then it is preempted, because of the drain."""
    scene.control.drain("drain ordered by anna", left=100.0)
    assert scene.told == [messages.Drain(PilotReason.DRAINED, "drain ordered by anna")]
    scene.pass_time(100 - MARGIN - 1)
    assert scene.stops() == []
    scene.pass_time(2)
    (stop,) = scene.stops()
    assert (stop.reason, stop.message) == (PilotReason.DRAINED, "drain ordered by anna")


def test_a_deadline_that_comes_later(scene: Scene) -> None:
    """A deadline may be given to a pilot that drains already; of several the first counts."""
    scene.control.drain("without a deadline")
    scene.control.drain("with one", left=1000.0)
    scene.control.drain("with an earlier one", left=50.0)
    scene.control.drain("with a later one", left=5000.0)
    scene.pass_time(25)
    (stop,) = scene.stops()
    assert stop.message == "with an earlier one"
    assert len([message for message in scene.told if isinstance(message, messages.Drain)]) == 1


def test_less_time_than_was_thought(scene: Scene) -> None:
    """A second end may shorten the time of the first, whose reason stands; it never lengthens it."""
    scene.control.halt("halt ordered by anna", left=600.0)
    scene.pass_time(10)
    scene.control.notice(Notice("EC2", 120.0))
    scene.control.notice(Notice("Azure", 300.0))
    first, second = scene.stops()
    assert (second.reason, second.message) == (PilotReason.HALTED, "halt ordered by anna")
    assert first.grace > second.grace == divide(120.0).grace


def test_no_time_at_all(scene: Scene) -> None:
    """An end that has passed already stops everything without any grace."""
    scene.control.notice(Notice("too late", -5.0))
    (stop,) = scene.stops()
    assert (stop.grace, stop.files) == (0.0, 0.0)


def test_the_agent_must_end_in_time(scene: Scene) -> None:
    """There is a moment at which the agent must have ended, after its payloads and before the machine."""
    assert scene.control.agent_by == float("inf")
    scene.control.notice(Notice("EC2", 120.0))
    times = divide(120.0)
    assert scene.now + times.grace + times.files < scene.control.agent_by < scene.now + 120.0
