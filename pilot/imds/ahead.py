"""The trial, begun by the monitor before its pilot is enrolled, for the agents to find done.

Where payloads cannot be cut off its packets may vanish, and it waits for them: beside what has to be waited for anyway,
instead of making the first job wait. What came of it is in a file that is locked until then.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from pilot.errors import PilotageError

if TYPE_CHECKING:
    from pilot.imds.guard import Tried

#: The file's name in the pilot's folder, where payloads have no right to anything.
NAME = "imds"
#: Bytes of it that are read.
MOST = 16 * 1024
#: Seconds that are waited for it, several times what it may take; then agents try it themselves.
PATIENCE = 30.0


def begin(work: Path, make: Callable[[], Tried]) -> None:
    """Let `make` try it in a thread: whoever is started from now on can wait for what comes of it.

    Raises OSError where the folder takes no file.
    """
    place = work / NAME
    place.unlink(missing_ok=True)  # that of an earlier monitor
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with suppress(OSError):  # no locks here: agents find an empty file, and try it themselves
        fcntl.flock(handle, fcntl.LOCK_EX)
    threading.Thread(target=_write, args=(handle, make), name="imds", daemon=True).start()


def _write(handle: int, make: Callable[[], Tried]) -> None:
    with open(handle, "wb") as file, suppress(OSError, PilotageError):  # likewise, and they say what was wrong
        file.write(json.dumps(asdict(make())).encode())


def awaited(work: Path) -> Optional[Tried]:
    """What came of it, once it is done; None where none was begun, or it could not be made."""
    from pilot.imds.guard import Tried

    try:
        with (work / NAME).open("rb") as file:
            _share(file.fileno(), time.monotonic() + PATIENCE)
            told = json.loads(file.read(MOST))
    except (OSError, ValueError):
        return None
    return Tried(told["exposed"], told["why"]) if told["exposed"] is not None else None


def _share(handle: int, end: float) -> None:
    """Lock it beside others. Raises OSError where that cannot be had until then."""
    while not _shared(handle):
        if time.monotonic() > end:
            raise TimeoutError("what is begun ahead has not come to an end")
        time.sleep(0.02)


def _shared(handle: int) -> bool:
    """Whether it is locked beside others now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def cut_and_tried(slot_users: str) -> Tried:
    """Cut these users off and try it as one of them; as ourselves where payloads have no users of their own.

    Raises OSError and `PilotageError` where that cannot be done. What is wrong with the cut is for the agents to say.
    """
    from pilot.imds import cut, guard, payload
    from pilot.payloads.slot_users import users_of

    users = users_of(slot_users) if slot_users else None
    if users is not None:
        cut.cut_off([user.uid for user in users.free], cut.run_as_root)
    return guard.Guard(users, "", payload.as_payload).tried()
