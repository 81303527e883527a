"""A payload that tries to get at what is not its own. Prints one line for each try: ``got NAME …`` or ``denied NAME``.

It is run as ``python3 intruder.py PATH…``: files and directories of others, beside what it finds by itself. ``WORK/``
at the beginning of one stands for the work directory of its pilot.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PTRACE_ATTACH, PTRACE_DETACH = 16, 17


def attempt(name, act):
    try:
        print("got", name, act(), flush=True)
    except (OSError, PermissionError) as error:
        print("denied", name, type(error).__name__, flush=True)


def contents(path):
    return sorted(os.listdir(path)) if os.path.isdir(path) else Path(path).read_bytes()[:80]


def overwrite(path):
    with open(path, "ab") as file:
        return file.write(b"forged")


def memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        start = next(int(line.split("-")[0], 16) for line in maps if " r" in line)
        file.seek(start)
        return file.read(16)


def traced(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
        raise PermissionError(ctypes.get_errno(), "ptrace")
    os.waitpid(pid, 0)
    libc.ptrace(PTRACE_DETACH, pid, None, None)
    return "attached"


def ancestors():
    pid = os.getppid()
    while pid > 1:
        if os.stat(f"/proc/{pid}").st_uid != os.getuid():
            yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def main(paths):
    work = str(Path(os.environ["PILOTAGE_JOB_TOKEN_FILE"]).parents[2])
    for path in (path.replace("WORK", work, 1) for path in paths):
        attempt(f"read {path}", lambda path=path: contents(path))
        if not os.path.isdir(path):
            attempt(f"write {path}", lambda path=path: overwrite(path))
    for pid in ancestors():
        for name in ("environ", "maps", "fd", "cwd/."):
            attempt(f"{name} of {pid}", lambda pid=pid, name=name: contents(f"/proc/{pid}/{name}"))
        attempt(f"memory of {pid}", lambda pid=pid: memory(pid))
        attempt(f"trace of {pid}", lambda pid=pid: traced(pid))
        attempt(f"signal to {pid}", lambda pid=pid: os.kill(pid, signal.SIGCONT))
    attempt("root", lambda: os.setuid(0))
    own = Path(os.environ["PILOTAGE_JOB_TOKEN_FILE"])
    print("own token", own.read_text(), flush=True)
    print("open files", sorted(os.listdir("/proc/self/fd"))[:-1], flush=True)
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    print("groups", os.getgroups(), flush=True)
    print("rights", status["NoNewPrivs"], *(int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")))


if __name__ == "__main__":
    main(sys.argv[1:])
