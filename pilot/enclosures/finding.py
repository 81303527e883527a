"""Finds where this pilot may make control groups, makes its own, and tries them before any payload depends on them.

Version 2 counts where it is delegated: the pilot may write to its own group. As a group that has processes cannot bound
groups below it, the pilot then moves itself, and whoever is in there with it, to a group beside those of payloads; at
its end all are moved back. Version 1 counts where its directories may be written to, which is: for root.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable, Optional

from pilot.enclosures import controls
from pilot.enclosures.groups import PREFIX, SELF, Base, GroupEnclosures, make_base, remove, step_aside, step_back
from pilot.enclosures.ports import Bounds
from pilot.enclosures.tree import Tree
from pilot.node.cgroups import Mount, ancestry, parse_membership, parse_mounts

#: Seconds after which an empty group that nobody holds is taken for that of a pilot that was killed, and removed by
#: another. Between making and holding one there is less than a second.
STALE = 300.0


@dataclass(frozen=True)
class Found:
    """What may be used, and what not and why, for `doctor` and the log."""

    enclosures: Optional[GroupEnclosures]
    notes: tuple[str, ...] = ()


def find(tree: Tree, name: str, try_out: Callable[[GroupEnclosures], str]) -> Found:
    """Make this pilot's groups, called by `name`. `try_out` says what is wrong with what was made."""
    bases: list[Base] = []
    notes: list[str] = []
    for mount, group in _own_groups(tree):
        parent = group[: -len(SELF) - 1] if group.endswith("/" + SELF) else group
        if not (tree.writable(parent) and tree.writable(f"{parent}/cgroup.procs")):
            notes.append(f"{parent}: not ours to write to")
            continue
        try:
            _sweep(tree, parent)
            base = Base(f"{parent}/{PREFIX}{name}", *_usable(tree, mount, parent))
            make_base(tree, base)
            bases.append(base)
        except OSError as error:
            notes.append(f"{parent}: {error.strerror or error}")
    if not bases:
        return Found(None, tuple(notes))
    kills = any(base.version == 2 and tree.writable(f"{base.path}/cgroup.kill") for base in bases)
    made = GroupEnclosures(tree, bases, kills)
    problem = try_out(made)
    if problem:
        made.close()
        return Found(None, (*notes, problem))
    return Found(made, tuple(notes))


def remove_left(tree: Tree, name: str) -> None:
    """Remove the groups of a pilot that could not do so itself. Nothing may live in them any more."""
    for _, group in _own_groups(tree):
        parent = group[: -len(SELF) - 1] if group.endswith("/" + SELF) else group
        if f"{PREFIX}{name}" in tree.names(parent):
            remove(tree, f"{parent}/{PREFIX}{name}")
            step_back(tree, parent)


def pids_left(tree: Tree, name: str) -> list[int]:
    """The processes in the groups of a pilot that could not end them itself."""
    found: list[int] = []
    for _, group in _own_groups(tree):
        parent = group[: -len(SELF) - 1] if group.endswith("/" + SELF) else group
        path = f"{parent}/{PREFIX}{name}"
        if f"{PREFIX}{name}" in tree.names(parent):
            for place in (path, *(f"{path}/{inner}" for inner in tree.names(path))):
                found += controls.pids(tree.read(f"{place}/cgroup.procs"))
    return found


def _own_groups(tree: Tree) -> Iterator[tuple[Mount, str]]:
    """Each hierarchy of interest, and the directory of our group in it."""
    ours = parse_membership(tree.read("/proc/self/cgroup") or "")
    for mount in parse_mounts(tree.read("/proc/self/mountinfo") or ""):
        used = [name for name in mount.controllers if name in controls.USED[1]]
        path = ours.get(used[0] if used else "")
        if path is not None and (used or not mount.controllers):
            yield mount, next(ancestry(mount, path))


def _usable(tree: Tree, mount: Mount, parent: str) -> tuple[int, tuple[str, ...]]:
    """The version, and the controllers that groups below `parent` can have; of version 2, made so. Raises OSError."""
    if mount.controllers:
        return 1, tuple(name for name in mount.controllers if name in controls.USED[1])
    there = (tree.read(f"{parent}/cgroup.controllers") or "").split()
    wanted = tuple(name for name in controls.USED[2] if name in there)
    enabled = (tree.read(f"{parent}/cgroup.subtree_control") or "").split()
    missing = [name for name in wanted if name not in enabled]
    if missing:
        _enable(tree, parent, " ".join(f"+{name}" for name in missing))
    return 2, wanted


def _enable(tree: Tree, parent: str, controllers: str, tries: int = 3) -> None:
    """Step aside and enable them. Raises OSError."""
    step_aside(tree, parent)
    try:
        tree.write(f"{parent}/cgroup.subtree_control", controllers)
    except OSError as error:
        if error.errno != errno.EBUSY or tries <= 1:
            raise
        _enable(tree, parent, controllers, tries - 1)  # somebody in there has just started a process


def _sweep(tree: Tree, parent: str) -> None:
    """Remove what pilots have left that were killed: empty groups that nobody holds."""
    for name in tree.names(parent):
        path = f"{parent}/{name}"
        if name.startswith(PREFIX) and name != SELF and tree.age(path) > STALE and not _in_use(tree, path):
            remove(tree, path)


def _in_use(tree: Tree, path: str) -> bool:
    if tree.held(path):
        return True
    places = [path, *(f"{path}/{inner}" for inner in tree.names(path))]
    return any(controls.pids(tree.read(f"{place}/cgroup.procs")) for place in places)


def trial(start: Callable[[], int], end: Callable[[int], None]) -> Callable[[GroupEnclosures], str]:
    """A trial: a process of our own is let in, is seen inside, and the group goes again."""

    def try_out(made: GroupEnclosures) -> str:
        pid = 0
        try:
            enclosure = made.enclose("trial", Bounds(memory=64 * 1024 * 1024, cores=1, processes=64))
            try:
                pid = start()
                enclosure.admit(pid)
                seen = pid in enclosure.members()
            finally:
                if pid:
                    end(pid)
                enclosure.close()
        except OSError as error:
            return f"a trial of control groups failed: {error}"
        return "" if seen else "a trial of control groups failed: a process that was let in is not inside"

    return try_out
