"""Processes of the node: taking in orphans, ending whole trees, keeping ourselves out of harm's way. Linux only."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Callable

from pilot import procfs

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
#: For `subprocess`: a process group of its own, to end it with all that it started. In our session, where that can be
#: had: what has ended in another one the watchdog may wait for before we do, and its exit code is lost.
APART: dict[str, Any] = {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}
#: Looks for processes that are to be stopped before they are killed.
LOOKS = 20


def become_subreaper() -> bool:
    """From now on orphans below this process become its children, whatever session they fled to. Whether it worked."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_dumps() -> bool:
    """No other process of this user may read our memory, and no core file holds it. Until the next exec."""
    return _prctl(_PR_SET_DUMPABLE, 0)


def protect_from_oom() -> int:
    """Let the kernel take others first when memory runs out, as far as we may ask for it. Returns the score adjustment.

    To be called before `forbid_dumps`, after which the file is not ours any more. Without rights it stays as it is, but
    payloads go before us: they carry the highest.
    """
    path = Path("/proc/self/oom_score_adj")
    for wanted in (-900, -500, 0):
        try:
            if int(path.read_text()) <= wanted:
                break
            path.write_text(str(wanted))
            break
        except (OSError, ValueError):
            continue
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def children(pid: int) -> list[int]:
    """The direct children of a process, those that have ended and were not reaped included."""
    return procfs.children(pid) if procfs.kernel_lists_children() else procfs.all_children().get(pid, [])


def reap(spared: Collection[int] = ()) -> list[int]:
    """Take leave of every child that has ended, but of those spared, for whom somebody waits. Returns their ids."""
    reaped: list[int] = []
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return reaped
        if ended is None or ended.si_pid in spared:
            return reaped
        os.waitpid(ended.si_pid, os.WNOHANG)
        reaped.append(ended.si_pid)


def end_all_children(patience: float, spared: Collection[int] = (), now: Callable[[], float] = time.monotonic) -> bool:
    """Kill everything below this process but what is spared and below, and reap it. Whether that was done in time.

    Needs `become_subreaper`: when a child is killed, its children become ours, and are the next. As only children that
    we have not reaped are killed, no stranger that has taken over a process id can be hit. All are stopped before: who
    brings forth new processes as fast as others are killed would never end.
    """
    deadline = now() + patience
    while True:
        _stop_all(spared)
        for child in set(children(os.getpid())).difference(spared):
            _send(child, signal.SIGKILL)
        reap(spared)
        if set(children(os.getpid())) <= set(spared):
            return True
        if now() >= deadline:
            return False
        time.sleep(0.01)


def _stop_all(spared: Collection[int]) -> None:
    """Stop everything below this process. Who was just being born is found by another look, a few times."""
    stopped: set[int] = set()
    for _ in range(LOOKS):
        found = set(_below(os.getpid(), spared)) - stopped
        if not found:
            return
        for pid in found:
            _send(pid, signal.SIGSTOP)
        stopped |= found


def _below(pid: int, spared: Collection[int]) -> Iterator[int]:
    """Everything below a process, however long its chains are, but what is spared and below."""
    waiting = [pid]
    while waiting:
        for child in set(children(waiting.pop())).difference(spared):
            yield child
            waiting.append(child)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass  # gone, or another user's, as a set-user-id program of the node


def lift_file_limit(most: int) -> None:
    """Raise our own limit of open files as far as we may, up to `most`."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _prctl(option: int, value: int) -> bool:
    try:
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
