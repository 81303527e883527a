"""What can be done to a running pilot: drain it, stop it, kill an attempt, change a setting."""

from __future__ import annotations

from typing import Callable, Optional

from pilot import messages
from pilot.beat import Beat
from pilot.endings import Ending
from pilot.holdings import Holdings
from pilot.matching import Matching
from pilot.shipper import Shipper
from pilot.states import PilotReason

#: Seconds that payloads get to end when the pilot is stopped.
GRACE = 10.0
#: Seconds that an order may set an interval to.
LONGEST = 86400.0


class Control:
    """The hands of `Obedience` and of the monitor itself. `tell` passes a message to the agent. For the main thread."""

    def __init__(
        self,
        tell: Callable[[messages.Message], None],
        holdings: Holdings,
        matching: Matching,
        shipper: Shipper,
        beat: Beat,
        say: Callable[[str], None],
    ) -> None:
        self.tell = tell
        self.holdings = holdings
        self.matching = matching
        self.shipper = shipper
        self.beat = beat
        self.say = say
        self.stopping: Optional[Ending] = None

    def drain(self, message: str, reason: PilotReason = PilotReason.DRAINED) -> None:
        """Take no new jobs; the agent ends when what runs has ended."""
        if not self.holdings.draining:
            self.say(f"no new jobs: {message}")
            self.holdings.drain()
            self.tell(messages.Drain(reason, message))
            self.matching.stop()

    def halt(self, message: str) -> None:
        self.stop(PilotReason.HALTED, message)

    def stop(self, reason: PilotReason, message: str) -> None:
        """End now: the agent preempts what runs. The first reason stands."""
        if self.stopping is not None:
            return
        self.say(f"everything is stopped: {message}")
        self.stopping = Ending(reason, message)
        self.holdings.drain()
        self.tell(messages.Stop(reason, message, GRACE))
        self.matching.stop()

    def kill(self, job: int, attempt: int, reason: str) -> None:
        self.tell(messages.Kill(job, attempt, reason))

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
