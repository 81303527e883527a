"""Which processes belong to which payload, however they try to get away; and how all of them are ended.

The agent is a child subreaper (`pilot.processes`): whatever a payload starts stays below the agent, and becomes the
agent's own child when those between have ended. Such an orphan is told to its payload by its session, by having been
seen before, or by a variable in its environment; one that has shed all three belongs to a payload once no other that
was running when it started is left.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Callable, Optional

from pilot import procfs
from pilot.payloads.slot_users import processes_of
from pilot.procfs import Process


@dataclass(eq=False)
class Family:
    """One payload's processes. `lock` of `Families` guards it."""

    leader: int  # the process that was started; also its session and group
    started: int  # clock ticks since the machine's start
    variable: bytes  # of its environment, as NAME=value
    waited_for: bool = False  # the leader has ended and its number may be another's
    seen: set[tuple[int, int]] = field(default_factory=set)  # pid and start of those that lived at the last look
    reaped: float = 0.0  # CPU seconds of orphans that have ended
    user: Optional[int] = None  # whose processes all are its own, wherever they are
    enclosed: Callable[[], list[int]] = list  # those of its control group
    spared: tuple[str, ...] = ()  # names of programs that hold the others up, and are not asked to end


class Families:
    """All payloads below this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.families: list[Family] = []
        self.lists_children = procfs.kernel_lists_children()
        self.session = os.getsid(0)

    def start(self, spawn: Callable[[], int], variable: bytes, user: Optional[int] = None) -> Family:
        """Run `spawn`, which starts a leader in a session of its own and returns its pid, and know it from then on."""
        with self.lock:
            pid = spawn()
            about = procfs.process(pid)
            family = Family(pid, about.started if about else 0, variable, user=user)
            self.families.append(family)
            return family

    def wait(self, family: Family) -> tuple[int, float, int]:
        """Block until the leader has ended. Returns its wait status, CPU seconds, largest resident set in bytes."""
        # It is looked at before it is reaped: nobody may signal its number once another process can have it.
        os.waitid(os.P_PID, family.leader, os.WEXITED | os.WNOWAIT)
        with self.lock:
            _, status, usage = os.wait4(family.leader, 0)
            family.waited_for = True
        return status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024

    def forget(self, family: Family) -> None:
        """Nothing of it is left, or nobody can do anything about it."""
        with self.lock:
            if family in self.families:
                self.families.remove(family)

    def knows(self, family: Family) -> bool:
        """Whether it was started and is not forgotten."""
        with self.lock:
            return family in self.families

    def members(self, family: Family, everywhere: bool = False) -> list[Process]:
        """Its living processes, as of now; `everywhere`: those included that are only in its control group, or that
        somebody else runs for its user."""
        with self.lock:
            children = self._children()
            roots = [] if family.waited_for else [family.leader]
            roots += [about.pid for about in self._orphans(children) if self._belongs(about, family)]
            if everywhere:
                roots += family.enclosed()
                roots += [] if family.user is None else processes_of(family.user)
            members = _descend(roots, children)
            family.seen = {(about.pid, about.started) for about in members}
            return members

    def signal(self, family: Family, number: int) -> None:
        """Send a signal once to each of its processes."""
        with self.lock:
            if not self.knows(family):
                return
            members = self.members(family, everywhere=True)
            in_group = {about.pid for about in members if about.group == family.leader}
            if in_group or not family.waited_for:
                # The kernel does this in one go: whoever is just forking cannot slip through.
                _kill(lambda: os.killpg(family.leader, number))
            for about in members:
                if about.pid not in in_group and _still(about):
                    _kill(lambda pid=about.pid: os.kill(pid, number))  # type: ignore[misc]

    def ask(self, family: Family, number: int) -> None:
        """Send a signal once to each of its processes but those that hold the others up."""
        if not family.spared:
            self.signal(family, number)
            return
        with self.lock:
            for about in self.members(family, everywhere=True) if self.knows(family) else []:
                if procfs.name(about.pid) not in family.spared and _still(about):
                    _kill(lambda pid=about.pid: os.kill(pid, number))  # type: ignore[misc]

    def tell(self, family: Family, number: int, program: str) -> int:
        """Send a signal to those of its processes that run a program (a glob), or to its leader; returns to how many.

        Nobody else's process is looked at, whatever it runs.
        """
        with self.lock:
            members = self.members(family) if self.knows(family) else []
            if program:
                told = [about for about in members if procfs.runs(about.pid, program)]
            else:
                told = [about for about in members if about.pid == family.leader and not family.waited_for]
            for about in told:
                if _still(about):
                    _kill(lambda pid=about.pid: os.kill(pid, number))  # type: ignore[misc]
            return len(told)

    def clear(self, family: Family, seconds: float) -> int:
        """Kill until nothing is left, at most so long. Returns how many processes are."""
        end = time.monotonic() + seconds
        pause = 0.001
        while True:
            left = self.members(family, everywhere=True)
            if not left or time.monotonic() > end:
                return len(left)
            self.signal(family, signal.SIGKILL)
            self.reap()
            time.sleep(pause)
            pause = min(0.1, pause * 2)

    def reap(self) -> None:
        """Wait for orphans that have ended; leaders are waited for by whoever started them."""
        with self.lock:
            for about in self._orphans(self._children(), ended=True):
                owner = next((family for family in self.families if self._belongs(about, family)), None)
                try:
                    _, _, usage = os.wait4(about.pid, os.WNOHANG)
                except ChildProcessError:
                    continue
                if owner is not None:
                    owner.reaped += usage.ru_utime + usage.ru_stime

    def _children(self) -> Callable[[int], list[int]]:
        if self.lists_children:
            return procfs.children
        everybody = procfs.all_children()
        return lambda pid: everybody.get(pid, [])

    def _orphans(self, children: Callable[[int], list[int]], ended: bool = False) -> list[Process]:
        """Our children that we did not start as leaders. Those in our own session are somebody else's business here."""
        found = []
        leaders = {family.leader for family in self.families if not family.waited_for}
        for pid in children(os.getpid()):
            about = None if pid in leaders else procfs.process(pid)
            if about is not None and about.session != self.session and about.over == ended:
                found.append(about)
        return found

    def _belongs(self, orphan: Process, family: Family) -> bool:
        if orphan.session == family.leader or (orphan.pid, orphan.started) in family.seen:
            return True
        if procfs.has_variable(orphan.pid, family.variable):
            return True
        others = any(other.started <= orphan.started for other in self.families if other is not family)
        return not others and family.started <= orphan.started


def _descend(roots: list[int], children: Callable[[int], list[int]]) -> list[Process]:
    """The living processes at and below these."""
    found: list[Process] = []
    waiting = list(roots)
    looked: set[int] = set()
    while waiting:
        pid = waiting.pop()
        if pid in looked:
            continue
        looked.add(pid)
        about = procfs.process(pid)
        if about is not None and not about.over:
            found.append(about)
            waiting.extend(children(pid))
    return found


def _still(about: Process) -> bool:
    """Whether the number is still that process's."""
    now = procfs.process(about.pid)
    return now is not None and now.started == about.started


def _kill(send: Callable[[], None]) -> None:
    try:
        send()
    except (ProcessLookupError, PermissionError):
        pass  # it has ended, or has become another user's
