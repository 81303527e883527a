"""GPUs: which the machine has, which of them are ours, and the facts that say so.

The machine's are asked of NVIDIA's library, else of `nvidia-smi`. Ours are those that the batch system assigned; of
what nobody assigned, all. Parsers are from captured and documented output; no real GPU has been seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional

from commands.context import GpuDevice
from pilot.node.allocation import Allocation, Gpus
from pilot.node.machine import Machine
from pilot.protocol import Fact

VISIBLE = "CUDA_VISIBLE_DEVICES"
QUERY = ("nvidia-smi", "--query-gpu=index,uuid,name,memory.total,compute_cap", "--format=csv,noheader,nounits")
#: Drivers before 510 do not know compute_cap, and refuse the whole query.
OLD_QUERY = ("nvidia-smi", "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
MIB = 1024 * 1024
#: How the facts of one GPU are named, after ``gpu0_``.
FIELDS = ("index", "uuid", "model", "memory", "capability")

#: All GPUs that the driver shows, None where there is no driver.
Library = Callable[[], Optional[tuple[GpuDevice, ...]]]


def gpus(machine: Machine, library: Library, allocations: Sequence[Allocation], whole: bool) -> tuple[Fact, ...]:
    """How many GPUs are ours, and five facts of each. `whole`: all cores of the machine are ours."""
    present, source = _present(machine, library)
    if not present:
        return (Fact("gpus", 0, source),)
    assigned = assignment(machine, allocations, whole)
    ours = chosen(present, assigned) if assigned is not None else present
    if assigned is not None:
        source = f"{source}; {len(ours)} of {len(present)} are ours: {assigned.source}"
    facts = [Fact("gpus", len(ours), source)]
    for number, gpu in enumerate(ours):
        facts += [Fact(f"gpu{number}_{name}", getattr(gpu, name), source) for name in FIELDS]
    return tuple(facts)


def _present(machine: Machine, library: Library) -> tuple[tuple[GpuDevice, ...], str]:
    found = library()
    if found is not None:
        return found, "NVIDIA's management library"
    for query in (QUERY, OLD_QUERY):
        printed = machine.run(query)
        if printed is not None:
            return parse_smi(printed), "nvidia-smi"
    return (), "neither NVIDIA's management library nor nvidia-smi answers"


def parse_smi(text: str) -> tuple[GpuDevice, ...]:
    """`nvidia-smi --query-gpu=… --format=csv,noheader,nounits`: a line for each GPU; memory is in MiB."""
    found: list[GpuDevice] = []
    for line in text.splitlines():
        words = [word.strip() for word in line.split(",")]
        if len(words) < 4 or not words[0].isdecimal():
            continue
        memory = int(words[3]) * MIB if words[3].isdecimal() else None
        capability = words[4] if len(words) > 4 and words[4][:1].isdecimal() else None
        found.append(GpuDevice(int(words[0]), words[1] or None, words[2], memory, capability))
    return tuple(found)


def assignment(machine: Machine, allocations: Sequence[Allocation], whole: bool) -> Optional[Gpus]:
    """Which GPUs were given to us; None where nobody says, and all are ours.

    What a program is told to use comes first: a batch system that confines its jobs counts anew from 0 there. A batch
    system that says "none" is not believed where all cores of the machine are ours: many do not count GPUs at all.
    """
    if VISIBLE in machine.environment:
        words = (word.strip() for word in machine.environment[VISIBLE].split(","))
        return Gpus(tuple(word for word in words if word), VISIBLE)
    said = next((allocation.gpus for allocation in allocations if allocation.gpus is not None), None)
    return None if said is not None and not said.names and whole else said


def chosen(present: Sequence[GpuDevice], assigned: Gpus) -> tuple[GpuDevice, ...]:
    """The GPUs of these names, in their order. As CUDA does it, what follows an unknown name is not seen."""
    ours: list[GpuDevice] = []
    for name in assigned.names:
        match = next((gpu for gpu in present if _is(gpu, name)), None)
        if match is None and name.startswith("MIG-"):  # a part of a GPU, which is not in the list of GPUs
            match = GpuDevice(len(ours), name, "a part of a GPU (MIG)")
        if match is None or match in ours:
            break
        ours.append(match)
    return tuple(ours)


def _is(gpu: GpuDevice, name: str) -> bool:
    """By number, or by the beginning of its UUID."""
    if name.isdecimal():
        return gpu.index == int(name)
    return bool(gpu.uuid) and len(name) > 4 and str(gpu.uuid).lower().startswith(name.lower())
