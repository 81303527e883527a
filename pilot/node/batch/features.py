"""Machine and job features: one value a file, in folders that two variables name, or below two addresses.

Any batch system or cloud may offer them; a site uses them to say what it would not trust to a batch system's own words.

Written from documentation.
"""

from __future__ import annotations

from typing import Optional

from pilot.node.allocation import Allocation, Said, narrowest
from pilot.node.machine import Machine, whole
from pilot.node.outside import Request

SYSTEM = "job features"
#: Characters of a job's name: what is longer is a page about something else.
MOST = 200
_MACHINE, _JOB = "MACHINEFEATURES", "JOBFEATURES"


def look(machine: Machine, elapsed: float) -> Optional[Allocation]:
    """What both folders say; a key that cannot be read says nothing, and the others still count."""
    if not machine.environment.get(_JOB) and not machine.environment.get(_MACHINE):
        return None
    return Allocation(
        SYSTEM,
        _text(machine, _JOB, "job_id")[:MOST],
        f"{_JOB} and {_MACHINE}",
        cores=_amount(machine, "allocated_cpu"),
        memory=_amount(machine, "max_rss_bytes"),
        disk=_amount(machine, "scratch_limit_bytes"),
        seconds_left=_time(machine, elapsed),
        cpu_seconds_left=_amount(machine, "cpu_limit_secs"),
    )


def _text(machine: Machine, folder: str, key: str) -> str:
    place = machine.environment.get(folder, "").rstrip("/")
    if not place:
        return ""
    if place.startswith(("http://", "https://")):
        return (machine.fetch(Request(f"{place}/{key}")) or "").strip()
    return (machine.read(f"{place}/{key}") or "").strip()


def _number(machine: Machine, folder: str, key: str) -> Optional[int]:
    return whole(_text(machine, folder, key))


def _amount(machine: Machine, key: str) -> Optional[Said]:
    value = _number(machine, _JOB, key)
    return Said(value, f"{SYSTEM}: {key}") if value is not None else None


def _time(machine: Machine, elapsed: float) -> Optional[Said]:
    """Until the job's limit or the machine's end, whichever comes first."""
    now = machine.now()
    limit, began = _number(machine, _JOB, "wall_limit_secs"), _number(machine, _JOB, "jobstart_secs")
    candidates: list[Optional[Said]] = []
    if limit is not None:
        used = max(elapsed, now - began) if began is not None else elapsed
        candidates.append(Said(max(0, int(limit - used)), f"{SYSTEM}: wall_limit_secs = {limit}"))
    for folder, key in ((_JOB, "shutdowntime_job"), (_MACHINE, "shutdowntime")):
        end = _number(machine, folder, key)
        if end is not None:
            candidates.append(Said(max(0, int(end - now)), f"{SYSTEM}: {key}"))
    return narrowest(candidates)
