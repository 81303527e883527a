"""PBS in its kinds, Torque and OpenPBS: one command tells limits and use, and files tell what was given.

Written from documentation.
"""

from __future__ import annotations

import re
from typing import Optional

from pilot.node.allocation import Allocation, Gpus, Said
from pilot.node.batch import texts
from pilot.node.machine import Machine, whole

SYSTEM = "PBS"
_GPU = re.compile(r"(?P<host>[\w.-]+)-gpu(?P<number>\d+)")


def look(machine: Machine, elapsed: float) -> Optional[Allocation]:
    """Cores of this host, memory where the job has no other host, and the rest of its time."""
    job = machine.environment.get("PBS_JOBID", "")
    if not job or "SLURM_JOB_ID" in machine.environment:  # Slurm's own wrappers speak PBS too
        return None
    told = parse_job(machine.run(("qstat", "-f", job)) or "")
    return Allocation(
        SYSTEM,
        job,
        "PBS_JOBID",
        cores=_cores(machine, told),
        memory=_memory(machine, told),
        seconds_left=_left(told, "walltime", elapsed),
        cpu_seconds_left=_left(told, "cput", 0),
        gpus=_gpus(machine),
    )


def parse_job(text: str) -> dict[str, str]:
    """`qstat -f`: name → value. Long values go on in lines that begin with a tab."""
    found: dict[str, str] = {}
    for line in text.replace("\n\t", "").splitlines():
        name, separator, value = line.partition(" = ")
        if separator:
            found[name.strip()] = value.strip()
    return found


def _hosts(machine: Machine) -> list[str]:
    """The node file: a line for each core in Torque, for each chunk or process in OpenPBS."""
    place = machine.environment.get("PBS_NODEFILE")
    return (machine.read(place) or "").split() if place else []


def _cores(machine: Machine, told: dict[str, str]) -> Optional[Said]:
    # OpenPBS tells the cores of the chunk that the script runs in; Torque those of each node.
    for name in ("NCPUS", "PBS_NUM_PPN"):
        value = machine.number(name)
        if value:
            return Said(value, f"{SYSTEM}: {name}")
    hosts = _hosts(machine)
    here = sum(1 for host in hosts if texts.same_host(host, machine.system.host))
    if here:
        return Said(here, f"{SYSTEM}: PBS_NODEFILE")
    asked = whole(told.get("Resource_List.ncpus", ""))
    return Said(asked, f"{SYSTEM}: Resource_List.ncpus") if asked else None


def _memory(machine: Machine, told: dict[str, str]) -> Optional[Said]:
    """The sum over all nodes; how it is spread over several is not said."""
    if len({host.partition(".")[0] for host in _hosts(machine)}) > 1:
        return None
    for name in ("Resource_List.mem", "Resource_List.pmem"):
        value = texts.size(told.get(name, ""))
        if value:
            return Said(value, f"{SYSTEM}: {name} = {told[name]}")
    return None


def _left(told: dict[str, str], what: str, elapsed: float) -> Optional[Said]:
    limit = texts.seconds(told.get(f"Resource_List.{what}", ""))
    if limit is None:
        return None
    used = max(elapsed, texts.seconds(told.get(f"resources_used.{what}", "")) or 0)
    return Said(max(0, int(limit - used)), f"{SYSTEM}: Resource_List.{what} = {told[f'Resource_List.{what}']}")


def _gpus(machine: Machine) -> Optional[Gpus]:
    """Torque's file, a line for each as ``node1-gpu0``. OpenPBS sets CUDA_VISIBLE_DEVICES where its hook is in use."""
    place = machine.environment.get("PBS_GPUFILE")
    if not place:
        return None
    found = (_GPU.fullmatch(word) for word in (machine.read(place) or "").split())
    here = tuple(match["number"] for match in found if match and texts.same_host(match["host"], machine.system.host))
    return Gpus(here, f"{SYSTEM}: PBS_GPUFILE")
