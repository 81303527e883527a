"""HTCondor: the ads of the slot and of the job, which it lays beside the job. From a job of a real HTCondor 23.9.

Limits of time are what the job carries itself, or what the slot says of its own end; expressions are not evaluated.
"""

from __future__ import annotations

from typing import Optional

from pilot.node.allocation import Allocation, Gpus, Said, narrowest
from pilot.node.machine import Machine

SYSTEM = "HTCondor"
#: Attributes of a job that bound how long it may run, in seconds; the last is in use at some sites.
_LIMITS = ("AllowedExecuteDuration", "AllowedJobDuration", "MaxRuntime")
#: Since when the limits count: the first that is there.
_BEGINNINGS = ("JobCurrentStartExecutingDate", "JobCurrentStartDate", "JobStartDate")
#: Attributes of a slot that name the moment of its end: the pilot under it in glidein systems, or the daemon.
_ENDS = ("GLIDEIN_ToDie", "DaemonStopTime")
#: A slot without an end says 2^31 - 1 seconds.
_ENDLESS = 2**31 - 1


def look(machine: Machine, elapsed: float) -> Optional[Allocation]:
    """What the slot has, by its ad."""
    where = machine.environment.get("_CONDOR_MACHINE_AD")
    if not where:
        return None
    slot = parse_ad(machine.read(where) or "")
    job = parse_ad(machine.read(machine.environment.get("_CONDOR_JOB_AD", "")) or "")
    number = ".".join(filter(None, (job.get("clusterid"), job.get("procid")))) or slot.get("jobid", "")
    return Allocation(
        SYSTEM,
        number,
        "_CONDOR_MACHINE_AD",
        cores=_amount(slot, "Cpus", 1) or _threads(machine),
        memory=_amount(slot, "Memory", 1024 * 1024),
        disk=_amount(slot, "Disk", 1024),
        seconds_left=_time(slot, job, machine.now()),
        gpus=_gpus(machine, slot),
    )


def parse_ad(text: str) -> dict[str, str]:
    """An ad in long form, ``Name = value`` a line: names in small letters, texts without their quotes."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(" = ")
        if separator:
            found[name.strip().lower()] = value.strip().strip('"')
    return found


def _whole(ad: dict[str, str], name: str) -> Optional[int]:
    """A number of an ad; None where it is another thing, as ``undefined`` or an expression."""
    value = ad.get(name.lower(), "")
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None


def _amount(slot: dict[str, str], name: str, unit: int) -> Optional[Said]:
    value = _whole(slot, name)
    return Said(value * unit, f"{SYSTEM}: {name} of the slot") if value is not None and value > 0 else None


def _threads(machine: Machine) -> Optional[Said]:
    """What HTCondor tells programs too, should its ad be unreadable: all cores of the machine would be too many."""
    threads = machine.number("OMP_NUM_THREADS")
    return Said(threads, f"{SYSTEM}: OMP_NUM_THREADS") if threads else None


def _gpus(machine: Machine, slot: dict[str, str]) -> Gpus:
    """As "GPU-c4a646d7,GPU-6a96bd13": the beginnings of UUIDs, or CUDA0, CUDA1 from older ones; 10000 is none."""
    told = machine.environment.get("_CONDOR_AssignedGPUs") or slot.get("assignedgpus") or ""
    names = (word.strip() for word in told.split(","))
    return Gpus(
        tuple(name[4:] if name.startswith("CUDA") else name for name in names if name),
        f"{SYSTEM}: AssignedGPUs" if told else f"{SYSTEM} has given none: no AssignedGPUs",
    )


def _time(slot: dict[str, str], job: dict[str, str], now: float) -> Optional[Said]:
    candidates: list[Optional[Said]] = []
    began = next(filter(None, (_whole(job, name) for name in _BEGINNINGS)), None)
    for name in _LIMITS:
        limit = _whole(job, name)
        if limit is not None and began is not None:
            candidates.append(Said(max(0, int(began + limit - now)), f"{SYSTEM}: {name} = {limit} of the job"))
    for name in _ENDS:
        end = _whole(slot, name)
        if end is not None:
            candidates.append(Said(max(0, int(end - now)), f"{SYSTEM}: {name} of the slot"))
    life = _whole(slot, "TimeToLive")
    if life is not None and life < _ENDLESS:
        candidates.append(Said(max(0, life), f"{SYSTEM}: TimeToLive of the slot"))
    return narrowest(candidates)
