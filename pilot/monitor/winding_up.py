"""The end of a pilot: nothing left running, results and logs brought home as far as time allows, and goodbye."""

from __future__ import annotations

import select
from dataclasses import dataclass
from typing import Callable

from pilot import processes
from pilot.backoff import Backoff
from pilot.endings import Ending
from pilot.errors import ExitCode, Refusal, TransportError
from pilot.monitor.central_client import CentralClient
from pilot.monitor.holdings import Holdings
from pilot.monitor.leftovers import settle
from pilot.monitor.pilot_log import PilotLog
from pilot.monitor.shipper import OWN, Shipper
from pilot.monitor.spool import Spool
from pilot.monitor.waking import Waking
from pilot.protocol import GoodbyeRequest, Ledger
from pilot.states import PilotReason

#: Seconds for killed processes to be gone.
KILL_PATIENCE = 10.0
#: Seconds for the last bytes of logs, for the last acknowledgements, for the goodbye.
LOGS_PATIENCE, SAY_PATIENCE, BYE_PATIENCE = 60.0, 5.0, 30.0
#: Seconds for the central to hear that no more jobs are wanted.
DRAIN_PATIENCE = 3.0
#: Seconds that each of these has even after the patience of the whole is used up.
LEAST_PATIENCE = 3.0
#: When no central has answered anything for so many seconds, our own last words are not worth a longer wait.
AWAY = 5.0
#: Seconds between looks at a condition.
LOOK = 0.05


@dataclass(frozen=True)
class WindingUp:
    """What the end needs. Heartbeats, deliveries and pushes go on in their threads meanwhile."""

    holdings: Holdings
    take_no_more: Callable[[], None]
    spool: Spool
    shipper: Shipper
    client: CentralClient
    log: PilotLog
    waking: Waking
    steady: Callable[[], float]
    rng: Callable[[], float]
    ledger: Callable[[], Ledger]

    def run(self, ending: Ending, patience: float, stop_beating: Callable[[], None]) -> ExitCode:
        """Bring the pilot to its end, results within `patience` seconds. Returns how it ended."""
        began = self.steady()
        self.log.say(f"the pilot ends: {ending.reason.value}" + (f" ({ending.message})" if ending.message else ""))
        if not processes.end_all_children(KILL_PATIENCE):
            self.log.say("some processes cannot be ended; they belong to another user or hang in the kernel")
        self.holdings.drain()
        if ending.reason is not PilotReason.REFUSED:
            # Before anything goes back to the queue: a request that is still held would be given it again.
            self._wait(lambda: self.holdings.known_draining, DRAIN_PATIENCE)
        self.take_no_more()
        settle(ending, self.holdings, self.spool, self.shipper, self.log)
        if ending.reason is PilotReason.REFUSED:
            return ExitCode.REFUSED
        deadline = self.steady() + patience
        self._wait(lambda: self.spool.results == 0, patience)
        self._wait(lambda: self.spool.content().reports == 0 or self._away(began), self._left(deadline, SAY_PATIENCE))
        self._push_logs(began, deadline)
        undelivered = self.spool.results
        code = ExitCode.UNDELIVERED if undelivered else ending.exit_code
        self._wait(lambda: not self.holdings.unsaid or self._away(began), self._left(deadline, SAY_PATIENCE))
        stop_beating()
        goodbye = GoodbyeRequest(ending.reason, int(code), ending.message, self.ledger())
        self._say_goodbye(goodbye, LEAST_PATIENCE if self._away(began) else self._left(deadline, BYE_PATIENCE))
        if undelivered:
            self.log.say(f"{undelivered} reports could not be delivered and stay in {self.spool.folder}")
        return code

    def _push_logs(self, began: float, deadline: float) -> None:
        """The rest of the payloads' logs, then of our own, so far as it goes."""
        for name in set(self.shipper.waiting) - set(OWN):
            self.shipper.close(name)  # an agent that died has closed nothing
        self.shipper.flush()
        self._wait(lambda: set(self.shipper.waiting) <= set(OWN), self._left(deadline, LOGS_PATIENCE))
        self.log.say("everything else is done; these are the last lines")
        self.shipper.close_all()
        self._wait(lambda: not self.shipper.waiting or self._away(began), self._left(deadline, LOGS_PATIENCE))

    def _away(self, began: float) -> bool:
        """Whether no central has answered anything for a while, though there was something to say since we began."""
        return self.steady() - max(began, self.client.standing.heard) > AWAY

    def _left(self, deadline: float, most: float) -> float:
        """Seconds until the deadline, as far as one thing may use them up."""
        return min(most, max(LEAST_PATIENCE, deadline - self.steady()))

    def _say_goodbye(self, goodbye: GoodbyeRequest, patience: float) -> None:
        backoff = Backoff(self.rng)
        deadline = self.steady() + patience
        while True:
            try:
                self.client.bye(goodbye)
                return
            except TransportError as error:
                problem, wait = str(error), backoff.failed()
            except Refusal as refusal:
                if not refusal.transient:
                    self.log.say(f"the goodbye was refused ({refusal.type}): {refusal}")
                    return
                problem, wait = str(refusal), backoff.failed(refusal.retry_after)
            if self.steady() + wait > deadline:
                self.log.say(f"no central heard the goodbye: {problem}")
                return
            self._wait(lambda: False, wait)

    def _wait(self, done: Callable[[], bool], patience: float) -> bool:
        """Wait for a condition, making the calls that threads post meanwhile. Whether it came true."""
        deadline = self.steady() + patience
        while not done():
            left = deadline - self.steady()
            if left <= 0:
                return False
            select.select([self.waking.read_end], [], [], min(LOOK, left))
            self.waking.run_posted()
        return True
