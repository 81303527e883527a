"""The allocator: what is granted, what is refused, and the law that a node is never given away twice."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.context import Capacity
from pilot.protocol import UNLIMITED, Gpu, Needs
from pilot.slots import NoRoom, Slot, Slots

MB = 1_000_000
NODE = Capacity(cores=16, memory=32_000 * MB, disk=100_000 * MB)
#: A job that takes 4 cores and 4000 MB is on the node already.
BUSY = Slots(NODE, {(99, 1): Slot(4, 4_000 * MB)})
WHOLE = Needs(max_cores=65_536, whole_node=True)


def grant(slots: Slots, needs: Needs, most: int | None = None) -> Slot:
    granted = slots.allocate((1, 1), needs, most)
    assert not isinstance(granted, NoRoom), granted.why
    return granted[1]


def refusal(slots: Slots, needs: Needs, most: int | None = None) -> str:
    granted = slots.allocate((1, 1), needs, most)
    assert isinstance(granted, NoRoom), granted
    return granted.why


@pytest.mark.parametrize(
    ("slots", "needs", "cores", "memory"),
    [
        pytest.param(Slots(NODE), Needs(), 1, 0, id="nothing stated"),
        pytest.param(Slots(NODE), Needs(memory=8_000 * MB), 1, 8_000 * MB, id="memory alone"),
        pytest.param(Slots(NODE), WHOLE, 16, 0, id="whole node when empty"),
        pytest.param(Slots(NODE), Needs(4, 4, memory=2_000 * MB), 4, 2_000 * MB, id="cores and memory"),
        pytest.param(Slots(NODE), Needs(4, 4, memory_per_core=1_000 * MB), 4, 4_000 * MB, id="memory per core"),
        pytest.param(Slots(NODE), Needs(4, 8), 8, 0, id="a range gets its most"),
        pytest.param(Slots(NODE), Needs(4, 32), 16, 0, id="a range gets what there is"),
        pytest.param(BUSY, Needs(4, 32), 12, 0, id="a range gets what is free"),
        pytest.param(BUSY, Needs(), 1, 0, id="one core beside another job"),
        pytest.param(Slots(NODE), Needs(4, 32, memory_per_core=4_000 * MB), 8, 32_000 * MB, id="range within memory"),
    ],
)
def test_granted(slots: Slots, needs: Needs, cores: int, memory: int) -> None:
    """What each need gets of a node with 16 cores and 32 GB."""
    slot = grant(slots, needs)
    assert (slot.cores, slot.memory) == (cores, memory)


@pytest.mark.parametrize(
    ("slots", "needs", "why"),
    [
        pytest.param(Slots(NODE), Needs(4, 4, memory=36_000 * MB), "36.0 GB of memory", id="memory"),
        pytest.param(BUSY, WHOLE, "whole node", id="whole node beside another job"),
        pytest.param(BUSY, Needs(13, 20), "13 cores, and 12 of 16", id="minimum above what is free"),
        pytest.param(Slots(NODE), Needs(disk=200_000 * MB), "of disk", id="disk"),
        pytest.param(Slots(NODE), Needs(gpus=1), "1 GPUs", id="gpus"),
        pytest.param(Slots(Capacity(cores=4)), Needs(memory=1), "is unknown", id="unknown memory satisfies no need"),
    ],
)
def test_refused(slots: Slots, needs: Needs, why: str) -> None:
    """A refusal names what is lacking, and takes nothing in any dimension."""
    before = slots.taken
    assert why in refusal(slots, needs)
    assert slots.taken == before


def test_what_was_agreed_on_bounds_a_range() -> None:
    """A range gets no more cores than the lease grants, and none at all when these are too few."""
    assert grant(Slots(NODE), Needs(2, 8), most=3).cores == 3
    assert "needs 2 cores" in refusal(Slots(NODE), Needs(2, 8), most=1)


def test_unlimited_is_enough_for_anything() -> None:
    """A declared unlimited amount satisfies every need."""
    slots = Slots(Capacity(cores=1, memory=UNLIMITED, disk=UNLIMITED))
    assert grant(slots, Needs(memory=10**15, disk=10**15)).memory == 10**15
    assert slots.free_memory == UNLIMITED


def test_cpus_and_gpus_are_handed_out_once() -> None:
    """Each attempt gets CPUs and GPUs of its own, GPUs that are large enough, and a whole node gets all of them."""
    gpus = (Gpu("small", 8_000 * MB), Gpu("large", 80_000 * MB), Gpu("unknown"))
    slots = Slots(Capacity(cores=4, cpus=(8, 9, 10, 11), gpus=gpus))
    granted = slots.allocate((1, 1), Needs(2, 2, gpus=1, gpu_memory=40_000 * MB))
    assert not isinstance(granted, NoRoom)
    assert (granted[1].cpus, granted[1].gpus) == ((8, 9), (1,))
    second = granted[0].allocate((2, 1), Needs(1, 1, gpus=2))
    assert not isinstance(second, NoRoom)
    assert (second[1].cpus, second[1].gpus) == ((10,), (0, 2))
    assert grant(slots, WHOLE).gpus == (0, 1, 2)


def test_files_that_are_still_there_hold_their_disk() -> None:
    """When a payload has ended, its cores and memory are free at once, its disk only when its files are gone."""
    granted = Slots(NODE).allocate((1, 1), Needs(16, 16, memory=MB, disk=90_000 * MB))
    assert not isinstance(granted, NoRoom)
    after = granted[0].keep_disk((1, 1))
    assert (after.free_cores, after.free_memory, after.free_disk) == (16, 32_000 * MB, 10_000 * MB)
    assert after.empty
    assert after.release((1, 1)).release((1, 1)).free_disk == 100_000 * MB


def test_nobody_gets_two_slots() -> None:
    """An attempt that has a slot gets no other."""
    granted = Slots(NODE).allocate((1, 1), Needs())
    assert not isinstance(granted, NoRoom)
    assert "has a slot already" in refusal(granted[0], Needs())


def some_needs(random: Random) -> Needs:
    least = random.randint(1, 6)
    return Needs(
        cores=least,
        max_cores=least + random.randint(0, 6),
        whole_node=random.random() < 0.1,
        memory=random.randint(0, 5) * 1_000,
        memory_per_core=random.randint(0, 2) * 500,
        disk=random.randint(0, 5) * 100,
        gpus=random.randint(0, 2),
    )


SMALL = Capacity(cores=8, cpus=tuple(range(8)), memory=10_000, disk=1_000, gpus=(Gpu("a"), Gpu("b"), Gpu("c")))


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_never_more_than_the_node(seed: int) -> None:
    """Whatever starts and ends in whatever order, all that is granted together never exceeds the node."""
    random = Random(seed)
    slots = Slots(SMALL)
    for _ in range(1000):
        what, job, needs = random.choice(["start", "start", "end", "files"]), random.randint(0, 11), some_needs(random)
        if what == "start":
            granted = slots.allocate((job, 1), needs)
            if isinstance(granted, NoRoom):
                continue
            was_empty = slots.empty
            slots, slot = granted
            assert needs.cores <= slot.cores
            assert slot.memory == needs.memory + needs.memory_per_core * slot.cores
            assert not needs.whole_node or (was_empty and slot.cores == 8)
            assert len(slot.cpus) == slot.cores
            assert len(slot.gpus) >= needs.gpus
        elif what == "files":
            slots = slots.keep_disk((job, 1))
        else:
            slots = slots.release((job, 1))
        taken = slots.taken.values()
        assert sum(slot.cores for slot in taken) <= 8
        assert sum(slot.memory for slot in taken) <= 10_000
        assert sum(slot.disk for slot in taken) <= 1_000
        cpus = [cpu for slot in taken for cpu in slot.cpus]
        gpus = [gpu for slot in taken for gpu in slot.gpus]
        assert len(cpus) == len(set(cpus))
        assert len(gpus) == len(set(gpus))
