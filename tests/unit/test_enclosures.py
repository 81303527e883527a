"""Control groups: what is written to bound a payload, what counters say, and which groups a pilot may use."""

from __future__ import annotations

import pytest

from pilot.enclosures.controls import Write, counted, writes
from pilot.enclosures.finding import find, remove_left, trial
from pilot.enclosures.groups import GroupEnclosures
from pilot.enclosures.ports import Bounds, Counted
from tests.unit.cgroup2 import Cgroup2

ALL = ("cpu", "cpuset", "io", "memory", "pids")
SCOPE = "/user.slice/pilot.scope"
BOUNDS = Bounds(memory=500_000_000, cores=2, cpus=(3, 5), processes=100)
PILOT, SHELL, PAYLOAD = 100, 90, 200


def scope(*groups: str, controllers: tuple[str, ...] = ALL, foreign: tuple[str, ...] = ("/", "/user.slice")) -> Cgroup2:
    """A machine where a scope is delegated to the pilot's user, who started the pilot from a shell."""
    tree = Cgroup2(SCOPE, "/user.slice", *groups, controllers=controllers, foreign=foreign)
    tree.groups[tree.place].processes = {PILOT, SHELL}
    return tree


def found(tree: Cgroup2, name: str = "a-1") -> GroupEnclosures:
    made = find(tree, name, lambda _: "").enclosures
    assert made is not None
    return made


def test_what_is_written_in_version_2() -> None:
    """Each controller that is there bounds what it can, with swap and half-killed payloads left out where possible."""
    assert writes(2, ("cpu", "cpuset", "memory", "pids"), BOUNDS) == (
        Write("cpu.max", "200000 100000"),
        Write("cpuset.cpus", "3,5", optional=True),
        Write("memory.max", "500000000"),
        Write("memory.swap.max", "0", optional=True),
        Write("memory.oom.group", "1", optional=True),
        Write("pids.max", "100"),
    )


def test_what_is_written_in_version_1() -> None:
    """The same in the words of version 1."""
    assert writes(1, ("cpu", "cpuacct", "cpuset", "memory", "pids"), BOUNDS) == (
        Write("cpu.cfs_period_us", "100000"),
        Write("cpu.cfs_quota_us", "200000"),
        Write("cpuset.cpus", "3,5"),
        Write("memory.limit_in_bytes", "500000000"),
        Write("memory.memsw.limit_in_bytes", "500000000", optional=True),
        Write("pids.max", "100"),
    )


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_not_bounded_is_not_written(version: int) -> None:
    """Without bounds nothing is written."""
    assert writes(version, ALL, Bounds()) == ()


@pytest.mark.parametrize(
    ("events", "kills", "starved"),
    [("oom 0\noom_kill 0\n", 0, 0), ("oom 3\noom_kill 2\n", 2, 0), ("oom 0\noom_kill 2\n", 0, 2), (None, 0, 0)],
)
def test_whose_memory_was_short(events: str | None, kills: int, starved: int) -> None:
    """A kill counts as the payload's own when its group had reached its bound, else as want of the machine."""
    files = {
        "memory.stat": "anon 1000\nfile 500\nshmem 24\n",
        "cpu.stat": "usage_usec 2500000\n",
        "memory.events": events,
    }
    assert counted(2, ("memory",), files.get) == Counted(2.5, 1024, 0, kills, starved)


@pytest.mark.parametrize(
    ("most", "kills", "starved"), [("499900000\n", 1, 0), ("500000000\n", 1, 0), ("300000000\n", 0, 1)]
)
def test_version_1_shows_the_highest_use(most: str, kills: int, starved: int) -> None:
    """Where a kernel does not count how often the bound was met, the highest use tells."""
    files = {
        "memory.stat": "rss 1\ntotal_rss 7\ntotal_shmem 3\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        "memory.failcnt": "0\n",
        "memory.max_usage_in_bytes": most,
        "memory.limit_in_bytes": "500000000\n",
    }
    assert counted(1, ("memory",), files.get) == Counted(None, 10, 0, kills, starved)
    assert counted(1, ("cpuacct",), {"cpuacct.usage": "1500000000\n"}.get) == Counted(cpu=1.5)


def test_a_delegated_group_is_used() -> None:
    """The pilot and its shell step aside, and a payload's group has bounds and lets it in."""
    tree = scope()
    made = found(tree)
    assert made.described == "cgroup v2: cpu, cpuset, memory, pids, kill"
    assert tree.inside(PILOT) == tree.inside(SHELL) == f"{tree.place}/pilotage-self"
    enclosure = made.enclose("7.1", BOUNDS)
    group = tree.groups[f"{tree.place}/pilotage-a-1/7.1"]
    assert group.written == {
        "cpu.max": "200000 100000",
        "cpuset.cpus": "3,5",
        "memory.max": "500000000",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "100",
    }
    enclosure.admit(PAYLOAD)
    assert enclosure.members() == [PAYLOAD]
    assert enclosure.outside([PAYLOAD, SHELL]) == [SHELL]
    assert enclosure.count().processes == 1
    enclosure.kill()
    assert group.written["pids.max"] == "0"
    assert enclosure.members() == []
    enclosure.close()
    made.close()
    assert [path for path in tree.groups if "pilotage" in path] == []
    assert tree.groups[tree.place].processes == {PILOT, SHELL}
    assert tree.groups[tree.place].enabled == set()


def test_another_agent_is_beside_the_first() -> None:
    """An agent that finds itself in the group to which pilots step aside makes its groups beside it."""
    tree = scope()
    first = found(tree)
    tree.home = f"{SCOPE}/pilotage-self"
    second = found(tree, "a-2")
    second.enclose("8.1", BOUNDS)
    assert f"{tree.top}{SCOPE}/pilotage-a-2/8.1" in tree.groups
    first.close()
    assert tree.inside(PILOT).endswith("/pilotage-self")  # the second still needs the place
    second.close()
    assert tree.inside(PILOT) == tree.top + SCOPE


def test_what_is_not_ours_is_left_alone() -> None:
    """Where the pilot's group was not delegated, nothing changes and the reason is told."""
    tree = scope(foreign=("/", "/user.slice", SCOPE))
    result = find(tree, "a-1", lambda _: "")
    assert result.enclosures is None
    assert result.notes == (f"{tree.place}: not ours to write to",)
    assert tree.inside(PILOT) == tree.place
    assert len(tree.groups) == 3


def test_some_controllers_are_better_than_none() -> None:
    """Only what was enabled above can be used; without any, an enclosure still knows and kills its processes."""
    assert found(scope(controllers=("memory", "pids"))).described == "cgroup v2: memory, pids, kill"
    bare = scope(controllers=())
    made = found(bare)
    assert made.described == "cgroup v2: kill"
    assert bare.inside(PILOT) == bare.place  # nothing to step aside for
    enclosure = made.enclose("7.1", BOUNDS)
    enclosure.admit(PAYLOAD)
    enclosure.kill()
    assert enclosure.members() == []


def test_at_the_top_nobody_steps_aside() -> None:
    """The top group may have processes and groups: root's pilot stays where it is."""
    tree = Cgroup2("/", controllers=ALL)
    tree.groups[tree.top].processes = {PILOT, 1}
    made = found(tree)
    assert tree.inside(PILOT) == tree.inside(1) == tree.top
    assert made.enclose("7.1", BOUNDS).groups[0].path == f"{tree.top}/pilotage-a-1/7.1"


def test_who_starts_a_process_meanwhile_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is started in the pilot's group while it steps aside is moved as well."""
    tree = scope()
    late = [300]
    write = tree.write

    def racing(path: str, text: str) -> None:
        if path.endswith("subtree_control") and late:
            tree.groups[tree.place].processes.add(late.pop())
        write(path, text)

    monkeypatch.setattr(tree, "write", racing)
    found(tree)
    assert tree.inside(300).endswith("/pilotage-self")


def test_older_kernels_lack_files() -> None:
    """What a kernel lacks that is not essential is left out; the rest holds."""
    tree = scope()
    tree.lacks = {"memory.swap.max", "memory.oom.group", "cgroup.kill"}
    made = found(tree)
    assert "kill" not in made.described
    enclosure = made.enclose("7.1", BOUNDS)
    enclosure.admit(PAYLOAD)
    enclosure.kill()
    assert enclosure.members() == [PAYLOAD]  # they are killed one by one, and no new ones come
    assert tree.groups[f"{tree.place}/pilotage-a-1/7.1"].written["pids.max"] == "0"


def test_a_bound_that_cannot_be_set_is_a_fault() -> None:
    """An enclosure without an essential bound is none: it is refused, and nothing of it stays."""
    tree = scope()
    made = found(tree)
    tree.lacks = {"memory.max"}
    with pytest.raises(OSError, match="No such file"):
        made.enclose("7.1", BOUNDS)
    assert f"{tree.place}/pilotage-a-1/7.1" not in tree.groups


def test_groups_are_tried_first() -> None:
    """A process of ours is let in before any payload; when that fails nothing is used, and nothing stays."""
    ended: list[int] = []
    tree = scope()
    assert find(tree, "a-1", trial(lambda: PAYLOAD, ended.append)).enclosures is not None
    assert ended == [PAYLOAD]

    class Deaf(Cgroup2):
        def _move(self, place: str, group: object, pid: int) -> None:
            if place.endswith("trial"):
                raise OSError(95, "Operation not supported")
            super()._move(place, group, pid)  # type: ignore[arg-type]

    deaf = Deaf(SCOPE, "/user.slice", controllers=ALL, foreign=("/", "/user.slice"))
    result = find(deaf, "a-1", trial(lambda: PAYLOAD, ended.append))
    assert result.enclosures is None
    assert "Operation not supported" in result.notes[-1]
    assert ended == [PAYLOAD, PAYLOAD]
    assert [path for path in deaf.groups if "pilotage-a" in path] == []


def test_what_others_left_is_swept() -> None:
    """Empty groups of pilots that were killed go; those that somebody lives in or holds stay, and young ones."""
    tree = scope(
        *(f"{SCOPE}/pilotage-{name}" for name in ("old", "old/1.1", "lived-in", "lived-in/2.1", "young", "held")),
        f"{SCOPE}/of-somebody-else",
    )
    tree.groups[f"{tree.place}/pilotage-lived-in/2.1"].processes = {300}
    tree.groups[f"{tree.place}/pilotage-held"].held = True
    for path, group in tree.groups.items():
        group.age = 60.0 if path.endswith("young") else 7200.0
    found(tree)
    names = {path.rsplit("/", 1)[1] for path in tree.groups}
    assert {"pilotage-lived-in", "2.1", "pilotage-young", "pilotage-held", "of-somebody-else"} <= names
    assert not {"pilotage-old", "1.1"} & names


def test_a_monitor_removes_what_its_agent_left() -> None:
    """By name, and no other's."""
    tree = scope()
    found(tree).enclose("7.1", BOUNDS)
    found(tree, "b-1")
    remove_left(tree, "a-1")
    assert [path.rsplit("/", 1)[1] for path in tree.groups if "pilotage-" in path] == ["pilotage-self", "pilotage-b-1"]
