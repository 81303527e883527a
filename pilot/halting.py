"""When a machine without work halts: one pure decision, for batch jobs and virtual machines alike.

``elastic``: after so long without work; where the machine is paid by periods, near the end of one, since until then it
is paid for anyway. ``static``: at the end of its life, whatever it finds. ``never``: nor does it power off when its
pilot has ended. None of them halts while a payload runs: only an order, a notice or the end of its life does that.
"""

from __future__ import annotations

from dataclasses import dataclass

ELASTIC, STATIC, NEVER = "elastic", "static", "never"
POLICIES = (ELASTIC, STATIC, NEVER)
#: Seconds of the longest period that a machine may be paid by.
MOST_PERIOD = 86400
#: Seconds before the end of a period that is paid for in which an idle machine halts, at most half of the period: what
#: takes a machine down, and a cloud to notice it, must be over before the next begins.
NEAR = 300.0
#: Seconds without work after which a machine that is paid by periods counts as idle.
SETTLED = 60.0


@dataclass(frozen=True)
class Halting:
    """A queue's word on it."""

    policy: str = ELASTIC
    period: int = 0  # seconds that a machine is paid by; 0: it is paid by the second, or not at all

    def why(self, patience: float) -> str:
        """What is said of a machine that halts by it, after so many seconds without work."""
        return "no job, and the period that is paid for ends" if self.period else f"no job for {patience:g} s"


def halts_in(halting: Halting, patience: float, *, up: float, idle: float, running: bool) -> float:
    """Seconds until a machine halts for want of work, infinity where it does not; negative: it should have by now.

    `patience`: seconds without work after which an elastic one halts that is not paid by periods. `up`: seconds since
    the machine was started. `idle`: seconds without a payload.
    """
    if running or halting.policy != ELASTIC:
        return float("inf")
    if not halting.period:
        return patience - idle
    settled = up - idle + SETTLED  # counted from the start of the machine, as the period is
    before = halting.period - min(NEAR, halting.period / 2) - settled % halting.period
    return settled + max(0.0, before) - up
