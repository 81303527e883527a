"""A user per slot, where the pilot is root: who runs which payload, so that none can read or signal another or us.

A user is taken for one attempt, and for one pilot of this machine at a time: the lock is a byte of one file, at the
place of the user's number. One that has processes already is somebody's, and is passed over: ending a payload ends
everything that its user runs. So is one whose last attempt has left its folder, as that of a pilot that died.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from pilot.errors import InvalidInput, PilotageError
from pilot.payloads.marks import Marks

#: Numbers below this belong to the system on every Linux.
LEAST = 100
#: Users that one pilot may have.
MOST = 4096
#: Where the lock file is, the first that exists. Only root makes it.
LOCK_PLACES = ("/run", "/var/run", "/var")
LOCK_NAME = "pilotage-slot-users"
_RANGE = re.compile(r"(\d{1,10})-(\d{1,10})")


@dataclass(frozen=True)
class SlotUser:
    """As whom one attempt runs."""

    name: str
    uid: int
    gid: int


def parse_users(text: str, where: str, lookup: Callable[[str], pwd.struct_passwd] = pwd.getpwnam) -> list[SlotUser]:
    """A range of user ids (``20000-20063``, each its own group), or names with commas. Raises `InvalidInput`."""
    found = _RANGE.fullmatch(text.strip())
    if found:
        first, last = int(found[1]), int(found[2])
        if not LEAST <= first <= last or last - first >= MOST or last >= 2**32 - 1:
            raise InvalidInput(where, f"expected at most {MOST} user ids from {LEAST}, as 20000-20063, got {text!r}")
        return [SlotUser(f"slot{number}", number, number) for number in range(first, last + 1)]
    users = [_named(name.strip(), where, lookup) for name in text.split(",") if name.strip()]
    if not users or len({user.uid for user in users}) < len(users):
        raise InvalidInput(where, f"expected a range as 20000-20063, or names of different users, got {text!r}")
    return users


def _named(name: str, where: str, lookup: Callable[[str], pwd.struct_passwd]) -> SlotUser:
    try:
        entry = lookup(name)
    except KeyError:
        raise InvalidInput(where, f"expected users of this machine, and there is no {name!r}") from None
    if entry.pw_uid < LEAST or entry.pw_gid < LEAST:
        raise InvalidInput(where, f"expected users for payloads alone, and {name!r} belongs to the system")
    return SlotUser(name, entry.pw_uid, entry.pw_gid)


def closed_to(place: Path, user: SlotUser) -> Optional[Path]:
    """The folder above a place, or above where its links lead, that does not let a user through; None where all do."""
    for folder in dict.fromkeys((*reversed(place.absolute().parents), *reversed(place.resolve().parents))):
        about = folder.stat()
        right = 0o100 if about.st_uid == user.uid else 0o010 if about.st_gid == user.gid else 0o001
        if not about.st_mode & right:
            return folder
    return None


def cannot_enter(place: Path, users: Sequence[SlotUser]) -> str:
    """A sentence about the first user that cannot get to a place, and the folder in its way; empty: all can."""
    for user in users:
        folder = closed_to(place, user)
        if folder is not None:
            return (
                f"payloads would run as the user with the id {user.uid}, who cannot enter {place}: {folder} does not"
                " let that user through. Have the pilot work in a place that does, or run without `slot_users`"
            )
    return ""


class SlotUsers:
    """The users of one pilot. Any method may be called from any thread.

    `busy` says whether a user has processes, `lock` tries to have a user for this process alone, `unlock` gives back.
    `marks` says where the attempts of users are; None: nobody else needs to know.
    """

    def __init__(
        self,
        users: Sequence[SlotUser],
        busy: Callable[[int], bool],
        lock: Callable[[int], bool],
        unlock: Callable[[int], None],
        marks: Optional[Marks] = None,
    ) -> None:
        self.free = list(users)  # least recently used first
        self.busy = busy
        self.lock = lock
        self.unlock = unlock
        self.marks = marks
        self._guard = threading.Lock()

    def any_free(self) -> bool:
        with self._guard:
            return bool(self.free)

    def take(self, place: Optional[Path] = None) -> Optional[SlotUser]:
        """One whom nobody uses; None when there is none just now. `place`: the folder that will hold its secrets.

        Raises `PilotageError` where that cannot be written down.
        """
        with self._guard:
            for user in self.free:
                if not self.lock(user.uid):
                    continue
                if self.busy(user.uid) or (self.marks is not None and self.marks.stands(user.uid)):
                    self.unlock(user.uid)
                    continue
                self._mark(user, place)
                self.free.remove(user)
                return user
            return None

    def _mark(self, user: SlotUser, place: Optional[Path]) -> None:
        if self.marks is None or place is None:
            return
        try:
            self.marks.put(user.uid, place)
        except OSError as error:
            self.unlock(user.uid)
            raise PilotageError(f"the place of the user {user.uid} cannot be written down: {error}") from error

    def give_back(self, user: SlotUser) -> None:
        """Nothing runs as this user any more; it is the last that is taken again."""
        with self._guard:
            if self.marks is not None:
                self.marks.remove(user.uid)
            self.unlock(user.uid)
            self.free.append(user)


class UserLocks:
    """Locks between the pilots of this machine. They end with the process that holds them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1

    def lock(self, uid: int) -> bool:
        if self._file < 0:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, uid)
        except (BlockingIOError, PermissionError):  # both are how systems say that another has it
            return False
        return True

    def unlock(self, uid: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, uid)


def lock_file(exists: Callable[[str], bool] = os.path.isdir) -> Path:
    """Where the pilots of this machine meet."""
    return Path(next(filter(exists, LOCK_PLACES), "/")) / LOCK_NAME


def processes_of(uid: int) -> list[int]:
    """The processes that run as a user, by effective user or by the one who started them."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and uid in _uids(name)]


def _uids(pid: str) -> tuple[int, ...]:
    """Real, effective and saved user of a process that is not over."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return ()
    state = re.search(r"^State:\s+(\S)", text, re.M)
    found = re.search(r"^Uid:((?:\s+\d+){3})", text, re.M)
    if not found or (state and state[1] in "XZ"):
        return ()
    return tuple(int(word) for word in found[1].split())


def users_of(text: str) -> SlotUsers:
    """The users for payloads that a queue names. Raises `InvalidInput`, also where we are not root."""
    if os.geteuid() != 0:
        raise InvalidInput("slot_users", "expected root: only it can start payloads as other users")
    users = parse_users(text, "slot_users")
    locks = UserLocks(lock_file())
    return SlotUsers(users, lambda uid: bool(processes_of(uid)), locks.lock, locks.unlock, Marks(locks.path))
