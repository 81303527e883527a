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

    def show(self, job: int, attempt: int, order: int, argument: str) -> None: ...

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
        try:
            verb = OrderVerb(order.verb)
        except ValueError:
            return f"this pilot does not know the order {order.verb:.40}"
        if order.job is not None and order.attempt is not None:
            return self._to_attempt(verb, order, order.job, order.attempt)
        # Zero: given before the pilot had an epoch.
        if order.epoch not in (0, self.epoch):
            return "stale epoch"
        return self._to_pilot(verb, order)

    def _to_attempt(self, verb: OrderVerb, order: Order, job: int, attempt: int) -> str:
        if verb is OrderVerb.KILL:
            return self._kill(job, attempt, _why(verb, order))
        if verb is OrderVerb.PEEK and self._holds(job, attempt):
            self.hands.show(job, attempt, order.id, order.argument)
            return "its answer is a log of the attempt"
        return "not held here" if verb is OrderVerb.PEEK else f"{verb.value} is for a pilot, not an attempt"

    def _holds(self, job: int, attempt: int) -> bool:
        return any((lease.job, lease.attempt) == (job, attempt) for lease in self.holdings.running())

    def _kill(self, job: int, attempt: int, reason: str) -> str:
        if self._holds(job, attempt):
            self.hands.kill(job, attempt, reason)
            return "the payload is told to stop"
        self._to_kill[job, attempt] = reason
        if len(self._to_kill) > REMEMBERED:
            del self._to_kill[next(iter(self._to_kill))]
        return "not held here"

    def _to_pilot(self, verb: OrderVerb, order: Order) -> str:
        if verb in (OrderVerb.DRAIN, OrderVerb.HALT):
            return self._to_end(verb, order)
        if verb is OrderVerb.FLUSH:
            self.hands.flush()
            return "the logs are pushed now"
        if verb is OrderVerb.SET:
            name, _, value = order.argument.partition("=")
            return self.hands.setting(name.strip(), value.strip())
        return f"{verb.value} needs a job and an attempt"

    def _to_end(self, verb: OrderVerb, order: Order) -> str:
        try:
            left = float(order.argument) if order.argument else None
        except ValueError:
            return f"expected seconds, got {order.argument}"
        if verb is OrderVerb.DRAIN:
            self.hands.drain(_why(verb, order), left=left)
            return "draining"
        self.hands.halt(_why(verb, order), left=left)
        return "halting"


def _why(verb: OrderVerb, order: Order) -> str:
    """The reason as a sentence, with who gave it."""
    who = f"by {order.who}" if order.who else "by the central"
    return f"{verb.value} ordered {who}" + (f": {order.reason}" if order.reason else "")
