"""Guests of this host behind the port of every cloud: asked in threads, since files and processes block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from central.clouds.guests.guests import Guests
from central.clouds.port import Flavor, Intent, Machine, Named, Price, Quota
from central.clouds.threads import Threads
from wrappers.user_data.clouds import CLOUDS

T = TypeVar("T")


class GuestsProvider:
    """One kind of guests. A seed is read by cloud-init as it is."""

    takes = CLOUDS["nocloud"]
    lag = 0.0

    def __init__(self, guests: Guests, patience: float) -> None:
        self.patience = patience
        self._threads = Threads(lambda: guests, lambda _: None, f"{guests.hypervisor.kind} on this host")

    async def _asked(self, ask: Callable[[Guests], T]) -> T:
        return await self._threads.call(ask, self.patience)

    async def validate(self) -> None:
        await self._asked(Guests.validate)

    async def images(self) -> Sequence[Named]:
        return await self._asked(Guests.images)

    async def flavors(self) -> Sequence[Flavor]:
        return await self._asked(Guests.flavors)

    async def networks(self) -> Sequence[Named]:
        return await self._asked(Guests.networks)

    async def quota(self) -> Quota:
        return await self._asked(Guests.quota)

    async def create(self, intent: Intent) -> str:
        return await self._asked(lambda guests: guests.create(intent))

    async def machines(self) -> Sequence[Machine]:
        return await self._asked(Guests.machines)

    async def machine(self, id: str) -> Machine | None:
        return await self._asked(lambda guests: guests.machine(id))

    async def delete(self, id: str) -> None:
        await self._asked(lambda guests: guests.delete(id))

    async def console(self, id: str) -> bytes:
        return await self._asked(lambda guests: guests.console(id))

    async def price(self, flavor: str, spot: bool) -> Price | None:
        return None

    async def close(self) -> None:
        await self._threads.close()
