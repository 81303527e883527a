"""The allocator: what is granted, what is refused, and the law that a node is never given away twice."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central.matching.matcher import Free, room
from central.matching.matcher import granted as cores
from commands.context import Capacity, GpuDevice
from pilot.attempts.slots import NoRoom, Slot, Slots, scratch
from pilot.protocol import UNLIMITED, Amount, Needs, Offer

MB = 1_000_000
NODE = Capacity(cores=16, memory=32_000 * MB, disk=100_000 * MB)
#: A job that takes 4 cores and 4000 MB is on the node already.
BUSY = Slots(NODE, {(99, 1): Slot(4, 4_000 * MB)})
WHOLE = Needs(max_cores=65_536, whole_node=True)


def grant(slots: Slots, needs: Needs, agreed: int | None = None) -> Slot:
    granted = slots.allocate((1, 1), needs, agreed)
    assert not isinstance(granted, NoRoom), granted.why
    return granted[1]


def refusal(slots: Slots, needs: Needs, agreed: int | None = None) -> str:
    granted = slots.allocate((100, 1), needs, agreed)
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
        pytest.param(Slots(NODE), Needs(gpus=1), "1 GPU,", id="gpus"),
        pytest.param(Slots(Capacity(cores=4)), Needs(memory=1), "is unknown", id="unknown memory satisfies no need"),
    ],
)
def test_refused(slots: Slots, needs: Needs, why: str) -> None:
    """A refusal names what is lacking, and takes nothing in any dimension."""
    before = slots.taken
    assert why in refusal(slots, needs)
    assert slots.taken == before


def test_what_was_agreed_on_is_granted_or_nothing() -> None:
    """An attempt gets the cores of its lease, which its owner is charged for, and is refused when they are not free."""
    assert grant(Slots(NODE), Needs(2, 8), agreed=3).cores == 3
    assert "needs 8 cores, and 4 of 16" in refusal(Slots(NODE, {(99, 1): Slot(12)}), Needs(2, 8), agreed=8)
    assert "needs 2 cores, and 1 were agreed on" in refusal(Slots(NODE), Needs(2, 8), agreed=1)
    assert grant(Slots(NODE), WHOLE, agreed=16).cores == 16


def test_unlimited_is_enough_for_anything() -> None:
    """A declared unlimited amount satisfies every need."""
    slots = Slots(Capacity(cores=1, memory=UNLIMITED, disk=UNLIMITED))
    assert grant(slots, Needs(memory=10**15, disk=10**15)).memory == 10**15
    assert slots.free_memory == UNLIMITED


def gpu(index: int, memory: int | None = None) -> GpuDevice:
    return GpuDevice(index, f"GPU-{index:04x}", "a model", memory)


def test_cpus_and_gpus_are_handed_out_once() -> None:
    """Each attempt gets CPUs and GPUs of its own, and a whole node gets all of them."""
    small, large, unknown = gpus = (gpu(0, 8_000 * MB), gpu(1, 80_000 * MB), gpu(5))
    slots = Slots(Capacity(cores=4, cpus=(8, 9, 10, 11), gpus=gpus))
    granted = slots.allocate((1, 1), Needs(2, 2, gpus=1, gpu_memory=40_000 * MB))
    assert not isinstance(granted, NoRoom)
    assert (granted[1].cpus, granted[1].gpus) == ((8, 9), (large,))
    assert granted[0].free_gpus == (small, unknown)
    assert "1 GPU, and 0 that are large enough" in refusal(granted[0], Needs(gpus=1, gpu_memory=40_000 * MB))
    second = granted[0].allocate((2, 1), Needs(1, 1, gpus=2))
    assert not isinstance(second, NoRoom)
    assert (second[1].cpus, set(second[1].gpus)) == ((10,), {small, unknown})
    assert second[0].release((1, 1)).free_gpus == (large,)
    assert set(grant(slots, WHOLE).gpus) == set(gpus)


def test_a_small_gpu_is_given_before_a_large_one() -> None:
    """Who does not say how large a GPU must be gets the smallest, so that the large ones are left for who does."""
    large, small = gpu(0, 80_000 * MB), gpu(1, 8_000 * MB)
    slots = Slots(Capacity(cores=4, gpus=(large, small)))
    assert grant(slots, Needs(gpus=1)).gpus == (small,)


def test_a_share_of_a_node_is_never_whole() -> None:
    """An agent that has a part of the node takes no job that needs the whole, though nothing of its own runs."""
    slots = Slots(Capacity(cores=8, whole=False))
    assert not slots.empty
    assert "this agent has a share of it" in refusal(slots, WHOLE)


@pytest.mark.parametrize(
    ("planned", "writable", "unwritten", "offered"),
    [
        (100, 500, 0, 100),  # what is set aside for jobs bounds it
        (100, 60, 0, 60),  # others have filled the file system
        (100, 60, 50, 10),  # and what is there was promised
        (100, 60, 70, 0),
        (UNLIMITED, 60, 10, 50),
        (100, None, 10, 100),
        (None, 60, 10, None),
    ],
)
def test_scratch_is_promised_once(planned: Amount, writable: int | None, unwritten: int, offered: Amount) -> None:
    """Disk is offered as far as it can be written to beside what attempts were promised and have not used yet."""
    assert scratch(planned, writable, unwritten) == offered


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
    again = granted[0].allocate((1, 1), Needs())
    assert isinstance(again, NoRoom)
    assert "has a slot already" in again.why


@st.composite
def nodes(draw: st.DrawFn) -> Capacity:
    cores = draw(st.integers(1, 12))
    amounts = st.one_of(st.integers(0, 20_000), st.just(UNLIMITED), st.none())
    return Capacity(
        cores=cores,
        cpus=tuple(range(3, 3 + cores)) if draw(st.booleans()) else (),
        memory=draw(amounts),
        disk=draw(amounts),
        gpus=tuple(gpu(index, draw(st.sampled_from([None, 8, 16]))) for index in range(draw(st.integers(0, 4)))),
        whole=draw(st.integers(0, 3)) > 0,
    )


def some_needs(random: Random) -> Needs:
    least = random.randint(0, 6)
    return Needs(
        cores=least,
        max_cores=least + random.randint(0, 6),
        whole_node=random.random() < 0.1,
        memory=random.randint(0, 5) * 1_000,
        memory_per_core=random.randint(0, 2) * 500,
        disk=random.randint(0, 5) * 100,
        gpus=random.randint(0, 2),
        gpu_memory=random.choice([0, 8, 16]),
    )


def within(granted: int, node: Amount) -> bool:
    return granted == 0 or node == UNLIMITED or (isinstance(node, int) and granted <= node)


def keeps_the_law(slots: Slots) -> bool:
    """Whether all that is granted is there, once."""
    node, taken = slots.node, slots.taken.values()
    cpus = [cpu for slot in taken for cpu in slot.cpus]
    gpus = [one for slot in taken for one in slot.gpus]
    return (
        sum(slot.cores for slot in taken) <= node.cores
        and within(sum(slot.memory for slot in taken), node.memory)
        and within(sum(slot.disk for slot in taken), node.disk)
        and len(cpus) == len(set(cpus))
        and len(gpus) == len(set(gpus))
        and set(cpus) <= set(node.cpus)
        and set(gpus) <= set(node.gpus)
    )


def satisfies(slot: Slot, needs: Needs, agreed: int | None, before: Slots) -> bool:
    """Whether a slot is what was asked for."""
    node = before.node
    return (
        slot.cores >= max(1, needs.cores)
        and slot.cores <= max(needs.cores, needs.max_cores, 1, node.cores if needs.whole_node else 0)
        and (agreed is None or slot.cores == agreed)
        and slot.memory == needs.memory + needs.memory_per_core * slot.cores
        and slot.disk == needs.disk
        and len(slot.cpus) == (slot.cores if node.cpus else 0)
        and (len(slot.gpus) == needs.gpus or (needs.whole_node and len(slot.gpus) > needs.gpus))
        and all(not needs.gpu_memory or (one.memory or 0) >= needs.gpu_memory for one in slot.gpus)
        and (not needs.whole_node or (before.empty and node.whole))
    )


@settings(max_examples=50)
@given(nodes(), st.integers(0, 2**32))
def test_never_more_than_the_node(node: Capacity, seed: int) -> None:
    """Whatever starts and ends in whatever order, what is granted together never exceeds the node."""
    random = Random(seed)
    slots = Slots(node)
    for _ in range(300):
        what, job, needs = random.choice(["start", "start", "end", "files"]), random.randint(0, 11), some_needs(random)
        agreed = random.choice([None, None, random.randint(1, max(1, needs.max_cores))])
        if what == "start":
            granted = slots.allocate((job, 1), needs, agreed)
            if isinstance(granted, NoRoom):
                assert granted.why
                continue
            before, (slots, slot) = slots, granted
            assert satisfies(slot, needs, agreed, before), (slot, needs, agreed)
        elif what == "files":
            slots = slots.keep_disk((job, 1))
        else:
            slots = slots.release((job, 1))
        assert keeps_the_law(slots)


@settings(max_examples=50)
@given(nodes(), st.integers(0, 2**32))
def test_what_was_given_back_is_free_again(node: Capacity, seed: int) -> None:
    """When every attempt has ended, the node is as it was, and what was refused beside others for room is granted."""
    random = Random(seed)
    slots = Slots(node)
    for job in range(20):
        granted = slots.allocate((job, 1), some_needs(random))
        slots = slots if isinstance(granted, NoRoom) else granted[0]
    for job in range(20):
        slots = slots.release((job, 1))
    assert slots == Slots(node)


@settings(max_examples=50)
@given(nodes(), st.integers(0, 2**32))
def test_the_matcher_and_the_slots_agree(node: Capacity, seed: int) -> None:
    """What the central gives by an offer, with the cores that it charges, fits into the slots that made the offer."""
    random = Random(seed)
    slots = Slots(node)
    for job in range(12):
        needs = some_needs(random)
        free = Free.of(
            Offer(
                "here",
                "test",
                cores=slots.free_cores,
                memory=slots.free_memory,
                disk=slots.free_disk,
                gpus=tuple(one.offered() for one in slots.free_gpus),
                seconds_left=UNLIMITED,
                empty=slots.empty,
            )
        )
        if room(needs, free):
            granted = slots.allocate((job, 1), needs, cores(needs, free))
            assert not isinstance(granted, NoRoom), (needs, slots, granted.why)
            slots = granted[0]
