"""Figures and records in words, for people."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Mapping, Sequence

from pilot.protocol import Needs
from pilot.units import show_duration, show_size
from pilot.views import JobView, PilotView

#: Characters of a stamp that are shown: enough to tell pilots apart, and accepted by every command.
STAMP = 8


def ago(then: float | None, now: float) -> str:
    """How long something has been, as ``4m 10s``; seconds since the epoch."""
    return "" if then is None else show_duration(max(0, int(now - then)))


def clock(then: float | None) -> str:
    """A moment in local time."""
    return "" if then is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(then))


def size(amount: float | None) -> str:
    """Bytes, empty when unknown."""
    return "" if amount is None else show_size(amount)


def seconds(amount: float | None) -> str:
    """A duration, empty when unknown."""
    return "" if amount is None else show_duration(round(amount, 1))


def stamp(text: str) -> str:
    """The beginning of a stamp."""
    return text[:STAMP]


def plural(count: int, noun: str) -> str:
    """``1 job``, ``3 jobs``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def times(count: int) -> str:
    """``once``, ``3 times``."""
    return "once" if count == 1 else f"{count:,} times"


def ids(numbers: Iterable[int]) -> str:
    """Job ids as they are typed: ``7 9-12``."""
    return " ".join(_runs(numbers))


def many_ids(numbers: Iterable[int], most: int = 20) -> str:
    """Job ids as they are typed; of very many ranges the first."""
    runs = _runs(numbers)
    return " ".join(runs[:most]) + (f" and {len(runs) - most:,} more ranges" if len(runs) > most else "")


def _runs(numbers: Iterable[int]) -> list[str]:
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in runs]


def some(names: Sequence[str], most: int = 10) -> str:
    """Names, the first ones when there are many."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return " ".join(names[:most]) + more


def counts(numbers: Mapping[str, int], order: Sequence[str]) -> str:
    """``3 waiting, 2 running``, without what there is none of."""
    return ", ".join(f"{numbers[name]:,} {name}" for name in order if numbers.get(name))


def command(arguments: Sequence[str]) -> str:
    """A command as one would type it."""
    return shlex.join(arguments)


def needs(wanted: Needs) -> str:
    """What a job requires."""
    cores = f"{wanted.cores} to {wanted.max_cores} cores" if wanted.max_cores > wanted.cores else None
    parts = [
        "a whole node" if wanted.whole_node else cores or plural(wanted.cores, "core"),
        _memory(wanted),
        f"{show_size(wanted.disk)} disk" if wanted.disk else "",
        plural(wanted.gpus, "GPU") if wanted.gpus else "",
        f"{show_size(wanted.gpu_memory)} in each GPU" if wanted.gpu_memory else "",
        f"{show_duration(wanted.wall_time)} wall time",
        f"tags {wanted.tags}" if wanted.tags else "",
        f"sites {', '.join(wanted.sites)}" if wanted.sites else "",
        f"not at {', '.join(wanted.not_sites)}" if wanted.not_sites else "",
        _platform(wanted),
        "isolation" if wanted.isolation else "",
    ]
    return ", ".join(part for part in parts if part)


def _memory(wanted: Needs) -> str:
    parts = [
        show_size(wanted.memory) if wanted.memory else "",
        f"{show_size(wanted.memory_per_core)} per core" if wanted.memory_per_core else "",
    ]
    text = " + ".join(part for part in parts if part)
    return f"{text} memory" if text else ""


def _platform(wanted: Needs) -> str:
    platform = wanted.platform
    parts = [
        platform.arch or "",
        f"level v{platform.microarch} or better" if platform.microarch else "",
        f"glibc {platform.glibc[0]}.{platform.glibc[1]} or newer" if platform.glibc else "",
    ]
    return " ".join(part for part in parts if part)


def job_note(job: JobView) -> str:
    """Why a job is where it is, in a few words."""
    exit_code = f"exit code {job.exit_code}" if job.exit_code else ""
    outcome = job.outcome.value if job.outcome and job.outcome.value not in ("success", job.state.value) else ""
    return job.reason or ", ".join(part for part in (outcome, exit_code) if part)


def pilot_note(pilot: PilotView) -> str:
    """Why a pilot ended, or what is wrong with it."""
    if pilot.alarm:
        return f"ALARM: {pilot.alarm}"
    reason = pilot.reason.value if pilot.reason else ""
    return pilot.message if pilot.message.startswith(reason) else f"{reason}: {pilot.message}".removesuffix(": ")
