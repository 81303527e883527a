"""Users for payloads: how a queue names them, who is taken, and what is passed over."""

from __future__ import annotations

import json
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.context import GpuDevice
from pilot.attempts.grant import grant_text
from pilot.attempts.slots import Slot
from pilot.attempts.watchdog import Limits
from pilot.errors import InvalidInput, PilotageError
from pilot.payloads.marks import Marks
from pilot.payloads.slot_users import SlotUser, SlotUsers, cannot_enter, lock_file, parse_users
from tests.pilot_fakes import shell


def lookup(name: str) -> pwd.struct_passwd:
    known = {"work1": (2001, 3001), "work2": (2002, 3002), "twin": (2001, 3001), "root": (0, 0), "daemon": (1, 1)}
    uid, gid = known[name]
    return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))


class Machine:
    """Whose processes run, and whom other pilots have."""

    def __init__(self) -> None:
        self.busy: set[int] = set()
        self.others: set[int] = set()
        self.locked: list[int] = []

    def lock(self, uid: int) -> bool:
        if uid in self.others:
            return False
        self.locked.append(uid)
        return True

    def users(self, text: str = "20000-20002") -> SlotUsers:
        return SlotUsers(parse_users(text, ""), self.busy.__contains__, self.lock, self.locked.remove)


def test_a_range_or_names() -> None:
    """A range makes users of its numbers, each its own group; names are those of the machine."""
    assert parse_users("20000-20001", "q") == [SlotUser("slot20000", 20000, 20000), SlotUser("slot20001", 20001, 20001)]
    assert parse_users("work1, work2", "q", lookup) == [SlotUser("work1", 2001, 3001), SlotUser("work2", 2002, 3002)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0-5", "from 100"),
        ("20005-20000", "20000-20063"),
        ("1000-9000", "at most 4096"),
        ("4294967000-4294967295", "user ids"),
        ("work1, nobody-of-that-name", "there is no 'nobody-of-that-name'"),
        ("root", "belongs to the system"),
        ("daemon", "belongs to the system"),
        ("work1, twin", "different users"),
        (" , ", "expected a range"),
    ],
)
def test_who_is_no_user_for_payloads(text: str, problem: str) -> None:
    """Users of the system, unknown and doubled ones are refused with a sentence."""
    with pytest.raises(InvalidInput, match=problem):
        parse_users(text, "slot_users", lookup)


def test_the_least_recently_used_is_taken() -> None:
    """A user that was given back is the last that is taken again."""
    users = Machine().users()
    first = users.take()
    assert first is not None
    users.give_back(first)
    taken = [users.take() for _ in range(3)]
    assert [user.uid for user in taken if user] == [20001, 20002, 20000]
    assert users.take() is None
    assert not users.any_free()


def test_who_is_busy_is_passed_over() -> None:
    """A user with processes, or one that another pilot has, is not taken, and may be later."""
    machine = Machine()
    machine.busy, machine.others = {20000}, {20001}
    users = machine.users()
    taken = users.take()
    assert taken is not None
    assert taken.uid == 20002
    assert machine.locked == [20002]
    assert users.take() is None
    assert users.any_free()  # as far as we know
    machine.busy.clear()
    again = users.take()
    assert again is not None
    assert again.uid == 20000
    users.give_back(again)
    assert machine.locked == [20002]


def test_whose_folder_is_left_is_passed_over(tmp_path: Path) -> None:
    """A user of a pilot that died is not taken while the folder with its secrets is there; after that it is."""
    marks, left = Marks(tmp_path / "lock"), tmp_path / "attempts" / "1.1"
    machine = Machine()
    dead, living = machine.users("20000-20001"), machine.users("20000-20001")
    dead.marks = living.marks = marks
    assert dead.take(left) == SlotUser("slot20000", 20000, 20000)
    machine.locked.clear()  # as locks of a process that has ended
    left.mkdir(parents=True)
    other = living.take(tmp_path / "elsewhere")
    assert other is not None
    assert other.uid == 20001
    assert living.take() is None
    assert machine.locked == [20001]
    left.rmdir()
    again = living.take()
    assert again is not None
    assert again.uid == 20000


def test_who_was_given_back_may_be_taken_though_its_folder_is_kept(tmp_path: Path) -> None:
    """What a pilot has cleared of secrets, and keeps for somebody to look at, bars nobody."""
    users = Machine().users("20000-20000")
    users.marks = Marks(tmp_path / "lock")
    user = users.take(tmp_path)
    assert user is not None
    assert users.marks.stands(20000)
    users.give_back(user)
    assert users.take() == user


def test_a_mark_is_removed_by_the_pilot_whose_folder_it_names(tmp_path: Path) -> None:
    """Who takes up a pilot's folder ends the marks of its attempts, and of no others; nobody else reads them."""
    marks, place = Marks(tmp_path / "lock"), tmp_path / "attempts" / "1.1"
    place.mkdir(parents=True)
    marks.put(20000, place)
    marks.put(20000, place)
    assert stat.S_IMODE((tmp_path / "lock.20000").stat().st_mode) == 0o600
    marks.remove_below(20000, tmp_path / "others")
    assert marks.stands(20000)
    marks.remove_below(20000, tmp_path / "attempts")
    assert not marks.stands(20000)


def test_a_user_whose_mark_cannot_be_made_is_not_taken(tmp_path: Path) -> None:
    """It stays free, and unlocked."""
    machine = Machine()
    users = machine.users()
    users.marks = Marks(tmp_path / "absent" / "lock")
    with pytest.raises(PilotageError, match="the place of the user 20000 cannot be written down"):
        users.take(tmp_path)
    assert machine.locked == []
    assert len(users.free) == 3


def test_pilots_meet_where_only_root_writes() -> None:
    """The lock file is in the first of the system's places that exists."""
    assert str(lock_file(lambda _: True)) == "/run/pilotage-slot-users"
    assert str(lock_file(lambda place: place == "/var")) == "/var/pilotage-slot-users"


def test_the_grant_is_told() -> None:
    """The file of a grant holds what was granted and what bounds it, in numbers."""
    slot = Slot(2, memory=5, disk=6, cpus=(1, 4), gpus=(GpuDevice(1, "GPU-5fe1", "A100", 40),))
    limits = Limits(wall_time=60, memory=5, disk=6, cpu_time=120, processes=100, no_progress=None)
    assert json.loads(grant_text(shell(3, "true", attempt=2), slot, limits)) == {
        "job": 3,
        "attempt": 2,
        "cores": 2,
        "cpus": [1, 4],
        "memory": 5,
        "disk": 6,
        "gpus": [{"index": 1, "uuid": "GPU-5fe1", "model": "A100", "memory": 40}],
        "wall_time": 60,
        "cpu_time": 120,
        "processes": 100,
        "no_progress": None,
        "grace": 1,
    }


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can get to, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="pilotage-")).resolve()
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_lets_no_payload_through_is_named(open_folder: Path) -> None:
    """Who cannot get to the pilot's place is named by number, with the folder in the way, also behind a link."""
    closed, place = open_folder / "closed", open_folder / "closed" / "pilot"
    place.mkdir(parents=True)
    (open_folder / "link").symlink_to(place)
    about = closed.stat()
    stranger, fellow = SlotUser("slot20000", 20000, 20000), SlotUser("slot20001", 20001, about.st_gid)
    closed.chmod(0o711)
    assert cannot_enter(place, [stranger, fellow]) == ""
    closed.chmod(0o710)
    assert cannot_enter(place, [fellow]) == ""
    for way in (place, open_folder / "link" / "work"):
        told = cannot_enter(way, [fellow, stranger])
        assert f"the user with the id 20000, who cannot enter {way}: {closed} does not let that user through" in told
    closed.chmod(0o700)
    assert "id 20001" in cannot_enter(place, [fellow, stranger])
    assert cannot_enter(place, [SlotUser("me", about.st_uid, 1)]) == ""
