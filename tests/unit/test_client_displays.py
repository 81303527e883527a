"""What is shown while something takes long, and how pilots are sent home."""

import io

import pytest
from rich.console import Console

from pilot.errors import Refusal
from pilot.states import LIVE_PILOT, JobState, PilotState
from pilot.views import PilotView
from pilotage.dismissal import HALTED, NEWCOMERS, dismiss
from pilotage.watching import JobsDisplay
from tests.unit.client_scene import Time


def test_progress_without_a_terminal_is_a_line_now_and_then():
    """Into a file goes the first state and the last, and no control characters."""
    out = io.StringIO()
    with JobsDisplay("tiles", 2, Console(file=out, highlight=False)) as display:
        display({JobState.WAITING: 2})
        display({JobState.RUNNING: 2})
        display({JobState.DONE: 1, JobState.FAILED: 1})
        display({JobState.DONE: 1, JobState.FAILED: 1})

    lines = out.getvalue().splitlines()
    assert [line.split(", after")[0] for line in lines] == ["tiles: 2 waiting", "tiles: 1 done, 1 failed"]
    assert "\x1b" not in out.getvalue()


def test_progress_on_a_terminal_shows_how_many_have_ended():
    """The bar counts every final state."""
    out = io.StringIO()
    with JobsDisplay("tiles", 3, Console(file=out, force_terminal=True, width=100)) as display:
        display({JobState.WAITING: 1, JobState.DONE: 1, JobState.KILLED: 1})

    assert "2/3" in out.getvalue()


class Pilots:
    """Pilots that end some looks after they were asked to."""

    def __init__(self, **looks: int | None) -> None:
        self.looks = dict(looks)  # stamp → looks after the order until it has ended; None: only when halted
        self.drained: list[str] = []
        self.halted: list[str] = []

    def pilots(self, states):
        assert set(states) == LIVE_PILOT
        for stamp in list(self.looks):
            left = self.looks[stamp]
            if stamp in self.halted or (stamp in self.drained and left == 0):
                del self.looks[stamp]
            elif left and stamp in self.drained:
                self.looks[stamp] = left - 1
        return [PilotView(stamp, PilotState.RUNNING, "here", "local", (), 0.0, running=1) for stamp in self.looks]

    def drain(self, stamp, reason):
        self.drained.append(stamp)

    def halt(self, stamp, reason):
        self.halted.append(stamp)


def test_pilots_that_drain_in_time_are_not_halted():
    """Each is asked once, and waited for."""
    pilots = Pilots(a=1, b=3)
    said = []

    assert dismiss(pilots, 60.0, Time().clock(), said.append) == ()
    assert (sorted(pilots.drained), pilots.halted) == (["a", "b"], [])
    assert said[0] == "draining 2 pilots with 2 jobs running"


def test_pilots_that_take_too_long_are_halted():
    """After the time allowed those that still run are halted, once."""
    pilots = Pilots(a=None, b=0)
    time = Time()

    assert dismiss(pilots, 5.0, time.clock(), lambda text: None) == ()
    assert pilots.halted == ["a"]
    assert 5.0 < time.now < 7.0


def test_pilots_that_do_not_end_are_told():
    """Somebody who cannot be stopped is returned, not waited for without end."""
    pilots = Pilots(a=None)
    pilots.halt = lambda stamp, reason: None
    time = Time()

    (left,) = dismiss(pilots, 5.0, time.clock(), lambda text: None)

    assert left.stamp == "a"
    assert time.now == pytest.approx(5.0 + HALTED, abs=1.0)


def test_new_pilots_are_drained_but_not_waited_for_without_end():
    """A director that sends pilot after pilot does not keep the central from being stopped."""
    pilots = Pilots(a=0)
    look = pilots.pilots

    def sending(states):
        pilots.looks.setdefault(f"new-{len(pilots.drained)}", 0)
        return look(states)

    pilots.pilots = sending
    time = Time()

    dismiss(pilots, 60.0, time.clock(), lambda text: None)

    assert time.now == pytest.approx(NEWCOMERS, abs=1.5)
    assert len(pilots.drained) > 5
    assert pilots.halted == []


def test_a_pilot_that_ends_at_the_same_moment_is_no_error():
    """An order to one that is over is refused as a conflict, which is what was wanted."""
    pilots = Pilots(a=0)

    def gone(stamp, reason):
        del pilots.looks["a"]
        raise Refusal("conflict", "it is over")

    pilots.drain = gone

    assert dismiss(pilots, 5.0, Time().clock(), lambda text: None) == ()
