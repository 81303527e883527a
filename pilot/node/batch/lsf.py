"""LSF: cores from the environment; memory and what is left of the time from one command.

LSF itself says how much time is left: its limits may be scaled by the speed of hosts, and it alone knows by how much.

Written from documentation.
"""

from __future__ import annotations

import re
from typing import Optional

from pilot.node.allocation import Allocation, Said
from pilot.node.batch import texts
from pilot.node.machine import Machine, whole

SYSTEM = "LSF"
#: ``11:12 L`` is hours and minutes until the limit; E is an estimate, X an overrun.
_LEFT = re.compile(r"(\d{1,9}):(\d\d) ([LX])")


def look(machine: Machine, elapsed: float) -> Optional[Allocation]:
    """The cores of this host, the memory limit, and the time until the run limit."""
    job = machine.environment.get("LSB_JOBID", "")
    if not job.isdecimal() or job == "0":
        return None
    index = machine.environment.get("LSB_JOBINDEX", "0")
    name = f"{job}[{index}]" if index.isdecimal() and index != "0" else job
    printed = machine.run(("bjobs", "-noheader", "-o", "time_left memlimit delimiter=';'", name)) or ""
    time_left, _, memory_limit = printed.strip().partition(";")
    return Allocation(
        SYSTEM,
        name,
        "LSB_JOBID",
        cores=_cores(machine),
        memory=_memory(memory_limit),
        seconds_left=_time(time_left),
    )


def _cores(machine: Machine) -> Optional[Said]:
    """``LSB_MCPU_HOSTS`` is "host1 4 host2 8"."""
    words = machine.environment.get("LSB_MCPU_HOSTS", "").split()
    for host, count in zip(words[::2], words[1::2]):
        here = whole(count)
        if here is not None and texts.same_host(host, machine.system.host):
            return Said(here, f"{SYSTEM}: LSB_MCPU_HOSTS")
    hosts = machine.environment.get("LSB_HOSTS", "").split()
    here = sum(1 for host in hosts if texts.same_host(host, machine.system.host))
    return Said(here, f"{SYSTEM}: LSB_HOSTS") if here else None


def _memory(text: str) -> Optional[Said]:
    limit = texts.size(text.replace(" ", ""))
    return Said(limit, f"{SYSTEM}: a memory limit of {text.strip()}") if limit else None


def _time(text: str) -> Optional[Said]:
    found = _LEFT.fullmatch(text.strip())
    if not found:
        return None
    seconds = int(found[1]) * 3600 + int(found[2]) * 60 if found[3] == "L" else 0
    return Said(seconds, f"{SYSTEM}: bjobs, time_left {text.strip()}")
