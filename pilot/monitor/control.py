"""What can be done to a running pilot: drain it, stop it, kill an attempt, change a setting.

Whoever ends a pilot comes here: a signal, a notice of the machine, an order, the end of its time. So there is one way
in which it ends: no new jobs, the payloads are told and get what time there is, their checkpoints go home, and what
they were is reported as preempted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from pilot import messages
from pilot.endings import Ending
from pilot.monitor.beat import Beat
from pilot.monitor.holdings import Holdings
from pilot.monitor.shipper import Shipper
from pilot.notices.notice import Notice, divide
from pilot.states import PilotReason

#: Seconds that an order may set an interval to.
LONGEST = 86400.0
#: Seconds that the end itself has, however late it is: what is lost then would have been lost anyway.
LEAST = 10.0
#: Seconds of an end that may change without anybody being told anew.
SAME = 1.0


@dataclass(frozen=True)
class Expected:
    """When it will be over, by the monotonic clock, and why."""

    at: float
    reason: PilotReason
    message: str


class Control:
    """The hands of `Obedience` and of the monitor itself. `tell` passes a message to the agents, `take_no_more` ends
    their match requests. For the main thread.

    `margin`: seconds before an expected end at which what runs is stopped.
    """

    def __init__(
        self,
        tell: Callable[[messages.Message], None],
        holdings: Holdings,
        take_no_more: Callable[[], None],
        shipper: Shipper,
        beat: Beat,
        say: Callable[[str], None],
        steady: Callable[[], float],
        margin: float,
    ) -> None:
        self.tell = tell
        self.holdings = holdings
        self.take_no_more = take_no_more
        self.shipper = shipper
        self.beat = beat
        self.say = say
        self.steady = steady
        self.margin = margin
        self.stopping: Optional[Ending] = None
        self.expected: Optional[Expected] = None
        self.over_by = float("inf")  # when nothing may run any more, once it is stopped
        self.hard = False  # whether somebody has said so, and it is not our own patience
        self.agent_by = float("inf")  # when the agent must have ended then

    # -- the ways to an end -------------------------------------------------------------------------------------------

    def drain(self, message: str, reason: PilotReason = PilotReason.DRAINED, *, left: Optional[float] = None) -> None:
        """Take no new jobs; the agent ends when what runs has ended, or after `left` seconds."""
        if left is not None:
            self.expect(self.steady() + left, reason, message)
        if not self.holdings.draining:
            self.say(f"no new jobs: {message}")
            self.holdings.drain()
            self.tell(messages.Drain(reason, message))
            self.take_no_more()

    def halt(self, message: str, *, left: Optional[float] = None) -> None:
        self.stop(PilotReason.HALTED, message, left)

    def notice(self, notice: Notice) -> None:
        """The machine will be taken away, or its time ends."""
        if notice.at_once:
            self.stop(PilotReason.SIGNAL, notice.message, notice.left)
        else:
            self.expect(self.steady() + notice.left, PilotReason.NO_TIME, notice.message)
            self.tell(messages.Lifetime(int(notice.left - self.margin)))

    def lifetime(self, seconds: int) -> None:
        """An agent has found out how long it has, the margin taken off."""
        self.expect(self.steady() + seconds + self.margin, PilotReason.NO_TIME, "the pilot's time is up")

    def expect(self, at: float, reason: PilotReason, message: str) -> None:
        """It will be over at that time of the monotonic clock. Of several ends the first counts."""
        if self.expected is None or at < self.expected.at:
            self.say(f"everything ends in {at - self.steady():.0f} s: {message}")
            self.expected = Expected(at, reason, message)

    def look(self) -> None:
        """Stop what runs when the end that is expected is near."""
        expected, now = self.expected, self.steady()
        if expected is not None and now >= expected.at - self.margin:
            self.stop(expected.reason, expected.message, expected.at - now)

    def stop(self, reason: PilotReason, message: str, left: Optional[float] = None) -> None:
        """End now: the agent preempts what runs. The first reason stands; a later one may shorten the time."""
        now, times = self.steady(), divide(left)
        if now + times.total >= self.over_by - SAME:
            return
        self.over_by = now + times.total
        self.hard = left is not None
        self.agent_by = self.over_by - times.rest / 2
        self.say(f"everything is stopped: {message}; {times.grace:.0f} s for payloads, {times.files:.0f} s for files")
        if self.stopping is None:
            self.stopping = Ending(reason, message)
            self.holdings.drain()
        self.tell(messages.Stop(self.stopping.reason, self.stopping.message, times.grace, times.files))
        self.take_no_more()

    @property
    def left(self) -> float:
        """Seconds until nothing may run any more: some at least, and without end where nobody knows of any."""
        end = min(self.over_by if self.hard else float("inf"), self.expected.at if self.expected else float("inf"))
        return max(LEAST, end - self.steady())

    # -- what else ----------------------------------------------------------------------------------------------------

    def kill(self, job: int, attempt: int, reason: str) -> None:
        self.tell(messages.Kill(job, attempt, reason))

    def show(self, job: int, attempt: int, order: int, argument: str) -> None:
        self.tell(messages.Show(job, attempt, order, argument))

    def flush(self) -> None:
        self.shipper.flush()

    def setting(self, name: str, value: str) -> str:
        least = {"beat": 1.0, "log_interval": 0.0}.get(name)
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if least is None or not least <= seconds <= LONGEST:
            return f"expected beat (from 1 s) or log_interval (from 0 s), got {name}={value}"
        if name == "beat":
            self.beat.longest = seconds
        else:
            self.shipper.interval = seconds
        return f"{name} is {seconds:g} s now"
