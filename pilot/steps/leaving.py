"""What a step leaves: its folder is the pilot's from then on, and its user may become another payload's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

from pilot.attempts.directory import remove
from pilot.errors import PilotageError
from pilot.payloads.slot_users import SlotUser, SlotUsers
from pilot.payloads.user_traces import remove_all_of

#: What nobody may do any more with what a step has put into its folder.
_CLEARED = stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH


def leave(
    users: SlotUsers, user: SlotUser, place: Optional[Path], clear: Callable[[int], None] = remove_all_of
) -> None:  # fmt: skip
    """Give back the user of a step that has ended, once nothing is left that its next payload could change.

    Raises `PilotageError` where that cannot be had: then the folder is gone, or the user is never taken again.
    """
    if users.busy(user.uid):
        raise PilotageError(f"processes of the user {user.uid} cannot be ended: what it installed is not to be trusted")
    problem = "" if place is None else _taken_over(place, user.uid)
    clear(user.uid)
    users.give_back(user)
    if problem:
        raise PilotageError(f"what it installed could not be made the pilot's, and is removed: {problem}")


def _taken_over(place: Path, uid: int) -> str:
    """Why not; empty: it was."""
    try:
        take_over(place, uid)
    except OSError as error:
        remove(place)
        return str(error)
    return ""


def take_over(top: Path, uid: int) -> None:
    """What is this user's in a folder becomes ours, and nobody else's to write. Nothing may run as the user.

    Raises OSError. Links are not followed, and what else is there, as another name of somebody's file, stays his.
    """
    for path in _tree(str(top)):
        about = os.lstat(path)
        if about.st_uid != uid:
            continue
        if not stat.S_ISLNK(about.st_mode):
            os.chmod(path, stat.S_IMODE(about.st_mode) & ~_CLEARED)  # first: never ours and set-user-id
        os.lchown(path, os.geteuid(), -1)


def _tree(top: str) -> Iterator[str]:
    """A folder with all that is below, however deep."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        yield folder
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    yield entry.path
