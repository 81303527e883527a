"""What the machine of a pilot costs when it is asked for: by the settings, else as its cloud says."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from central.clouds.port import Price
from central.configuration.settings import Queue
from central.records import Tariff
from pilot.errors import PilotageError

log = logging.getLogger(__name__)

#: Seconds after which prices, and what pilots were good for, are asked for again.
FRESH = 600.0


class Pricing:
    """Of one queue. `ask`: what its cloud says an hour costs now; None: nobody is to be asked."""

    def __init__(self, queue: Queue, ask: Callable[[], Awaitable[Price | None]] | None = None) -> None:
        self.queue = queue
        self.ask = ask
        self._asked: float | None = None
        self._told: Price | None = None

    async def tariff(self, now: float) -> Tariff | None:
        """At a time in seconds since the epoch; None: nobody says. What cannot be had is as it was before."""
        price = self.queue.price or await self._of_the_cloud(now)
        return tariff(self.queue, price) if price else None

    async def _of_the_cloud(self, now: float) -> Price | None:
        if self.ask and (self._asked is None or now - self._asked >= FRESH):
            self._asked = now
            try:
                self._told = await self.ask()
            except PilotageError as error:
                log.warning("queue %s: what a machine costs cannot be had: %s", self.queue.name, error)
        return self._told


def tariff(queue: Queue, price: Price) -> Tariff:
    """A machine is paid from when it was asked for, a node of a cluster from when a pilot began on it."""
    return Tariff(price.hour, price.currency, queue.billing_period, queue.cloud is not None)
