"""OAR: a file with one line for each core, and the wall time in the environment. Tested in jobs of a real OAR 2.5.9."""

from __future__ import annotations

import json
from typing import Optional

from pilot.node.allocation import Allocation, Said
from pilot.node.batch import texts
from pilot.node.machine import Machine

SYSTEM = "OAR"


def look(machine: Machine, elapsed: float) -> Optional[Allocation]:
    """The cores of this host among those that the job was given."""
    environment = machine.environment
    job = environment.get("OAR_JOB_ID") or environment.get("OAR_JOBID", "")
    if not job.isdecimal():
        return None
    return Allocation(SYSTEM, job, "OAR_JOB_ID", cores=_cores(machine), seconds_left=_time(machine, job, elapsed))


def _cores(machine: Machine) -> Optional[Said]:
    for name in ("OAR_NODEFILE", "OAR_NODE_FILE", "OAR_RESOURCE_FILE", "OAR_FILE_NODES"):
        place = machine.environment.get(name)
        lines = (machine.read(place) or "").split() if place else []
        # A name that OAR has for a node need not be the node's own; a single one can only be that of this node.
        alone = len(set(lines)) == 1
        here = sum(1 for line in lines if alone or texts.same_host(line, machine.system.host))
        if here:
            return Said(here, f"{SYSTEM}: {name}")
    return None


def _time(machine: Machine, job: str, elapsed: float) -> Optional[Said]:
    limit = machine.number("OAR_JOB_WALLTIME_SECONDS")
    if limit is None:
        limit = texts.seconds(machine.environment.get("OAR_JOB_WALLTIME", ""))
    if limit is None:
        return None
    began = parse_start(machine.run(("oarstat", "-f", "-J", "-j", job)) or "", job)
    used = max(elapsed, machine.now() - began) if began is not None else elapsed
    since = "" if began is not None else ", counted from the pilot's start"
    return Said(max(0, int(limit - used)), f"{SYSTEM}: a wall time of {limit} s{since}")


def parse_start(text: str, job: str) -> Optional[int]:
    """`oarstat -f -J -j`: when the job started, in seconds since the epoch."""
    try:
        told = json.loads(text)
        began = told[job]["startTime"]
        return int(began) if 0 < int(began) < 2**63 else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
