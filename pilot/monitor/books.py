"""The books of a pilot: an account for each of its agents, and the ledger that they make together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Callable, Optional

from pilot import ledger
from pilot.ledger import Account, Happened
from pilot.protocol import Ledger, MatchReply
from pilot.states import Cause


class Books:
    """May be used from any thread. `started` is when the pilot began, by the clock `steady`, in seconds; `cores` is
    what the machine has, as long as nobody has said how many of them are for jobs.

    `pace`: seconds between two ledgers that go with heartbeats. So much is unknown at most of a pilot that vanishes; a
    central that is busy asks for fewer heartbeats, and is told fewer ledgers.
    """

    def __init__(self, started: float, cores: int, steady: Callable[[], float], pace: float) -> None:
        self.started = started
        self.cores = cores
        self.steady = steady
        self.pace = pace
        self._lock = threading.Lock()
        self._accounts: dict[int, Account] = {}
        self._next = float("-inf")  # when a heartbeat is to bring the ledger again

    def begin(self, agents: Sequence[int]) -> None:
        """These are the agents of the pilot; it began before them."""
        with self._lock:
            self._accounts = {agent: Account.begun(_microseconds(self.started)) for agent in agents}

    def happened(self, agent: int, what: Happened) -> None:
        self._change(agent, lambda account, now: account.take(replace(what, at=min(what.at, now))))

    def validating(self, agent: int) -> None:
        self._change(agent, lambda account, now: account.validating(now))

    def answered(self, agent: int, reply: MatchReply) -> None:
        wanted = reply.reason == "nothing-fits" or reply.waits
        self._change(agent, lambda account, now: account.answered(now, wanted))

    def ended(self, agent: int) -> None:
        """The agent's process is gone."""
        self._change(agent, lambda account, now: account.ended(now))

    def settle(self, job: int, attempt: int, cause: Cause) -> None:
        """What the payload of an attempt was, whichever agent had it."""
        for agent in list(self._accounts):
            self._change(agent, lambda account, now: account.settle(now, job, attempt, cause))

    def news(self) -> Optional[Ledger]:
        """The ledger as of now when it is time to tell it, else None."""
        with self._lock:
            now = self.steady()
            if now < self._next or not self._accounts:
                return None
            self._next = now + self.pace
            return self._sum([account.until(_microseconds(now)) for account in self._accounts.values()])

    def final(self) -> Ledger:
        """The ledger of a pilot that says goodbye."""
        with self._lock:
            now = _microseconds(self.steady())
            return self._sum([account.final(now) for account in self._accounts.values()])

    def _sum(self, accounts: Sequence[Account]) -> Ledger:
        each, over = divmod(self.cores, max(1, len(accounts)))
        return ledger.summed((account, each + (place < over)) for place, account in enumerate(accounts))

    def _change(self, agent: int, change: Callable[[Account, int], Account]) -> None:
        with self._lock:
            account = self._accounts.get(agent)
            if account is not None:
                self._accounts[agent] = change(account, _microseconds(self.steady()))


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)
