"""Which attempts of an earlier monitor are this pilot's still, as the central says: others may have their jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable

from pilot.backoff import Backoff
from pilot.errors import Refusal, TransportError
from pilot.monitor.central_client import CentralClient
from pilot.protocol import AttemptId, HeartbeatRequest, LeaseReport
from pilot.states import Phase, PilotState


class Claims:
    """Of one pilot, under the epoch in which it got the leases. `ours` is what the central has renewed last.

    One thread asks; any may read `ours`.
    """

    def __init__(self, client: CentralClient, attempts: Iterable[AttemptId], say: Callable[[str], None]) -> None:
        self.client = client
        self.leases = tuple(LeaseReport(one.job, one.attempt, Phase.COMPLETING) for one in attempts)
        self.say = say
        self.ours: frozenset[AttemptId] = frozenset()
        self.refused = False  # for good: nothing is ours any more
        self._sequence = 1

    def settle(self, pause: Callable[[float], bool], chance: Callable[[], float]) -> None:
        """Ask until the central has said it. `pause` waits, and says whether the time is over: then nothing is ours."""
        backoff = Backoff(chance, first=0.25)
        while not self.ask() and not self.refused and not pause(backoff.failed()):
            pass

    def ask(self) -> bool:
        """Have all of them renewed; whether the central has answered. What it does not renew is never ours again."""
        try:
            self._beat()
        except TransportError as problem:
            self.say(f"the central did not hear that this pilot is back: {problem}")
            return False
        except Refusal as refusal:
            self.say(f"the central did not renew what this pilot had: {refusal}")
            if not refusal.transient:
                self.refused, self.ours = True, frozenset()
            return False
        return True

    def _beat(self) -> None:
        try:
            self._renew()
        except Refusal as refusal:
            if refusal.type != "replayed" or not str(refusal.expected).isdigit():
                raise
            self._sequence = int(str(refusal.expected))  # the earlier monitor has counted further
            self._renew()

    def _renew(self) -> None:
        reply = self.client.heartbeat(
            HeartbeatRequest(self.client.standing.epoch, self._sequence, PilotState.RUNNING, leases=self.leases)
        )
        self._sequence += 1
        listed = {(one.job, one.attempt) for one in self.leases}
        renewed = {(one.job, one.attempt) for one in reply.leases if one.seconds > 0} & listed
        self.leases = tuple(one for one in self.leases if (one.job, one.attempt) in renewed)
        self.ours = frozenset(AttemptId(*one) for one in renewed)
