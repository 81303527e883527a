"""Machines of a community that is over its share make room for another in the same account."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from central.configuration.elements import Cloud
from central.configuration.settings import Queue
from central.directors.board import Board, Wait
from central.directors.choosing import Door
from central.directors.giving_way import GivingWay
from central.records import NewPilot, PilotRow
from central.store.port import Store
from pilot.use import ShareView
from tests.contract.stores import Clock, digest, enrolment, stamp

pytestmark = pytest.mark.anyio

CLOUD = Cloud("m1.large", "debian-12", url="https://cloud.example.org")
ATLAS = Queue("atlas", "here", "openstack", cores=4, communities=("atlas",), cloud=CLOUD)
LHCB = Queue("lhcb", "here", "openstack", cores=4, communities=("lhcb",), cloud=CLOUD)
#: Both are due as much; the first has had nearly all.
SHARES = (ShareView("atlas", due=0.5, part=0.9), ShareView("lhcb", due=0.5, part=0.1))


class Account:
    """An account of a cloud that is full of machines of one community, and jobs of the other wait."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.board = Board()
        self.queues: Sequence[Queue] = (ATLAS, LHCB)
        self.idle: set[str] = set()
        self.asked: list[str] = []
        self.giving = GivingWay(
            store,
            self.board,
            lambda: self.queues,
            waiting=self.waiting,
            shares=self.shares,
            idle_cores=lambda stamps: 4 if set(stamps) & self.idle else 0,
            drain=self.drain,
        )

    async def waiting(self, queue: Queue) -> Sequence[Wait]:
        return [Wait(1, 100, 1.0)] if queue is LHCB else []

    async def shares(self) -> Sequence[ShareView]:
        return SHARES

    async def drain(self, row: PilotRow, why: str) -> None:
        self.asked.append(row.stamp)
        await self.store.drain(row.stamp)

    async def ten_machines(self) -> None:
        for number in range(10):
            await self.store.plan_pilot(
                NewPilot(stamp(number), "here", "atlas", ("atlas",), digest(f"s{number}"), 1e6, 600, None)
            )
            await self.store.enrol(stamp(number), digest(f"s{number}"), digest(f"k{number}"), enrolment())

    def looked(self, room: int = 0) -> None:
        """Both directors have been round: so many machines have room."""
        for queue in self.queues:
            self.board.write(queue.name, (), 0.0, self.clock.time, Door(queue.name, 4, 0.1, room))


async def test_a_community_over_its_share_makes_room(store: Store, clock: Clock) -> None:
    """Of ten machines one drains in a turn, one that does nothing before others, until its community has its part."""
    account = Account(store, clock)
    await account.ten_machines()
    account.idle = {stamp(7)}
    account.looked()
    await account.giving.turn(1)
    assert account.asked == [stamp(7)]
    for _ in range(20):
        await account.giving.turn(1)
    assert 2 <= len(account.asked) <= 5


async def test_nobody_makes_room_where_the_account_has_some(store: Store, clock: Clock) -> None:
    """As long as machines can be started for those who wait, none is taken from others."""
    account = Account(store, clock)
    await account.ten_machines()
    account.looked(room=50)
    await account.giving.turn(1)
    assert account.asked == []


async def test_what_directors_have_not_seen_is_no_reason(store: Store, clock: Clock) -> None:
    """Before each director of the account has looked, nothing is taken away."""
    account = Account(store, clock)
    await account.ten_machines()
    await account.giving.turn(1)
    assert account.asked == []


async def test_other_accounts_are_not_concerned(store: Store, clock: Clock) -> None:
    """A machine in one cloud makes no room in another."""
    account = Account(store, clock)
    await account.ten_machines()
    elsewhere = Cloud("m1.large", "debian-12", url="https://another.example.org")
    account.queues = (ATLAS, Queue("lhcb", "here", "openstack", cores=4, communities=("lhcb",), cloud=elsewhere))
    account.looked()
    await account.giving.turn(1)
    assert account.asked == []
