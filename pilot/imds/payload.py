"""Runs the trial as payloads are run: as one of their users, who gains no right that they do not have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Optional

from pilot.payloads import rights
from pilot.payloads.slot_users import SlotUser

#: Seconds for a trial; it bounds itself by less.
PATIENCE = 10.0
#: Bytes of what one prints.
MOST = 16 * 1024


def as_payload(user: Optional[SlotUser], program: str) -> bytes:
    """Run a program of Python's that becomes the user of its two arguments. Raises OSError, also when it takes too
    long."""
    whom = () if user is None else (str(user.uid), str(user.gid))
    # In a thread of its own: what gains no rights once never does again.
    with ThreadPoolExecutor(1, initializer=None if user is None else rights.gain_nothing) as apart:
        return apart.submit(printed, [sys.executable, "-I", "-S", "-", *whom], program).result()


def printed(
    words: Sequence[str], given: str, user: Optional[SlotUser] = None, environment: Optional[Mapping[str, str]] = None
) -> bytes:
    """What a program prints that gets this input, started as that user. Raises OSError."""
    try:
        ran = subprocess.run(
            list(words),
            input=given.encode(),
            capture_output=True,
            cwd="/",
            env=environment or {"LC_ALL": "C"},
            start_new_session=True,
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else [],
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"it did not end within {PATIENCE:g} s") from error
    if not ran.stdout:
        last = ran.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise OSError(f"exit code {ran.returncode}: {' '.join(last)[:200]}")
    return ran.stdout[:MOST]
