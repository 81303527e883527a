"""Each fault of the cloud in memory does what it says, while it is switched on, and nothing else."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from central.clouds.buying import Quote
from central.clouds.fake import BOOT, DELETION, SLOW_DELETION, FakeCloud, FakeProvider
from central.clouds.faults import Fault, draw
from central.clouds.port import Intent, Machine, State
from central.elements.port import ComputingError, Trouble
from tests.contract.stores import Clock

OURS = "0000aaaa"


class Scene:
    """A cloud with one fault, and somebody who uses it."""

    def __init__(self, *faults: Fault, seed: int = 7, lag: float = 0.0) -> None:
        self.clock = Clock()
        self.cloud = FakeCloud(self.clock, random.Random(seed), lag=lag, wait=self.wait)
        self.provider: FakeProvider = self.cloud.provider(OURS)
        self.cloud.faults = set(faults)

    async def wait(self, seconds: float) -> None:
        self.clock.forward(seconds)

    def create(self, number: int = 1) -> str | Trouble:
        try:
            return asyncio.run(self.provider.create(Intent(f"{number:032x}", "q", "small", "plain", b"")))
        except ComputingError as error:
            return error.trouble

    def delete(self, id: str) -> Trouble | None:
        try:
            asyncio.run(self.provider.delete(id))
        except ComputingError as error:
            return error.trouble
        return None

    def listed(self) -> Sequence[Machine]:
        return asyncio.run(self.provider.machines())

    def states(self, after: float = 0.0) -> list[State]:
        self.clock.forward(after)
        return [machine.state for machine in self.listed()]


def test_a_cloud_without_faults_boots_and_deletes() -> None:
    """A machine builds, runs, is being deleted for a moment, and is gone."""
    scene = Scene()
    id = scene.create()
    assert isinstance(id, str)
    assert scene.states() == [State.BUILDING]
    assert scene.states(BOOT) == [State.RUNNING]
    assert scene.delete(id) is None
    assert scene.states() == [State.DELETING]
    assert scene.states(DELETION) == []


def test_no_capacity() -> None:
    """Nothing is started, and the answer is "full"."""
    scene = Scene(Fault.NO_CAPACITY)
    assert scene.create() is Trouble.FULL
    assert scene.listed() == []


def test_boot_failure() -> None:
    """What was taken fails, and the list says why."""
    scene = Scene(Fault.BOOT_FAILURE)
    scene.create()
    assert scene.states(BOOT) == [State.FAILED]
    assert "host" in scene.listed()[0].why


def test_one_that_never_calls() -> None:
    """It runs, and what is in it will not call."""
    scene = Scene(Fault.NEVER_CALLS)
    scene.create()
    assert scene.states(BOOT) == [State.RUNNING]
    assert [machine.calls for machine in scene.cloud.there()] == [False]


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.FAILS_AFTER])
def test_creations_with_a_bad_answer(fault: Fault) -> None:
    """The answer is an error, and the machine is there."""
    scene = Scene(fault)
    assert isinstance(scene.create(), Trouble)
    assert len(scene.listed()) == 1


def test_twice() -> None:
    """One creation starts two machines with the same stamp."""
    scene = Scene(Fault.TWICE)
    scene.create()
    assert [machine.stamp for machine in scene.listed()] == [f"{1:032x}"] * 2


def test_errors_of_the_interface() -> None:
    """Whatever is asked is answered with an error, and nothing is done."""
    scene = Scene(Fault.ERRORS)
    assert scene.create() is Trouble.UNREACHABLE
    with pytest.raises(ComputingError, match="500"):
        scene.listed()
    scene.cloud.faults.clear()
    assert scene.listed() == []


def test_a_cloud_that_hangs() -> None:
    """Each call is given up when patience is over; what it asked for was sometimes done."""
    done = set()
    for seed in range(10):
        scene = Scene(Fault.HANGS, seed=seed)
        begun = scene.clock()
        assert scene.create() is Trouble.UNREACHABLE
        assert scene.clock() == begun + scene.cloud.patience
        done.add(sum(1 for _ in scene.cloud.there()))
    assert done == {0, 1}


def test_lists_that_lag() -> None:
    """What was started is missing for as long as the cloud says, or with the fault for longer."""
    for faults, late in ((), 10.0), ((Fault.LIST_LAGS,), 30.0):
        scene = Scene(*faults, lag=10.0)
        scene.create()
        assert scene.states(late - 1) == []
        assert len(scene.states(1.0)) == 1


def test_lists_that_are_incomplete() -> None:
    """Some are left out, others each time, and nothing says so."""
    scene = Scene()
    for number in range(5):
        scene.create(number)
    scene.cloud.faults.add(Fault.LIST_INCOMPLETE)
    listed = [{machine.id for machine in scene.listed()} for _ in range(20)]
    assert all(len(found) < 5 for found in listed)
    assert set().union(*listed) == set(scene.cloud.machines)


def test_the_order_of_lists() -> None:
    """It is another each time, of the same machines."""
    scene = Scene()
    for number in range(5):
        scene.create(number)
    plain = [machine.id for machine in scene.listed()]
    scene.cloud.faults.add(Fault.LIST_ORDER)
    orders = [[machine.id for machine in scene.listed()] for _ in range(5)]
    assert any(order != plain for order in orders)
    assert all(sorted(order) == sorted(plain) for order in orders)


def test_lies() -> None:
    """How a machine is said to stand has nothing to do with how it stands."""
    scene = Scene(Fault.LIES)
    scene.create()
    assert len({scene.states()[0] for _ in range(40)}) == len(State)


def test_a_clock_that_is_off() -> None:
    """When a machine was created is said by a clock of its own; how it ages is not changed."""
    scene = Scene(Fault.CLOCK_OFF)
    scene.create()
    created = scene.listed()[0].created
    assert created is not None
    assert abs(created - scene.clock()) > 60
    assert scene.states(BOOT) == [State.RUNNING]


@pytest.mark.parametrize(("fault", "answer"), [(Fault.DELETE_IGNORED, None), (Fault.DELETE_REFUSED, Trouble.REFUSED)])
def test_deletions_that_come_to_nothing(fault: Fault, answer: Trouble | None) -> None:
    """The machine runs on, whether or not that was said; when the fault is over it can be deleted."""
    scene = Scene(fault)
    id = scene.create()
    assert isinstance(id, str)
    assert scene.delete(id) is answer
    assert scene.states(BOOT) == [State.RUNNING]
    scene.cloud.faults.clear()
    scene.delete(id)
    assert scene.states(DELETION) == []
    assert [asked for _, asked in scene.cloud.deleted] == [id, id]


def test_slow_deletions_and_those_of_what_is_being_deleted() -> None:
    """It takes half an hour, in which asking again may be an error."""
    scene = Scene(Fault.DELETE_SLOW, Fault.DELETING_REFUSED)
    id = scene.create()
    assert isinstance(id, str)
    assert scene.delete(id) is None
    assert scene.delete(id) is Trouble.REFUSED
    assert scene.states(SLOW_DELETION - 1) == [State.DELETING]
    assert scene.states(1.0) == []


def test_reclaimed_with_notice_and_without() -> None:
    """With notice the machine is told, runs until then, and is off; without it is off at once, or not there."""
    scene = Scene()
    for number in range(3):
        scene.create(number)
    scene.clock.forward(BOOT)
    first, second, third = scene.cloud.there()
    scene.cloud.reclaim(first, 120.0)
    scene.cloud.reclaim(second)
    scene.cloud.reclaim(third, stays=False)
    assert first.notice == scene.clock() + 120.0
    assert scene.states() == [State.RUNNING, State.STOPPED]
    assert scene.states(120.0) == [State.STOPPED, State.STOPPED]


def test_a_quota_that_shrinks() -> None:
    """Below what there is nothing ends, and nothing more is started until there is room."""
    scene = Scene()
    ids = [scene.create(number) for number in range(3)]
    scene.cloud.most_machines = 2
    assert scene.create(9) is Trouble.FULL
    assert len(scene.listed()) == 3
    for id in ids[:2]:
        scene.delete(str(id))
    scene.clock.forward(DELETION)
    assert isinstance(scene.create(9), str)


def test_a_reboot() -> None:
    """It comes up again under its id, and can be seen to have."""
    scene = Scene()
    scene.create()
    scene.clock.forward(BOOT)
    (machine,) = scene.cloud.there()
    scene.cloud.reboot(machine)
    assert scene.states() == [State.BUILDING]
    assert scene.states(BOOT) == [State.RUNNING]
    assert machine.boots == 2


@pytest.mark.parametrize("central", ["", "0000bbbb"])
def test_machines_of_others(central: str) -> None:
    """What bears no mark, or another, is in no list of ours, is not found, and is not deleted."""
    scene = Scene()
    other = scene.cloud.start(central, Intent(f"{1:032x}", "q", "small", "plain", b""))
    assert scene.listed() == []
    assert asyncio.run(scene.provider.machine(other.id)) is None
    assert scene.delete(other.id) is None
    assert other.state(scene.clock()) is State.BUILDING


def test_faults_that_strike_now_and_then() -> None:
    """With odds of a half, a fault strikes about every other time."""
    scene = Scene(Fault.NO_CAPACITY)
    scene.cloud.odds = 0.5
    answers = Counter(type(scene.create(number)) for number in range(200))
    assert 60 < answers[str] < 140


def test_faults_are_drawn_by_a_seed() -> None:
    """The same seed draws the same faults; in a hundred draws each comes up, and none draws more than was allowed."""

    def drawn(seed: int) -> list[set[Fault]]:
        rng = random.Random(seed)
        return [draw(rng, most=3) for _ in range(100)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert set().union(*drawn(1)) == set(Fault)
    assert max(map(len, drawn(1))) == 3


@pytest.mark.parametrize(("idempotent", "machines"), [(True, 1), (False, 2)])
def test_a_stamp_that_is_asked_for_again(idempotent: bool, machines: int) -> None:
    """A cloud that can tell answers with the machine that there is; one that cannot starts another."""
    scene = Scene()
    scene.cloud.idempotent = idempotent
    first, second = scene.create(), scene.create()
    assert (first == second) is idempotent
    assert len(scene.listed()) == machines


def test_the_spot_market() -> None:
    """A spot machine costs what was quoted last, what it cost before is told, and above the bid there is none."""
    scene = Scene()
    now = scene.clock()
    scene.cloud.quotes["small"] = [Quote(now - 900, 0.01), Quote(now - 300, 0.03), Quote(now + 300, 0.09)]
    intent = Intent(f"{1:032x}", "q", "small", "plain", b"", spot=True, most=0.05)
    assert [quote.hour for quote in asyncio.run(scene.provider.history("small", 600))] == [0.01, 0.03]
    price = asyncio.run(scene.provider.price("small", spot=True))
    assert price is not None
    assert price.hour == 0.03
    assert asyncio.run(scene.provider.create(intent))
    scene.clock.forward(300)
    with pytest.raises(ComputingError, match="above") as dear:
        asyncio.run(scene.provider.create(replace(intent, stamp=f"{2:032x}")))
    assert dear.value.trouble is Trouble.FULL
