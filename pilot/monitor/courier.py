"""Brings what is in the spool to the central, each item until it is accepted or refused for good."""

from __future__ import annotations

import threading
from typing import Callable, Optional

from pilot import messages
from pilot.backoff import Backoff
from pilot.errors import Refusal, TransportError
from pilot.monitor.central_client import CentralClient
from pilot.monitor.spool import Entry, Item, Spool
from pilot.monitor.steadfast import steadfast
from pilot.protocol import ReleaseRequest

#: Refusals after which the same again would be refused again. All others leave the item in the spool.
FINAL = frozenset(
    {
        "stale-attempt", "not-yours", "superseded", "replayed", "conflict",
        "invalid", "too-large", "not-found", "forbidden",
    }
)  # fmt: skip


class Courier:
    """Delivers until told to stop. `settled` hears what became of each item: None when it was accepted."""

    def __init__(
        self,
        spool: Spool,
        client: CentralClient,
        *,
        settled: Callable[[Item, Optional[Refusal]], None],
        refused: Callable[[Refusal], None],
        steady: Callable[[], float],
        rng: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self.spool = spool
        self.client = client
        self.settled = settled
        self.refused = refused
        self.steady = steady
        self.rng = rng
        self.say = say
        self._away = Backoff(rng)

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            wait = steadfast("the delivery of reports", self.turn, self.say)
            # News in the spool do not bring an absent central back.
            (stop if self._away.failures else self.spool.changed).wait(wait)

    def turn(self) -> float:
        """Deliver one item if there is one. Returns the seconds until the next may be."""
        self.spool.changed.clear()
        entry, wait = self.spool.due(self.steady())
        if entry is None:
            return wait
        try:
            self._send(entry.item)
        except TransportError as error:
            wait = self._away.failed()
            self.spool.again(entry, self.steady())
            if self._away.failures in (1, 10):
                self.say(f"reports wait in the spool, the central cannot be reached: {error}")
            return wait
        except Refusal as refusal:
            self._away.succeeded()
            self._refused(entry, refusal)
            return 0.0
        except Exception:  # whatever it was, the report is still to be delivered
            self.spool.again(entry, self.steady())
            raise
        self._away.succeeded()
        self.spool.done(entry)
        self.settled(entry.item, None)
        return 0.0

    def _send(self, item: Item) -> None:
        if isinstance(item, messages.Report):
            self.client.report(item.job, item.attempt, item.report)
        elif isinstance(item, messages.Release):
            self.client.release(ReleaseRequest(item.leases, item.why))
        else:
            self.client.step(item.report)

    def _refused(self, entry: Entry, refusal: Refusal) -> None:
        if refusal.type in FINAL:
            self.say(f"{_named(entry.item)} was refused ({refusal.type}): {refusal}")
            self.spool.done(entry)
            self.settled(entry.item, refusal)
            return
        if entry.failures == 0:
            self.say(f"{_named(entry.item)} is sent again later ({refusal.type}): {refusal}")
        backoff = Backoff(self.rng)
        backoff.failures = entry.failures
        self.spool.again(entry, self.steady() + backoff.failed(refusal.retry_after))
        self.refused(refusal)


def _named(item: Item) -> str:
    if isinstance(item, messages.Report):
        return f"the report that job {item.job} attempt {item.attempt} is {item.report.phase.value}"
    if isinstance(item, messages.Release):
        return f"giving back {len(item.leases)} leases"
    return f"the report of step {item.report.number}, {item.report.command},"
