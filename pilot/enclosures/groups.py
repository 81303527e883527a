"""Enclosures made of control groups: one directory in each hierarchy that this pilot may use."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pilot.enclosures import controls
from pilot.enclosures.ports import Bounds, Counted
from pilot.enclosures.tree import Tree

#: How the groups of pilots are called: this and a name.
PREFIX = "pilotage-"
#: The group that pilots move to where they may not stay.
SELF = "pilotage-self"


@dataclass(frozen=True)
class Base:
    """The pilot's own group in one hierarchy, in which it makes one for each payload."""

    path: str
    version: int
    controllers: tuple[str, ...]  # those that bound and count here

    def below(self, name: str) -> Base:
        return Base(f"{self.path}/{name}", self.version, self.controllers)


class GroupEnclosure:
    """One payload's groups, see `pilot.enclosures.ports.Enclosure`."""

    def __init__(self, tree: Tree, groups: Sequence[Base]) -> None:
        self.tree = tree
        self.groups = tuple(groups)

    def admit(self, pid: int) -> None:
        for group in self.groups:
            self.tree.write(f"{group.path}/cgroup.procs", str(pid))

    def members(self) -> list[int]:
        return sorted(set().union(*map(self._inside, self.groups)))

    def outside(self, pids: Iterable[int]) -> list[int]:
        everywhere = set.intersection(*map(self._inside, self.groups))
        return sorted(set(pids) - everywhere)

    def _inside(self, group: Base) -> set[int]:
        return set(controls.pids(self.tree.read(f"{group.path}/cgroup.procs")))

    def count(self) -> Counted:
        found = Counted(processes=len(self._inside(self.groups[0])))
        for group in self.groups:
            counted = controls.counted(
                group.version,
                group.controllers,
                lambda name, group=group: self.tree.read(f"{group.path}/{name}"),  # type: ignore[misc]
            )
            found = controls.added(found, counted)
        return found

    def kill(self) -> None:
        for group in self.groups:
            if "pids" in group.controllers:
                self._try(f"{group.path}/pids.max", "0")
        for group in self.groups:
            if group.version == 2:
                self._try(f"{group.path}/cgroup.kill", "1")

    def close(self) -> None:
        for group in self.groups:
            remove(self.tree, group.path)

    def _try(self, path: str, text: str) -> None:
        try:
            self.tree.write(path, text)
        except OSError:
            pass  # an older kernel, or it is gone: processes are killed one by one as well


class GroupEnclosures:
    """Makes enclosures in these groups of the pilot, see `pilot.enclosures.ports.Enclosures`."""

    def __init__(self, tree: Tree, bases: Sequence[Base], kill: bool) -> None:
        self.tree = tree
        self.bases = tuple(bases)
        self.kill = kill
        self._lock = threading.Lock()

    @property
    def described(self) -> str:
        parts = []
        for version in (2, 1):
            names = sorted({name for base in self.bases if base.version == version for name in base.controllers})
            if version == 2 and self.kill:
                names.append("kill")
            if names:
                parts.append(f"cgroup v{version}: {', '.join(names)}")
        return "; ".join(parts)

    def enclose(self, name: str, bounds: Bounds) -> GroupEnclosure:
        enclosure = GroupEnclosure(self.tree, [base.below(name) for base in self.bases])
        with self._lock:
            enclosure.close()  # of an attempt with that name that could not be removed then
            try:
                for base, group in zip(self.bases, enclosure.groups):
                    self.tree.make(group.path)
                    _inherit(self.tree, base, group)
                    _write(self.tree, group, bounds)
            except OSError:
                enclosure.close()
                raise
        return enclosure

    def close(self) -> None:
        for base in self.bases:
            self.tree.let_go(base.path)
            remove(self.tree, base.path)
            if base.version == 2:
                step_back(self.tree, base.path.rsplit("/", 1)[0])


def step_aside(tree: Tree, parent: str) -> None:
    """Leave the group to groups. At the very top, which alone has no `cgroup.type`, everybody may stay."""
    inside = controls.pids(tree.read(f"{parent}/cgroup.procs"))
    if not inside or tree.read(f"{parent}/cgroup.type") is None:
        return
    if SELF not in tree.names(parent):
        tree.make(f"{parent}/{SELF}")
    _move(tree, inside, f"{parent}/{SELF}")


def step_back(tree: Tree, parent: str) -> None:
    """Everybody returns, and the group is as it was, once no pilot has groups in it any more."""
    names = tree.names(parent)
    if SELF not in names or any(name.startswith(PREFIX) and name != SELF for name in names):
        return
    try:
        enabled = (tree.read(f"{parent}/cgroup.subtree_control") or "").split()
        if enabled:
            tree.write(f"{parent}/cgroup.subtree_control", " ".join(f"-{name}" for name in enabled))
        _move(tree, controls.pids(tree.read(f"{parent}/{SELF}/cgroup.procs")), parent)
        tree.remove(f"{parent}/{SELF}")
    except OSError:
        pass  # another pilot has just come, and is served by things as they are


def _move(tree: Tree, pids: Sequence[int], place: str) -> None:
    for pid in pids:
        tree.write(f"{place}/cgroup.procs", str(pid))


def make_base(tree: Tree, base: Base) -> None:
    """Make the pilot's own group, and hold it. Raises OSError."""
    tree.make(base.path)
    tree.hold(base.path)
    parent = Base(base.path.rsplit("/", 1)[0], base.version, base.controllers)
    _inherit(tree, parent, base)
    if base.version == 2 and base.controllers:
        tree.write(f"{base.path}/cgroup.subtree_control", " ".join(f"+{name}" for name in base.controllers))


def _inherit(tree: Tree, parent: Base, group: Base) -> None:
    """Version 1 lets no process into a group whose sets of CPUs and memory nodes are empty, as they are at first."""
    if group.version == 1 and "cpuset" in group.controllers:
        for name in ("cpuset.cpus", "cpuset.mems"):
            tree.write(f"{group.path}/{name}", (tree.read(f"{parent.path}/{name}") or "").strip())


def _write(tree: Tree, group: Base, bounds: Bounds) -> None:
    for write in controls.writes(group.version, group.controllers, bounds):
        _carry_out(tree, group, write)


def _carry_out(tree: Tree, group: Base, write: controls.Write) -> None:
    try:
        tree.write(f"{group.path}/{write.file}", write.text)
    except OSError:
        if not write.optional:
            raise


def remove(tree: Tree, path: str) -> None:
    """A group and those below it, as far as no process is in them."""
    for name in tree.names(path):
        remove(tree, f"{path}/{name}")
    try:
        tree.remove(path)
    except OSError:
        pass
