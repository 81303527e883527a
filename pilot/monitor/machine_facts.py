"""What a virtual machine's monitor says of the machine, once a minute: load, jobs, free disk, time since its boot."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from pilot.monitor.holdings import Holdings
from pilot.monitor.steadfast import steadfast
from pilot.protocol import Fact

#: Seconds between two looks. What is found waits for the next heartbeat, and hurries none.
EVERY = 60.0
LOADS = ("load_1", "load_5", "load_15")


@dataclass(frozen=True)
class MachineFacts:
    """Of one machine, whose files are below `root`. `turn` is for any thread, and takes no time but that of a disk."""

    holdings: Holdings
    work: Path
    say: Callable[[str], None]
    root: Path = Path("/")

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            steadfast("what the machine does", self.turn, self.say)
            stop.wait(EVERY)

    def turn(self) -> float:
        """Look, and keep it for the next heartbeat. Returns the seconds until the next."""
        self.holdings.note(
            facts(self._text("loadavg"), self._text("uptime"), self._free(), len(self.holdings.running()))
        )
        return EVERY

    def _free(self) -> Optional[int]:
        try:
            about = os.statvfs(self.work)
        except OSError:
            return None
        return about.f_bavail * about.f_frsize

    def _text(self, name: str) -> str:
        try:
            with (self.root / "proc" / name).open("rb") as file:
                return file.read(200).decode("ascii", "replace")
        except OSError:
            return ""


def facts(loadavg: str, uptime: str, free: Optional[int], jobs: int) -> tuple[Fact, ...]:
    """What these files of /proc say, the bytes that are free, and how many jobs run. What cannot be read is None."""
    loads, up = _numbers(loadavg), _numbers(uptime)
    return (
        *(Fact(name, loads[n] if n < len(loads) else None, "/proc/loadavg") for n, name in enumerate(LOADS)),
        Fact("jobs", jobs, "leases that the pilot holds"),
        Fact("disk_free", free, "bytes free for the pilot's folder"),
        Fact("uptime", int(up[0]) if up else None, "/proc/uptime"),
    )


def _numbers(text: str) -> list[float]:
    """The first words, which are numbers; empty where this is no text of these files."""
    try:
        return [float(word) for word in text.split()[: len(LOADS)]]
    except ValueError:
        return []
