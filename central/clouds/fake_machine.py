"""One machine of the cloud in memory: when it does what, and how it really stands, whatever its cloud says."""

from __future__ import annotations

from dataclasses import dataclass, field

from central.clouds.port import Intent, State


@dataclass(eq=False)
class FakeMachine:
    """One machine. Times in seconds, by the cloud's clock; what is ahead has not happened yet."""

    id: str
    central: str  # whose it is; empty: it bears no mark
    intent: Intent
    created: float
    up: float  # when it has booted
    fails: bool = False  # then it has not
    calls: bool = True  # what runs in it calls its central
    skew: float = 0.0  # of the time at which it says that it was created
    hidden: float = 0.0  # until then no list has it
    off: float | None = None  # since when it is off, or will be
    going: float | None = None  # when its deletion was taken
    gone: float | None = None  # when it is no more
    boots: int = 1
    notice: float | None = None  # when it will be taken back, as the machine itself is told
    why: str = ""
    printed: bytes = field(default=b"", repr=False)

    def state(self, now: float) -> State:
        """How it really stands."""
        if self.going is not None:
            return State.DELETING
        if self.off is not None and self.off <= now:
            return State.STOPPED
        if now < self.up:
            return State.BUILDING
        return State.FAILED if self.fails else State.RUNNING

    def runs(self, now: float) -> bool:
        """Whether what is in it is at work: also while it lies to everybody else. A machine is off from the moment in
        which its deletion is taken."""
        return self.state(now) is State.RUNNING and not self.is_gone(now)

    def is_gone(self, now: float) -> bool:
        return self.gone is not None and self.gone <= now
