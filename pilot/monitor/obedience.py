"""Carries out the central's orders, each once, and acknowledges them: received, and done with a result."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional, Protocol

from pilot.monitor.holdings import Attempt, Holdings
from pilot.protocol import Acknowledgement, Lease, Order
from pilot.states import OrderVerb

#: Orders remembered, in case they are delivered again.
REMEMBERED = 1000


class Hands(Protocol):
    """What an order can move. `left`: seconds until it must be over. `setting` returns the result as a sentence."""

    def drain(self, message: str, *, left: Optional[float] = None) -> None: ...

    def halt(self, message: str, *, left: Optional[float] = None) -> None: ...

    def lifetime(self, seconds: int) -> None: ...

    def kill(self, job: int, attempt: int, reason: str) -> None: ...

    def flush(self) -> None: ...

    def setting(self, name: str, value: str) -> str: ...


class Obedience:
    """One pilot's, in one epoch. Used from one thread."""

    def __init__(self, epoch: int, holdings: Holdings, hands: Hands) -> None:
        self.epoch = epoch
        self.holdings = holdings
        self.hands = hands
        self._results: dict[int, str] = {}  # order → result
        self._to_kill: dict[Attempt, str] = {}  # not held here yet → reason

    def take(self, order: Order) -> None:
        """Carry out an order, unless that was done already, and acknowledge it."""
        self.holdings.acknowledge(Acknowledgement(order.id, "received"))
        if order.id not in self._results:
            self._results[order.id] = self._carry_out(order)
            if len(self._results) > REMEMBERED:
                del self._results[min(self._results)]
        self.holdings.acknowledge(Acknowledgement(order.id, "done", self._results[order.id]))

    def arrived(self, leases: Iterable[Lease]) -> None:
        """Leases came in: some may be wanted dead already, since an answer can be slower than an order."""
        for lease in leases:
            reason = self._to_kill.pop((lease.job, lease.attempt), None)
            if reason is not None:
                self.hands.kill(lease.job, lease.attempt, reason)

    def _carry_out(self, order: Order) -> str:
        if order.job is not None and order.attempt is not None:
            return self._kill(order.job, order.attempt, _why(order))
        # Zero: given before the pilot had an epoch.
        if order.epoch not in (0, self.epoch):
            return "stale epoch"
        return self._to_pilot(order)

    def _kill(self, job: int, attempt: int, reason: str) -> str:
        if any((lease.job, lease.attempt) == (job, attempt) for lease in self.holdings.running()):
            self.hands.kill(job, attempt, reason)
            return "the payload is told to stop"
        self._to_kill[job, attempt] = reason
        if len(self._to_kill) > REMEMBERED:
            del self._to_kill[next(iter(self._to_kill))]
        return "not held here"

    def _to_pilot(self, order: Order) -> str:
        if order.verb in (OrderVerb.DRAIN, OrderVerb.HALT):
            return self._to_end(order)
        if order.verb is OrderVerb.FLUSH:
            self.hands.flush()
            return "the logs are pushed now"
        if order.verb is OrderVerb.SET:
            name, _, value = order.argument.partition("=")
            return self.hands.setting(name.strip(), value.strip())
        return f"{order.verb.value} needs a job and an attempt"

    def _to_end(self, order: Order) -> str:
        try:
            left = float(order.argument) if order.argument else None
        except ValueError:
            return f"expected seconds, got {order.argument}"
        if order.verb is OrderVerb.DRAIN:
            self.hands.drain(_why(order), left=left)
            return "draining"
        self.hands.halt(_why(order), left=left)
        return "halting"


def _why(order: Order) -> str:
    """The reason as a sentence, with who gave it."""
    who = f"by {order.who}" if order.who else "by the central"
    return f"{order.verb.value} ordered {who}" + (f": {order.reason}" if order.reason else "")
