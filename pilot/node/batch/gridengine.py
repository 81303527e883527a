"""Grid Engine and its descendants. What a job asked for and its queue's limits come from two commands.

From a job of a real Grid Engine 8.1; the use of wall time that its descendants tell is written from documentation.
"""

from __future__ import annotations

from typing import Optional

from pilot.node.allocation import Allocation, Said, narrowest
from pilot.node.batch import texts
from pilot.node.machine import Machine, whole

SYSTEM = "Grid Engine"
_TIMES = ("s_rt", "h_rt")
_CPU_TIMES = ("s_cpu", "h_cpu")
_MEMORIES = ("h_vmem", "h_rss", "s_vmem")


def look(machine: Machine, elapsed: float) -> Optional[Allocation]:
    """Slots on this host; memory and times that the job asked for or its queue sets."""
    job = machine.environment.get("JOB_ID", "")
    if not job.isdecimal() or not {"SGE_TASK_ID", "SGE_CELL", "SGE_JOB_SPOOL_DIR"} & set(machine.environment):
        return None
    told = parse_job(machine.run(("qstat", "-j", job)) or "", machine.environment.get("SGE_TASK_ID", ""))
    asked = parse_list(told.get("hard resource_list", "")) | parse_list(told.get("hard_resource_list", ""))
    queue = parse_queue(machine.run(("qconf", "-sq", machine.environment.get("QUEUE", ""))) or "")
    used = parse_list(told.get("usage", ""))
    cores = _cores(machine)
    slots = cores.value if cores is not None and isinstance(cores.value, int) else 1
    ran = max(elapsed, texts.seconds(used.get("wallclock", "")) or 0)
    burnt = texts.seconds(used.get("cpu", "")) or 0
    return Allocation(
        SYSTEM,
        job,
        "JOB_ID and SGE_TASK_ID",
        cores=cores,
        memory=_memory(asked, queue, slots),
        seconds_left=narrowest([_limit(name, asked, queue, ran) for name in _TIMES]),
        cpu_seconds_left=narrowest([_limit(name, asked, queue, burnt, slots) for name in _CPU_TIMES]),
    )


def parse_job(text: str, task: str) -> dict[str, str]:
    """`qstat -j`: a name, at times the number of a task, a colon, and a value. Other tasks of an array are not us.

    `task`: ours, "undefined" where the job is no array; then its number is 1.
    """
    ours = task if task.isdecimal() else "1"
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        words = name.split()
        if separator and (not words or not words[-1].isdecimal() or words[-1] == ours):
            found.setdefault(" ".join(word for word in words if not word.isdecimal()), value.strip())
    return found


def parse_queue(text: str) -> dict[str, str]:
    """`qconf -sq`: a name, blanks, and a value, after which those of some hosts may follow in brackets."""
    pairs = (line.partition(" ") for line in text.splitlines())
    return {name: value.partition(",")[0].strip() for name, separator, value in pairs if name and separator}


def parse_list(text: str) -> dict[str, str]:
    """``h_rt=3600,h_vmem=2G``, with or without blanks after the commas."""
    pairs = (word.strip().partition("=") for word in text.split(","))
    return {name: value for name, separator, value in pairs if separator}


def _cores(machine: Machine) -> Optional[Said]:
    """In a parallel job that spreads over hosts, those of this host; else all slots."""
    place = machine.environment.get("PE_HOSTFILE")
    for line in (machine.read(place) or "").splitlines() if place else ():
        words = line.split()
        here = whole(words[1]) if len(words) >= 2 else None
        if here is not None and texts.same_host(words[0], machine.system.host):
            return Said(here, f"{SYSTEM}: PE_HOSTFILE")
    slots = machine.number("NSLOTS")
    return Said(slots, f"{SYSTEM}: NSLOTS") if slots else None


def _value(name: str, asked: dict[str, str], queue: dict[str, str]) -> tuple[str, str]:
    """The job's own word, which Grid Engine lets be no weaker than the queue's; INFINITY is no limit."""
    if name in asked:
        return asked[name], f"{SYSTEM}: {name} = {asked[name]} of the job"
    value = queue.get(name, "")
    return ("", "") if value in ("", "INFINITY") else (value, f"{SYSTEM}: {name} = {value} of the queue")


def _limit(name: str, asked: dict[str, str], queue: dict[str, str], used: float, times: int = 1) -> Optional[Said]:
    value, source = _value(name, asked, queue)
    whole = texts.seconds(value)
    return Said(max(0, int(whole * times - used)), source) if whole is not None else None


def _memory(asked: dict[str, str], queue: dict[str, str], slots: int) -> Optional[Said]:
    """Each slot has its own."""
    found: list[Optional[Said]] = []
    for name in _MEMORIES:
        value, source = _value(name, asked, queue)
        each = texts.size(value)
        found.append(
            Said(each * slots, source + (f", for each of {slots} slots" if slots > 1 else "")) if each else None
        )
    return narrowest(found)
