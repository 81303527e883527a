"""Divides a node among attempts: cores, memory, disk and GPUs. Pure: a node and needs in, a slot or a refusal out.

The law: what is granted never exceeds what the node has, in any dimension; a refusal in one dimension grants nothing in
the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Optional, Union

from commands.context import Capacity, GpuDevice
from pilot.protocol import UNLIMITED, Amount, Needs
from pilot.units import show_size

#: Names an attempt: job and number.
Key = tuple[int, int]


@dataclass(frozen=True)
class Slot:
    """A share of the node, granted to one attempt. Zero memory or disk: none was asked for, none is set aside."""

    cores: int
    memory: int = 0  # bytes
    disk: int = 0  # bytes
    cpus: tuple[int, ...] = ()  # numbers of its CPUs; empty: not bound
    gpus: tuple[GpuDevice, ...] = ()


@dataclass(frozen=True)
class NoRoom:
    """Nothing was granted, and why."""

    why: str


@dataclass(frozen=True)
class Slots:
    """A node and what of it is taken. Changes make a new one."""

    node: Capacity
    taken: Mapping[Key, Slot] = field(default_factory=dict)

    @property
    def free_cores(self) -> int:
        return self.node.cores - sum(slot.cores for slot in self.taken.values())

    @property
    def free_memory(self) -> Amount:
        return _free(self.node.memory, sum(slot.memory for slot in self.taken.values()))

    @property
    def free_disk(self) -> Amount:
        return _free(self.node.disk, sum(slot.disk for slot in self.taken.values()))

    @property
    def free_cpus(self) -> tuple[int, ...]:
        used = {cpu for slot in self.taken.values() for cpu in slot.cpus}
        return tuple(cpu for cpu in self.node.cpus if cpu not in used)

    @property
    def free_gpus(self) -> tuple[GpuDevice, ...]:
        used = {gpu for slot in self.taken.values() for gpu in slot.gpus}
        return tuple(gpu for gpu in self.node.gpus if gpu not in used)

    @property
    def empty(self) -> bool:
        """Whether no payload runs on the node; files that are still being brought home do not count.

        Never so where the node is shared with other agents: what they run cannot be seen from here.
        """
        return self.node.whole and not any(slot.cores for slot in self.taken.values())

    def allocate(self, key: Key, needs: Needs, agreed: Optional[int] = None) -> Union[tuple[Slots, Slot], NoRoom]:
        """Grant a slot: the cores that were agreed on, since those are charged, else what is free up to its most."""
        if key in self.taken:
            return NoRoom(f"attempt {key[1]} of job {key[0]} has a slot already")
        slot = _choose(self, needs, agreed)
        if isinstance(slot, NoRoom):
            return slot
        return replace(self, taken={**self.taken, key: slot}), slot

    def keep_disk(self, key: Key) -> Slots:
        """The payload of an attempt has ended, its files are still there: the rest of its slot is free again."""
        if key not in self.taken:
            return self
        return replace(self, taken={**self.taken, key: Slot(cores=0, disk=self.taken[key].disk)})

    def release(self, key: Key) -> Slots:
        """All of it is free again. Releasing twice is no error."""
        return replace(self, taken={other: slot for other, slot in self.taken.items() if other != key})


def _choose(slots: Slots, needs: Needs, agreed: Optional[int]) -> Union[Slot, NoRoom]:
    if needs.whole_node and not slots.empty:
        return NoRoom(f"it needs the whole node, and {_company(slots)}")
    if agreed is not None and agreed < max(1, needs.cores):
        return NoRoom(f"it needs {_count(max(1, needs.cores), 'core')}, and {agreed} were agreed on")
    least = max(1, needs.cores, agreed or 0)
    cores = _cores(slots, needs) if agreed is None else min(agreed, slots.free_cores)
    if cores < least:
        return NoRoom(f"it needs {_count(least, 'core')}, and {slots.free_cores} of {slots.node.cores} are free")
    memory = needs.memory + needs.memory_per_core * cores
    lacking = _lacking("memory", memory, slots.free_memory) or _lacking("disk", needs.disk, slots.free_disk)
    if lacking:
        return NoRoom(lacking)
    gpus = _gpus(slots, needs)
    if len(gpus) < needs.gpus:
        return NoRoom(f"it needs {_count(needs.gpus, 'GPU')}, and {len(gpus)} that are large enough are free")
    wanted = len(gpus) if needs.whole_node else needs.gpus
    return Slot(cores, memory, needs.disk, slots.free_cpus[:cores], gpus[:wanted])


def _company(slots: Slots) -> str:
    if not slots.node.whole:
        return "this agent has a share of it"
    used = slots.node.cores - slots.free_cores
    return f"{_count(used, 'core')} {'is' if used == 1 else 'are'} in use"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _cores(slots: Slots, needs: Needs) -> int:
    """As many as may be had; a range that asks memory for each core takes no more cores than it has memory for."""
    if needs.whole_node:
        return slots.node.cores
    cores = max(0, min(slots.free_cores, max(needs.cores, needs.max_cores)))
    free = slots.free_memory
    if needs.memory_per_core and isinstance(free, int):
        cores = min(cores, max(needs.cores, (free - needs.memory) // needs.memory_per_core))
    return cores


def _gpus(slots: Slots, needs: Needs) -> tuple[GpuDevice, ...]:
    """The free GPUs that are large enough, the smallest first; of one whose memory is unknown that cannot be said."""
    enough = [gpu for gpu in slots.free_gpus if not needs.gpu_memory or (gpu.memory or 0) >= needs.gpu_memory]
    return tuple(sorted(enough, key=lambda gpu: (gpu.memory or 0, gpu.index)))


def _lacking(name: str, wanted: int, free: Amount) -> str:
    """Why an amount cannot be had, empty if it can. Unknown satisfies no stated need."""
    if not wanted or free == UNLIMITED:
        return ""
    if free is None:
        return f"it needs {show_size(wanted)} of {name}, and how much there is here is unknown"
    if wanted > free:
        return f"it needs {show_size(wanted)} of {name}, and {show_size(max(0, free))} are free"
    return ""


def _free(total: Amount, taken: int) -> Amount:
    return total - taken if isinstance(total, int) else total


def scratch(planned: Amount, writable: Optional[int], unwritten: int) -> Amount:
    """Bytes of disk to offer: what is not promised yet, and no more than can be written now beside what is promised.

    `planned` is what the slots have left, `writable` what the file system has, None if that cannot be said, and
    `unwritten` what attempts were promised and have not used so far. Others write there too.
    """
    if planned is None or writable is None:
        return planned
    now = max(0, writable - unwritten)
    return min(planned, now) if isinstance(planned, int) else now
