"""A cloud whose adapter blocks, behind the port of every cloud: each verb is asked in a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from central.clouds.port import Flavor, Intent, Machine, Named, Price, Quota
from central.clouds.threads import Threads
from central.clouds.understood import understood
from wrappers.user_data.clouds import Cloud as Takes


class Blocking(Protocol):
    """The verbs of `CloudProvider`, for one thread: each may block, and raises `ComputingError`."""

    def validate(self) -> None: ...

    def images(self) -> Sequence[Named]: ...

    def flavors(self) -> Sequence[Flavor]: ...

    def networks(self) -> Sequence[Named]: ...

    def quota(self) -> Quota: ...

    def create(self, intent: Intent) -> str: ...

    def machines(self) -> Sequence[Machine]: ...

    def machine(self, id: str) -> Machine | None: ...

    def delete(self, id: str) -> None: ...

    def console(self, id: str) -> bytes: ...


Asked = TypeVar("Asked", bound=Blocking)
T = TypeVar("T")


class ThreadedProvider(Generic[Asked]):
    """One whose list has every machine at once, and that knows no prices.

    `make` makes what is asked, in the thread that it is for. `whom` is what is asked, in messages; `patience`: seconds
    for one call.
    """

    lag = 0.0

    def __init__(self, make: Callable[[], Asked], whom: str, takes: Takes, patience: float) -> None:
        self.takes = takes
        self.patience = patience
        self._threads: Threads[Asked] = Threads(make, lambda _: None, whom)

    async def _call(self, ask: Callable[[Asked], T]) -> T:
        with understood(self._threads.whom):
            return await self._threads.call(ask, self.patience)

    async def validate(self) -> None:
        await self._call(lambda asked: asked.validate())

    async def images(self) -> Sequence[Named]:
        return await self._call(lambda asked: asked.images())

    async def flavors(self) -> Sequence[Flavor]:
        return await self._call(lambda asked: asked.flavors())

    async def networks(self) -> Sequence[Named]:
        return await self._call(lambda asked: asked.networks())

    async def quota(self) -> Quota:
        return await self._call(lambda asked: asked.quota())

    async def create(self, intent: Intent) -> str:
        return await self._call(lambda asked: asked.create(intent))

    async def machines(self) -> Sequence[Machine]:
        return await self._call(lambda asked: asked.machines())

    async def machine(self, id: str) -> Machine | None:
        return await self._call(lambda asked: asked.machine(id))

    async def delete(self, id: str) -> None:
        await self._call(lambda asked: asked.delete(id))

    async def console(self, id: str) -> bytes:
        return await self._call(lambda asked: asked.console(id))

    async def price(self, flavor: str, spot: bool) -> Price | None:
        return None

    async def close(self) -> None:
        await self._threads.close()
