"""Orders on their way to pilots: in memory so that a heartbeat needs no read for them, and in the store for good."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from central.records import OrderRow
from central.store.port import Store
from pilot.protocol import Acknowledgement, Order
from pilot.states import OrderVerb


class OrderDesk:
    """Writes orders down and hands them out until they were received."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[str, dict[int, OrderRow]] = {}  # stamp → order → row
        self._reading = asyncio.Lock()  # so that what was read first is not put in last

    async def start(self) -> None:
        """Take up everything that is still to be delivered."""
        async with self._reading:
            found: dict[str, dict[int, OrderRow]] = {}
            for row in await self._store.open_orders():
                found.setdefault(row.stamp, {})[row.id] = row
            self._open = found

    async def give(
        self,
        stamp: str,
        verb: OrderVerb,
        *,
        who: str,
        job: int | None = None,
        attempt: int | None = None,
        argument: str = "",
        reason: str = "",
    ) -> int:
        """Give an order to a pilot, or to an attempt that it holds. Raises ``conflict`` when that is over."""
        order = await self._store.order(
            stamp, verb, who=who, job=job, attempt=attempt, argument=argument, reason=reason
        )
        await self.reload(stamp)
        return order

    async def reload(self, stamp: str) -> None:
        """Read again what is to be delivered to a pilot: somebody has written an order for it."""
        async with self._reading:
            rows = {row.id: row for row in await self._store.orders(stamp) if row.received is None}
            if rows:
                self._open[stamp] = rows
            else:
                self._open.pop(stamp, None)

    def pending(self, stamp: str, epoch: int) -> tuple[Order, ...]:
        """What to tell a pilot now. Orders to the pilot are for one epoch; orders to attempts die with these."""
        rows = self._open.get(stamp)
        if not rows:
            return ()
        return tuple(
            Order(row.id, OrderVerb(row.verb), row.epoch, row.job, row.attempt, row.argument, row.reason, row.who)
            for row in rows.values()
            if row.job is not None or row.epoch == epoch
        )

    async def acknowledge(self, stamp: str, acknowledgements: Sequence[Acknowledgement]) -> None:
        """The pilot has heard, or has done."""
        if not acknowledgements:
            return
        await self._store.acknowledge(stamp, acknowledgements)
        self._drop(stamp, {acknowledgement.order for acknowledgement in acknowledgements})

    def attempt_ended(self, stamp: str, job: int, attempt: int) -> None:
        """Orders to an attempt die with it."""
        rows = self._open.get(stamp, {})
        self._drop(stamp, {row.id for row in rows.values() if (row.job, row.attempt) == (job, attempt)})

    def forget(self, stamp: str) -> None:
        """The pilot is over."""
        self._open.pop(stamp, None)

    def _drop(self, stamp: str, orders: set[int]) -> None:
        rows = self._open.get(stamp)
        if rows is None:
            return
        for order in orders:
            rows.pop(order, None)
        if not rows:
            del self._open[stamp]
