"""Slurm: what a job is told in its environment, and what is left of its time. From jobs of a real Slurm 22.05."""

from __future__ import annotations

from typing import Optional

from pilot.node.allocation import Allocation, Gpus, Said
from pilot.node.batch import texts
from pilot.node.machine import Machine, whole
from pilot.protocol import UNLIMITED

SYSTEM = "Slurm"
MIB = 1024 * 1024


def look(machine: Machine, elapsed: float) -> Optional[Allocation]:
    """What this node gives to the job, or to its step where several tasks of one share the node."""
    job = machine.environment.get("SLURM_JOB_ID") or machine.environment.get("SLURM_JOBID")
    if not job or not job.isdecimal():
        return None
    cores = _cores(machine)
    told = parse_job(machine.run(("scontrol", "-o", "show", "job", job)) or "")
    return Allocation(
        SYSTEM,
        job,
        "SLURM_JOB_ID",
        cores,
        _memory(machine, told, cores),
        seconds_left=_time(machine, told),
        gpus=_gpus(machine),
    )


def _tasks_here(machine: Machine) -> int:
    """How many tasks of our step share this node's part of it. A batch script is alone, whatever the job asked for."""
    if "SLURM_STEP_ID" not in machine.environment:
        return 1
    # As "4(x2),3": tasks on each node in turn.
    nodes_before = machine.number("SLURM_NODEID") or 0
    for part in machine.environment.get("SLURM_STEP_TASKS_PER_NODE", "").split(","):
        count, _, times = part.partition("(x")
        tasks = whole(count)
        if tasks is None:
            return 1
        nodes_before -= whole(times[:-1]) or 1
        if nodes_before < 0:
            return max(1, tasks)
    return 1


def _cores(machine: Machine) -> Optional[Said]:
    here = machine.number("SLURM_CPUS_ON_NODE")
    if not here:
        return None
    tasks = _tasks_here(machine)
    if tasks == 1:
        return Said(here, f"{SYSTEM}: SLURM_CPUS_ON_NODE")
    each = machine.number("SLURM_CPUS_PER_TASK")
    if each:
        return Said(each, f"{SYSTEM}: SLURM_CPUS_PER_TASK, one of {tasks} tasks here")
    return Said(max(1, here // tasks), f"{SYSTEM}: SLURM_CPUS_ON_NODE = {here}, for {tasks} tasks")


def _memory(machine: Machine, told: dict[str, str], cores: Optional[Said]) -> Optional[Said]:
    """By core or for the node; zero is how a job asks for all that the node has. Steps are not told, but can ask."""
    values = {**told, **machine.environment}
    for name in ("SLURM_MEM_PER_CPU", "MinMemoryCPU"):
        each = texts.size(values.get(name, ""), unit="m")
        if each and cores is not None and isinstance(cores.value, int):
            return Said(each * cores.value, f"{SYSTEM}: {name} = {each // MIB} MiB")
    tasks = _tasks_here(machine)
    among = f", for {tasks} tasks" if tasks > 1 else ""
    for name in ("SLURM_MEM_PER_NODE", "MinMemoryNode"):
        whole = texts.size(values.get(name, ""), unit="m")
        if whole:
            return Said(whole // tasks, f"{SYSTEM}: {name} = {whole // MIB} MiB{among}")
    return None


def _gpus(machine: Machine) -> Optional[Gpus]:
    """CUDA_VISIBLE_DEVICES, where Slurm sets it, is looked at elsewhere: within cgroups it counts anew from 0."""
    for name in ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        value = machine.environment.get(name)
        if value:
            return Gpus(tuple(filter(None, value.split(","))), name)
    return Gpus((), f"{SYSTEM} has given none: no SLURM_JOB_GPUS")


def _time(machine: Machine, told: dict[str, str]) -> Optional[Said]:
    """By limit and time run, since the end that Slurm shows is a local time of a zone that it does not name.

    The time run is in whole seconds: the one that has begun is gone too.
    """
    limit, ran = told.get("TimeLimit", ""), texts.seconds(told.get("RunTime", ""))
    if limit == "UNLIMITED":
        return Said(UNLIMITED, f"{SYSTEM}: scontrol, TimeLimit")
    whole = texts.seconds(limit)
    if whole is not None and ran is not None:
        return Said(max(0, whole - ran - 1), f"{SYSTEM}: scontrol, TimeLimit {limit} less RunTime {told['RunTime']}")
    end = machine.number("SLURM_JOB_END_TIME")  # Slurm 23.02 and newer
    if end:
        return Said(max(0, int(end - machine.now())), f"{SYSTEM}: SLURM_JOB_END_TIME")
    return None


def parse_job(text: str) -> dict[str, str]:
    """`scontrol -o show job`: name → value, of what stands without blanks."""
    pairs = (word.partition("=") for word in text.partition("\n")[0].split())
    return {name: value for name, separator, value in pairs if separator}
