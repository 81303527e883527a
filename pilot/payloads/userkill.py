"""Ends everything that a payload's user runs, in one call of the kernel: no process can fork its way past it."""

from __future__ import annotations

import os
import subprocess

from pilot.payloads.slot_users import LEAST

#: The shell looks at who it is before it kills everybody that it may: only what is built into it, for a user that may
#: not start another process. The kernel spares the one that calls.
_SCRIPT = (
    'while read -r name one two three four; do case "$name" in Uid:)'
    ' [ "$one" = "$1" ] && [ "$two" = "$1" ] && [ "$three" = "$1" ] && [ "$four" = "$1" ] && kill -s KILL -- -1;;'
    " esac; done </proc/self/status"
)
#: Seconds that this may take; a payload may stop or kill the process that does it.
_PATIENCE = 2.0


def kill_all_of(uid: int) -> None:
    """SIGKILL to every process of this user, which is one of payloads alone. For root; nothing is raised."""
    if uid < LEAST or uid == os.getuid():
        return
    try:
        subprocess.run(
            ["/bin/sh", "-c", _SCRIPT, "kill", str(uid)],
            user=uid,
            group=uid,
            extra_groups=[],
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.SubprocessError):
        pass  # the caller looks again who is left, and kills one by one
