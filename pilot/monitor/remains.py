"""What runs still of a pilot whose monitor was killed: its agents, and whatever its payloads started. All of it ends.

An orphan has a new parent, so it is told by what it was given: an agent by its command line, a payload by its attempt's
folder, in its environment or as the place where it works, and whoever is below one of these.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable

from pilot import procfs
from pilot.procfs import Process

#: Seconds for what was killed to be gone.
PATIENCE = 10.0
_PAUSE = 0.02


def end_remains(work: Path, pids: Callable[[], Sequence[int]] = tuple) -> int:
    """Kill what is left of the pilot that works in this folder. Returns how many processes would not go.

    `pids`: more that belong to it, as the members of its control groups. Only root sees what other users run.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        # Stopped first: who starts new processes as fast as others are killed would never end.
        seen: dict[int, Process] = {}
        while new := [one for one in _living(work, pids()) if one.pid not in seen]:
            for one in new:
                seen[one.pid] = one
                _send(one, signal.SIGSTOP)
        if not seen:
            return 0
        for one in seen.values():
            _send(one, signal.SIGKILL)
        if time.monotonic() >= deadline:
            return len(seen)
        time.sleep(_PAUSE)


def _living(work: Path, more: Sequence[int]) -> list[Process]:
    """Those that belong to the pilot, with all below them, as of now."""
    everybody = {one.pid: one for one in _everybody()}
    below: dict[int, list[int]] = {}
    for one in everybody.values():
        below.setdefault(one.parent, []).append(one.pid)
    waiting = [pid for pid in everybody if pid in more or _belongs(pid, work)]
    found: dict[int, Process] = {}
    ours = {os.getpid(), *_above(os.getpid(), everybody)}
    while waiting:
        pid = waiting.pop()
        if pid in everybody and pid not in found and pid not in ours:
            found[pid] = everybody[pid]
            waiting += below.get(pid, ())
    return [one for one in found.values() if not one.over]


def _belongs(pid: int, work: Path) -> bool:
    return is_agent(procfs.words(pid), work) or works_in(work, procfs.environment(pid), procfs.folder(pid))


def is_agent(words: Sequence[bytes], work: Path) -> bool:
    """Whether a command line is that of an agent of the pilot in this folder, or of a step of it."""
    if b"--work" not in words or b"--fd" not in words or not {b"agent", b"step"} & set(words):
        return False
    place = words.index(b"--work") + 1
    return place < len(words) and words[place] == os.fsencode(work)


def works_in(work: Path, environment: Sequence[bytes], folder: str) -> bool:
    """Whether a process was given the folder of an attempt of this pilot's, or works in it."""
    attempts = f"{work}/attempts/"
    given = b"PILOTAGE_GRANT_FILE=" + os.fsencode(attempts)
    return folder.startswith(attempts) or any(variable.startswith(given) for variable in environment)


def _above(pid: int, everybody: dict[int, Process]) -> Iterator[int]:
    """Its parents: whoever has started us is not ours to end, wherever it works."""
    seen = set()
    while pid in everybody and pid not in seen:
        seen.add(pid)
        pid = everybody[pid].parent
        yield pid


def _everybody() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        about = procfs.process(int(name)) if name.isdigit() else None
        if about is not None:
            yield about


def _send(one: Process, number: int) -> None:
    now = procfs.process(one.pid)
    if now is None or now.started != one.started:
        return
    try:
        os.kill(one.pid, number)
    except OSError:
        pass  # gone, or another user's
