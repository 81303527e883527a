"""Control groups of version 2: the kernel's, where it has some to give, and those in memory that stand for them.

What a kernel has bound to version 1 cannot be had in version 2, so the controller here is any that is left. The pilot's
ones are played by the fake alone; that it keeps the kernel's rules is what this suite shows.
"""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pilot.enclosures import controls
from pilot.enclosures.finding import find
from pilot.enclosures.groups import PREFIX, SELF
from pilot.enclosures.ports import Bounds
from pilot.enclosures.tree import KernelTree, Tree
from pilot.node.cgroups import parse_mounts
from tests.unit.cgroup2 import Cgroup2

NAME = f"pilotage-contract-{os.getpid()}"


@dataclass
class Scene:
    """A group that is ours, without processes, whose parent has enabled one controller for it."""

    tree: Tree
    place: str
    controller: str
    process: Callable[[], int]  # starts one that waits


class InGroup:
    """The kernel's tree as it is seen by somebody who lives in a group."""

    def __init__(self, tree: Tree, mount: str, place: str) -> None:
        self.tree = tree
        self.about = {
            "/proc/self/cgroup": f"0::{place[len(mount) :]}\n",
            "/proc/self/mountinfo": f"30 23 0:26 / {mount} rw - cgroup2 cgroup2 rw\n",
        }

    def read(self, path: str) -> str | None:
        return self.about.get(path) or self.tree.read(path)

    def __getattr__(self, name: str) -> object:
        return getattr(self.tree, name)


@pytest.fixture(params=["memory", "kernel"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    if request.param == "memory":
        fake = Cgroup2(f"/{NAME}", controllers=("hugetlb",))
        numbers = iter(range(1000, 2000))
        yield Scene(fake, fake.place, "hugetlb", lambda: next(numbers))
        return
    yield from _kernel()


def _kernel() -> Iterator[Scene]:
    kernel = KernelTree(time.time())
    mount = next((m.point for m in parse_mounts(kernel.read("/proc/self/mountinfo") or "") if not m.controllers), "")
    enabled = (kernel.read(f"{mount}/cgroup.subtree_control") or "").split()
    left = enabled or (kernel.read(f"{mount}/cgroup.controllers") or "").split()
    place = f"{mount}/{NAME}"
    if not mount or not left or not kernel.writable(mount):
        pytest.skip("no control groups of version 2 can be made here")
    processes: list[subprocess.Popen[bytes]] = []

    def process() -> int:
        processes.append(subprocess.Popen(["sleep", "600"]))
        return processes[-1].pid

    if not enabled:
        kernel.write(f"{mount}/cgroup.subtree_control", f"+{left[0]}")
    kernel.make(place)
    try:
        yield Scene(InGroup(kernel, mount, place), place, left[0], process)  # type: ignore[arg-type]
    finally:
        for one in processes:
            one.kill()
            one.wait()
        for folder, _, _ in os.walk(place, topdown=False):
            os.rmdir(folder)
        if not enabled:
            kernel.write(f"{mount}/cgroup.subtree_control", f"-{left[0]}")


def refused(number: int, act: Callable[[], None]) -> bool:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what is looked at
        act()
    return caught.value.errno == number


def test_processes_and_controllers_exclude_each_other(scene: Scene) -> None:
    """A group with a process bounds no groups below it, and one that does takes in no process."""
    tree, place = scene.tree, scene.place
    pid = scene.process()

    def enable() -> None:
        tree.write(f"{place}/cgroup.subtree_control", f"+{scene.controller}")

    tree.write(f"{place}/cgroup.procs", str(pid))
    assert refused(errno.EBUSY, enable)
    tree.make(f"{place}/leaf")
    tree.write(f"{place}/leaf/cgroup.procs", str(pid))
    assert controls.pids(tree.read(f"{place}/cgroup.procs")) == []
    enable()
    assert (tree.read(f"{place}/leaf/cgroup.controllers") or "").split() == [scene.controller]
    assert refused(errno.EBUSY, lambda: tree.write(f"{place}/cgroup.procs", str(pid)))


def test_what_is_not_there_is_refused(scene: Scene) -> None:
    """Unknown controllers and files, and groups that exist, are told by the kernel's numbers."""
    tree, place = scene.tree, scene.place
    assert refused(errno.ENOENT, lambda: tree.write(f"{place}/memory.nonsense", "1"))
    tree.make(f"{place}/one")
    assert refused(errno.EEXIST, lambda: tree.make(f"{place}/one"))
    assert tree.read(f"{place}/one/no.such.file") is None
    assert tree.names(place) == ["one"]


def test_inhabited_groups_stay(scene: Scene) -> None:
    """A group with processes or groups in it is not removed; it is once they are killed in one write."""
    tree, place = scene.tree, scene.place
    tree.make(f"{place}/one")
    pid = scene.process()
    tree.write(f"{place}/one/cgroup.procs", str(pid))
    assert refused(errno.EBUSY, lambda: tree.remove(f"{place}/one"))
    assert refused(errno.EBUSY, lambda: tree.remove(place))
    tree.write(f"{place}/cgroup.kill", "1")
    end = time.monotonic() + 10
    while controls.pids(tree.read(f"{place}/one/cgroup.procs")):
        assert time.monotonic() < end
        _reap(pid)
    tree.remove(f"{place}/one")
    assert tree.names(place) == []


def test_one_holds_a_group_at_a_time(scene: Scene) -> None:
    """A group that is held is seen to be, cannot be held again, and is free once it was let go."""
    tree, place = scene.tree, scene.place
    assert not tree.held(place)
    tree.hold(place)
    assert tree.held(place)
    assert refused(errno.EWOULDBLOCK, lambda: tree.hold(place))
    tree.let_go(place)
    assert not tree.held(place)


def test_a_pilot_steps_aside_and_holds_a_payload(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a group that was delegated to bounded payload groups, a kill and no trace, on both."""
    monkeypatch.setitem(controls.USED, 2, (scene.controller,))
    tree, place = scene.tree, scene.place
    pilot, payload = scene.process(), scene.process()
    tree.write(f"{place}/cgroup.procs", str(pilot))
    made = find(tree, "a-1", lambda _: "").enclosures
    assert made is not None
    assert made.described == f"cgroup v2: {scene.controller}, kill"
    assert controls.pids(tree.read(f"{place}/{SELF}/cgroup.procs")) == [pilot]
    enclosure = made.enclose("7.1", Bounds())
    available = tree.read(f"{place}/{PREFIX}a-1/7.1/cgroup.controllers")
    assert (available or "").split() == [scene.controller]
    enclosure.admit(payload)
    assert enclosure.members() == [payload]
    enclosure.kill()
    end = time.monotonic() + 10
    while enclosure.members():
        assert time.monotonic() < end
        _reap(payload)
    enclosure.close()
    made.close()
    assert tree.names(place) == []
    assert controls.pids(tree.read(f"{place}/cgroup.procs")) == [pilot]
    assert (tree.read(f"{place}/cgroup.subtree_control") or "").split() == []


def _reap(pid: int) -> None:
    """One that was killed stays a member until somebody waits for it."""
    if Path(f"/proc/{pid}").exists():
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            pass
    time.sleep(0.01)
