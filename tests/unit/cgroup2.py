"""Control groups of version 2 in memory, with the kernel's rules, as far as the pilot meets them.

From the kernel's document `cgroup-v2`: which files a group has follows from what is enabled above it; a group other
than the top has processes or enabled controllers, never both; one with processes or groups in it is not removed.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

CORE = ("cgroup.procs", "cgroup.controllers", "cgroup.subtree_control", "cgroup.type", "cgroup.kill", "cpu.stat")
OF = {
    "memory": ("memory.max", "memory.swap.max", "memory.oom.group", "memory.stat", "memory.events"),
    "pids": ("pids.max",),
    "cpu": ("cpu.max",),
    "cpuset": ("cpuset.cpus",),
}


@dataclass
class Group:
    processes: set[int] = field(default_factory=set)
    enabled: set[str] = field(default_factory=set)  # for groups below
    written: dict[str, str] = field(default_factory=dict)
    ours: bool = True
    age: float = 0.0
    held: bool = False


class Cgroup2:
    """A mounted hierarchy. `home` is the pilot's group; those that are `foreign` may not be written to."""

    def __init__(self, home: str, *groups: str, controllers: tuple[str, ...], foreign: tuple[str, ...] = ()) -> None:
        self.top = "/sys/fs/cgroup"
        self.home = home
        self.controllers = set(controllers)  # of the machine
        self.lacks: set[str] = set()  # files of controllers that this kernel has not
        self.groups = {self.top + path.rstrip("/"): Group() for path in ("/", home, *groups)}
        for path in foreign:
            self.groups[self.top + path.rstrip("/")].ours = False
        above = [path for path in self.groups if self.place.startswith(path + "/") or path == self.top]
        for path in above:
            self.groups[path].enabled = set(controllers)

    @property
    def place(self) -> str:
        return self.top + self.home.rstrip("/")

    def inside(self, pid: int) -> str:
        return next(path for path, group in self.groups.items() if pid in group.processes)

    # -- pilot.enclosures.tree.Tree -----------------------------------------------------------------------------------

    def read(self, path: str) -> str | None:
        if path == "/proc/self/cgroup":
            return f"0::{self.home}\n"
        if path == "/proc/self/mountinfo":
            return f"30 23 0:26 / {self.top} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
        place, name = path.rsplit("/", 1)
        group = self.groups.get(place)
        if group is None or name not in self._files(place) or name == "cgroup.kill":
            return None
        shown = {
            "cgroup.procs": "".join(f"{pid}\n" for pid in sorted(group.processes)),
            "cgroup.controllers": " ".join(sorted(self._available(place))),
            "cgroup.subtree_control": " ".join(sorted(group.enabled)),
            "cgroup.type": "domain\n",
        }
        return shown.get(name, group.written.get(name, ""))

    def write(self, path: str, text: str) -> None:
        place, name = path.rsplit("/", 1)
        group = self.groups.get(place)
        if group is None or name not in self._files(place):
            raise OSError(errno.ENOENT, "No such file or directory")
        if not group.ours:
            raise OSError(errno.EACCES, "Permission denied")
        if name == "cgroup.procs":
            self._move(place, group, int(text))
        elif name == "cgroup.subtree_control":
            self._enable(place, group, {word[1:] for word in text.split() if word[0] == "+"})
            self._disable(place, group, {word[1:] for word in text.split() if word[0] == "-"})
        elif name == "cgroup.kill":
            for below, other in self.groups.items():
                if below == place or below.startswith(place + "/"):
                    other.processes.clear()
        else:
            group.written[name] = text

    def make(self, path: str) -> None:
        parent = path.rsplit("/", 1)[0]
        if path in self.groups:
            raise OSError(errno.EEXIST, "File exists")
        if not self.groups[parent].ours:
            raise OSError(errno.EACCES, "Permission denied")
        self.groups[path] = Group()

    def remove(self, path: str) -> None:
        if path not in self.groups:
            raise OSError(errno.ENOENT, "No such file or directory")
        if self.groups[path].processes or self.names(path):
            raise OSError(errno.EBUSY, "Device or resource busy")
        del self.groups[path]

    def names(self, path: str) -> list[str]:
        return sorted(
            found[len(path) + 1 :]
            for found in self.groups
            if found.startswith(path + "/") and "/" not in found[len(path) + 1 :]
        )

    def writable(self, path: str) -> bool:
        place, _, name = path.rpartition("/")
        if path in self.groups:
            return self.groups[path].ours
        return place in self.groups and name in self._files(place) and self.groups[place].ours

    def age(self, path: str) -> float:
        return self.groups[path].age

    def hold(self, path: str) -> None:
        if self.groups[path].held:
            raise BlockingIOError(errno.EWOULDBLOCK, "Resource temporarily unavailable")
        self.groups[path].held = True

    def let_go(self, path: str) -> None:
        self.groups[path].held = False

    def held(self, path: str) -> bool:
        return self.groups[path].held

    # -- the kernel's rules -------------------------------------------------------------------------------------------

    def _available(self, place: str) -> set[str]:
        return self.controllers if place == self.top else self.groups[place.rsplit("/", 1)[0]].enabled

    def _files(self, place: str) -> set[str]:
        files = set(CORE)
        if place == self.top:
            return files - {"cgroup.type", "cgroup.kill"}
        for controller in self._available(place):
            files.update(OF.get(controller, ()))
        return files - self.lacks

    def _move(self, place: str, group: Group, pid: int) -> None:
        if group.enabled and place != self.top:
            raise OSError(errno.EBUSY, "Device or resource busy")
        for other in self.groups.values():
            other.processes.discard(pid)
        group.processes.add(pid)

    def _disable(self, place: str, group: Group, unwanted: set[str]) -> None:
        if any(unwanted & self.groups[f"{place}/{name}"].enabled for name in self.names(place)):
            raise OSError(errno.EBUSY, "Device or resource busy")
        group.enabled -= unwanted

    def _enable(self, place: str, group: Group, wanted: set[str]) -> None:
        if not wanted <= self._available(place):
            raise OSError(errno.ENOENT, "No such file or directory")
        if wanted and group.processes and place != self.top:
            raise OSError(errno.EBUSY, "Device or resource busy")
        group.enabled |= wanted
