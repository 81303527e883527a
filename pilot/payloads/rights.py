"""Reading what a payload has written with the payload's rights: a link that it left leads no further than it could go.

Where the pilot is root and the payload is not, root's rights must not be lent to names that the payload chose.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Optional

from pilot.errors import PilotageError
from pilot.payloads.slot_users import SlotUser

_PR_SET_NO_NEW_PRIVS = 38
#: An id that nobody has: asking for it changes nothing, and tells which one holds.
_NOBODY = 0xFFFFFFFF


@contextmanager
def acting_as(user: Optional[SlotUser]) -> Iterator[None]:
    """For files, be this user: in this thread alone, until the end of the block. None: nothing changes."""
    if user is None:
        yield
        return
    ours = (os.geteuid(), os.getegid())
    _become(user.uid, user.gid)
    try:
        yield
    finally:
        _become(*ours)


def forget_groups() -> None:
    """Leave the groups that this process has beside its own: `acting_as` would keep them."""
    os.setgroups([])


def gain_nothing() -> None:
    """What this thread starts from now on gains no rights by set-user-id programs, nor does what that starts."""
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise PilotageError("this kernel cannot keep payloads from gaining rights (no_new_privs)")


def _become(uid: int, gid: int) -> None:
    """The group first, while that is still allowed, and last on the way back: both orders work for root's threads."""
    libc = _libc()
    for change, wanted in ((libc.setfsgid, gid), (libc.setfsuid, uid), (libc.setfsgid, gid)):
        change(ctypes.c_uint32(wanted))
    if libc.setfsuid(ctypes.c_uint32(_NOBODY)) & _NOBODY != uid or libc.setfsgid(ctypes.c_uint32(_NOBODY)) != gid:
        raise PilotageError(f"this thread cannot act for user {uid} and group {gid}: the pilot is not root")


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
