"""An adapter that blocks, behind the port of every cloud."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from central.clouds.port import CloudProvider, Flavor, Intent, Machine, Named, Quota, Room, State
from central.clouds.threaded import ThreadedProvider
from central.elements.port import ComputingError, Trouble
from wrappers.user_data.clouds import CLOUDS

INTENT = Intent("a" * 32, "far", "small", "plain", b"")


class Slow:
    """It knows one machine, and who asks."""

    def __init__(self) -> None:
        self.askers: set[int] = set()
        self.ids: list[str] = []

    def _asked(self) -> None:
        self.askers.add(threading.get_ident())

    def validate(self) -> None:
        self._asked()

    def images(self) -> Sequence[Named]:
        self._asked()
        return [Named("i", "plain")]

    def flavors(self) -> Sequence[Flavor]:
        self._asked()
        return [Flavor("f", "small", 1, 10**9)]

    def networks(self) -> Sequence[Named]:
        self._asked()
        return [Named("n", "work")]

    def quota(self) -> Quota:
        self._asked()
        return Quota(Room(1, 2))

    def create(self, intent: Intent) -> str:
        self._asked()
        self.ids.append(intent.stamp[:4])
        return self.ids[-1]

    def machines(self) -> Sequence[Machine]:
        self._asked()
        return [Machine(id, id, "far", State.RUNNING) for id in self.ids]

    def machine(self, id: str) -> Machine | None:
        self._asked()
        return next((one for one in self.machines() if one.id == id), None)

    def delete(self, id: str) -> None:
        self._asked()
        self.ids.remove(id)

    def console(self, id: str) -> bytes:
        self._asked()
        return id.encode()


def test_every_verb_is_asked_elsewhere() -> None:
    """Each is answered as by the adapter itself, and never asked in the thread that serves others."""
    slow = Slow()

    async def story() -> None:
        cloud: CloudProvider = ThreadedProvider(lambda: slow, "the cloud", CLOUDS["nocloud"], 30.0)
        await cloud.validate()
        assert [one.name for one in (*await cloud.images(), *await cloud.networks())] == ["plain", "work"]
        assert (await cloud.quota()).machines_of((await cloud.flavors())[0]) == 1
        id = await cloud.create(INTENT)
        assert [one.id for one in await cloud.machines()] == [id] == ["aaaa"]
        assert await cloud.machine(id) == (await cloud.machines())[0]
        assert await cloud.console(id) == b"aaaa"
        await cloud.delete(id)
        assert await cloud.machine(id) is None
        assert await cloud.price("small", False) is None
        assert (cloud.takes, cloud.lag) == (CLOUDS["nocloud"], 0.0)
        await cloud.close()

    asyncio.run(story())
    assert slow.askers
    assert threading.get_ident() not in slow.askers


def test_what_cannot_be_understood_is_an_answer_that_says_nothing() -> None:
    """A list with something else in it is told as one that did not come."""

    class Odd(Slow):
        def machines(self) -> Sequence[Machine]:
            return [{}["name"]]

    async def story() -> None:
        cloud = ThreadedProvider(Odd, "the cloud", CLOUDS["nocloud"], 30.0)
        with pytest.raises(
            ComputingError, match="the cloud gives an answer that cannot be understood: KeyError"
        ) as odd:
            await cloud.machines()
        assert odd.value.trouble is Trouble.UNREACHABLE
        await cloud.close()

    asyncio.run(story())
