"""What a step has put into its folder, once it has ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilot.errors import PilotageError
from pilot.payloads.slot_users import SlotUser, SlotUsers
from pilot.steps import leaving
from pilot.steps.leaving import leave

USER = SlotUser("slot23456", 23456, 23456)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def users(busy: bool = False) -> SlotUsers:
    made = SlotUsers([USER], lambda uid: False, lambda uid: True, lambda uid: None)
    assert made.take() == USER
    made.busy = lambda uid: busy
    return made


def installed(top: Path) -> Path:
    """A folder of the user's with a program that is too open, below another folder."""
    inner = top / "place" / "inner"
    inner.mkdir(parents=True)
    (inner / "tool").write_text("x")
    for path in (top / "place", inner, inner / "tool"):
        os.chown(path, USER.uid, USER.gid)
        path.chmod(0o6777 if path.is_file() else 0o777)
    return top / "place"


@as_root
def test_nothing_stays_with_the_user_of_a_step(tmp_path: Path) -> None:
    """Files and folders become the pilot's, without rights to set a user or to write, and the user may be taken."""
    place, mine, cleared = installed(tmp_path), users(), list[int]()
    leave(mine, USER, place, cleared.append)
    for path in (place, place / "inner", place / "inner" / "tool"):
        about = path.stat()
        assert about.st_uid == 0
        assert about.st_mode & 0o7777 == 0o755
    assert mine.any_free()
    assert cleared == [USER.uid]


@as_root
def test_links_lead_nowhere(tmp_path: Path) -> None:
    """A link becomes the pilot's itself; where it leads, and other names of other people's files, stay as they were."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").write_text("x")
    os.chown(outside / "theirs", USER.uid, USER.gid)
    (tmp_path / "shared").write_text("x")
    os.chown(tmp_path / "shared", 23457, 23457)
    (tmp_path / "shared").chmod(0o666)
    place = installed(tmp_path)
    (place / "link").symlink_to(outside)
    os.lchown(place / "link", USER.uid, USER.gid)
    os.link(tmp_path / "shared", place / "hard")
    leave(users(), USER, place, lambda uid: None)
    assert (place / "link").lstat().st_uid == 0
    assert (outside / "theirs").stat().st_uid == USER.uid
    assert ((tmp_path / "shared").stat().st_uid, (tmp_path / "shared").stat().st_mode & 0o777) == (23457, 0o666)


def test_a_user_with_processes_is_not_given_back(tmp_path: Path) -> None:
    """Where something of a step cannot be ended its user is never taken again, and the step has failed."""
    mine = users(busy=True)
    with pytest.raises(PilotageError, match="processes of the user 23456 cannot be ended"):
        leave(mine, USER, tmp_path, lambda uid: None)
    assert not mine.any_free()


def test_what_cannot_be_taken_over_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that stays its user's is nothing that payloads may use."""

    def refuse(path: Path, uid: int) -> None:
        raise OSError("no")

    monkeypatch.setattr(leaving, "take_over", refuse)
    (tmp_path / "place").mkdir()
    with pytest.raises(PilotageError, match="is removed: no"):
        leave(users(), USER, tmp_path / "place", lambda uid: None)
    assert not (tmp_path / "place").exists()
