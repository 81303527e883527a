"""Where secrets are seen: in what the system shows of processes, and in files."""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

#: Seconds between two looks at the processes.
PAUSE = 0.02
SHOWN = ("cmdline", "comm", "environ")
_BASE64_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")


def forms(secret: str) -> set[bytes]:
    """A secret as it may stand somewhere; of a key in base64 its bytes too."""
    found = {secret.encode(), quote(secret, safe="").encode(), base64.b64encode(secret.encode())}
    if _BASE64_KEY.fullmatch(secret):
        raw = base64.b64decode(secret)
        found |= {raw, raw.hex().encode(), repr(raw)[2:-1].encode(), base64.urlsafe_b64encode(raw).rstrip(b"=")}
    return found


def seen(secrets: Mapping[str, Collection[str]], text: bytes) -> list[str]:
    """The kinds of secrets that stand in a text."""
    return [kind for kind, every in secrets.items() if any(form in text for one in every for form in forms(one))]


class Processes:
    """What the system has shown of every process that was started since: command line, name, environment."""

    def __init__(self) -> None:
        self.shown: dict[bytes, int] = {}  # what, of which process first
        self.pids: set[int] = set()
        self._before = set(_pids())
        self._stop = threading.Event()

    def look(self) -> None:
        for pid in _pids():
            if pid in self._before:
                continue
            self.pids.add(pid)
            for name in SHOWN:
                try:
                    self.shown.setdefault(Path(f"/proc/{pid}/{name}").read_bytes(), pid)
                except OSError:
                    continue  # it has ended

    def watch(self) -> None:
        while not self._stop.wait(PAUSE):
            self.look()

    def end(self) -> None:
        self._stop.set()


@contextmanager
def watched_processes() -> Iterator[Processes]:
    """Look at them all the time, for as long as the block lasts."""
    processes = Processes()
    thread = threading.Thread(target=processes.watch)
    thread.start()
    try:
        yield processes
    finally:
        processes.end()
        thread.join()


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def files_with(folder: Path, secrets: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Every file below a folder in which secrets stand, with their kinds."""
    found = {}
    for path in (Path(place, name) for place, _, names in os.walk(folder) for name in names):
        try:
            kinds = seen(secrets, path.read_bytes()) if path.is_file() else []
        except OSError:
            continue  # it went meanwhile
        if kinds:
            found[str(path.relative_to(folder))] = kinds
    return found
