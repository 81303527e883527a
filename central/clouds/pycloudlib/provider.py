"""A cloud of pycloudlib's behind the port of every cloud: LXD's containers.

Driven for real: every verb against LXD 5.0 (`tests/real/lxd.sh`). Not driven, and not offered: pycloudlib's other
clouds. Two of them have adapters of their own here, and what machines need from the others (a list by marks, a bound on
what is asked, user-data that nobody else reads) pycloudlib does not do for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from central.clouds.port import Flavor, Intent, Machine, Named, Price, Quota
from central.clouds.pycloudlib.lxd import Lxd
from central.clouds.threads import Threads
from central.configuration.elements import Cloud
from pilot.errors import PilotageError
from wrappers.user_data.clouds import CLOUDS

T = TypeVar("T")
#: The clouds of pycloudlib's that can be asked for, in `region`; the first where nothing is said.
KINDS = ("lxd",)


def make_pycloudlib(cloud: Cloud, central: str, held: Path) -> Pycloudlib:
    """`central`: the mark of this installation. `held` is not read: LXD knows the user whose process it is.

    Raises `PilotageError` for a cloud that is not among `KINDS`.
    """
    if (cloud.region or KINDS[0]) not in KINDS:
        raise PilotageError(f"region: expected a cloud of pycloudlib's, {' or '.join(KINDS)}, got {cloud.region}")
    return Pycloudlib(central, cloud.patience)


class Pycloudlib:
    """The machines of one installation. `patience`: seconds for one call."""

    takes = CLOUDS["nocloud"]  # LXD makes a seed of it
    lag = 0.0

    def __init__(self, central: str, patience: float) -> None:
        self.patience = patience
        self._threads = Threads(lambda: Lxd(central), lambda _: None, "LXD")

    async def _asked(self, ask: Callable[[Lxd], T]) -> T:
        return await self._threads.call(ask, self.patience)

    async def validate(self) -> None:
        await self._asked(Lxd.validate)

    async def images(self) -> Sequence[Named]:
        return await self._asked(Lxd.images)

    async def flavors(self) -> Sequence[Flavor]:
        return await self._asked(Lxd.flavors)

    async def networks(self) -> Sequence[Named]:
        return await self._asked(Lxd.networks)

    async def quota(self) -> Quota:
        return await self._asked(Lxd.quota)

    async def create(self, intent: Intent) -> str:
        return await self._asked(lambda lxd: lxd.create(intent))

    async def machines(self) -> Sequence[Machine]:
        return await self._asked(Lxd.machines)

    async def machine(self, id: str) -> Machine | None:
        return await self._asked(lambda lxd: lxd.machine(id))

    async def delete(self, id: str) -> None:
        await self._asked(lambda lxd: lxd.delete(id))

    async def console(self, id: str) -> bytes:
        return await self._asked(lambda lxd: lxd.console(id))

    async def price(self, flavor: str, spot: bool) -> Price | None:
        return None

    async def close(self) -> None:
        await self._threads.close()
