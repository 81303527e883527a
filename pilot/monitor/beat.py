"""The heartbeat: says what the pilot holds, and brings back what the central wants."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Callable, Optional

from pilot.backoff import Backoff
from pilot.errors import Refusal, TransportError
from pilot.monitor.central_client import CentralClient
from pilot.monitor.holdings import Heard, Holdings
from pilot.monitor.steadfast import steadfast
from pilot.protocol import Ledger, Spool

#: Seconds between two heartbeats, however much there is to tell, and however little.
LEAST, MOST = 1.0, 600.0
#: Seconds of the first back-off after a failure, and of the longest.
FIRST_RETRY, LAST_RETRY = 1.0, 30.0


class Beat:
    """Sends heartbeats until told to stop. `heard` gets what each reply asks for, `refused` each refusal."""

    def __init__(
        self,
        client: CentralClient,
        holdings: Holdings,
        spool: Callable[[], Spool],
        *,
        ledger: Callable[[], Optional[Ledger]] = lambda: None,
        interval: float,
        heard: Callable[[Heard], None],
        refused: Callable[[Refusal], None],
        rng: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self.client = client
        self.holdings = holdings
        self.spool = spool
        self.ledger = ledger
        self.interval = interval  # until the central says otherwise
        self.longest = MOST  # an order may ask for more frequent beats than replies do
        self.heard = heard
        self.refused = refused
        self.say = say
        self.sequence = 0
        self._backoff = Backoff(rng, FIRST_RETRY, LAST_RETRY)
        self._hurry = threading.Event()

    def hurry(self) -> None:
        """There is something to tell, or to stop: do not wait for the next heartbeat's time."""
        self._hurry.set()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            rest = steadfast("the heartbeat", self.turn, self.say) - LEAST
            # However much changes, one heartbeat a second is enough.
            if stop.wait(LEAST) or rest <= 0:
                continue
            # To an absent central news are no reason to hurry.
            (stop if self._backoff.failures else self._hurry).wait(rest)

    def turn(self) -> float:
        """Send one heartbeat. Returns the seconds until the next."""
        self._hurry.clear()
        self.sequence += 1
        said = self.holdings.compose(self.client.standing.epoch, self.sequence, self.spool())
        request = replace(said, ledger=self.ledger())
        try:
            reply = self.client.heartbeat(request)
        except TransportError as error:
            return self._failed(f"no central heard heartbeat {self.sequence}: {error}", None)
        except Refusal as refusal:
            self.refused(refusal)
            return self._failed(f"heartbeat {self.sequence} was refused ({refusal.type}): {refusal}", refusal)
        if self._backoff.failures > 1:
            self.say(f"the central answers again, after {self._backoff.failures} heartbeats without an answer")
        self._backoff.succeeded()
        heard = self.holdings.answered(request, reply)
        self.heard(heard)
        return max(LEAST, min(heard.next_beat, self.longest))

    def _failed(self, what: str, refusal: Optional[Refusal]) -> float:
        if self._backoff.failures in (0, 10):
            self.say(what)
        return min(self.longest, self._backoff.failed(refusal.retry_after if refusal else None))
