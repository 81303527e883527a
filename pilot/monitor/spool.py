"""What must reach the central, kept on disk until it has: reports, given back leases, steps, in order.

Each is a file of one line, written aside and renamed. A full disk stops nobody: what cannot be written is kept in
memory, and the log says so.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Union

from pilot import messages, protocol
from pilot.errors import InvalidInput
from pilot.states import Phase

#: What is spooled, as it came over the link.
Item = Union[messages.Report, messages.Release, messages.Step]


@dataclass
class Entry:
    """One item on its way."""

    number: int
    item: Item
    path: Optional[Path]  # None: only in memory
    size: int  # bytes
    sending: bool = False
    not_before: float = float("-inf")
    failures: int = 0

    @property
    def line(self) -> object:
        """Entries of one line are delivered in order; lines do not wait for each other."""
        if isinstance(self.item, messages.Report):
            return self.item.job, self.item.attempt
        return type(self.item)


class Spool:
    """The folder of undelivered items. For any thread."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say
        self._entries: dict[int, Entry] = {}
        self._last = 0
        self._lock = threading.Lock()
        self.changed = threading.Event()

    def open(self) -> None:
        """Make the folder, and take up what is in it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in sorted(self.folder.glob("*.json")):
            try:
                line = path.read_bytes()
                item = messages.unpack(line.strip())
                number = int(path.stem)
            except (OSError, InvalidInput, ValueError) as error:
                self.say(f"{path} is no report and stays where it is: {error}")
                continue
            if isinstance(item, (messages.Report, messages.Release, messages.Step)):
                self._entries[number] = Entry(number, item, path, len(line))
                self._last = max(self._last, number)
        self.changed.set()

    def put(self, item: Item) -> None:
        """Keep it, safely once this returns. An earlier phase of the same attempt that waits is overtaken by it."""
        line = messages.pack(item)
        with self._lock:
            self._last += 1
            number = self._last
        entry = Entry(number, item, self._write(number, line), len(line))
        with self._lock:
            overtaken = [other for other in self._entries.values() if _overtakes(item, other)]
            for other in overtaken:
                del self._entries[other.number]
            self._entries[number] = entry
        for other in overtaken:
            _unlink(other)
        self.changed.set()

    def due(self, now: float) -> tuple[Optional[Entry], float]:
        """The entry to send now, marked so; else None, and the seconds until there may be one."""
        wait = 60.0
        with self._lock:
            blocked: set[object] = set()
            for entry in self._entries.values():
                line = entry.line
                if line not in blocked and not entry.sending and entry.not_before <= now:
                    entry.sending = True
                    return entry, 0.0
                if line not in blocked and not entry.sending:
                    wait = min(wait, entry.not_before - now)
                blocked.add(line)
        return None, wait

    def again(self, entry: Entry, not_before: float) -> None:
        """It was not delivered; try again later."""
        with self._lock:
            entry.sending = False
            entry.failures += 1
            entry.not_before = not_before

    def done(self, entry: Entry) -> None:
        """It was accepted, or refused for good."""
        with self._lock:
            self._entries.pop(entry.number, None)
        _unlink(entry)
        self.changed.set()

    def content(self) -> protocol.Spool:
        """How much there is, for a heartbeat."""
        with self._lock:
            size = sum(entry.size for entry in self._entries.values())
            return protocol.Spool(reports=len(self._entries), bytes=size)

    @property
    def results(self) -> int:
        """How many are worth waiting for: reports on attempts. The rest says nothing once the pilot has gone."""
        with self._lock:
            return sum(isinstance(entry.item, messages.Report) for entry in self._entries.values())

    def ended(self) -> set[tuple[int, int]]:
        """The attempts, as job and number, whose end is in it."""
        with self._lock:
            items = [entry.item for entry in self._entries.values()]
        reports = [item for item in items if isinstance(item, messages.Report)]
        return {(item.job, item.attempt) for item in reports if item.report.phase is Phase.ENDED}

    def close(self) -> None:
        """Leave nothing behind but results that were not delivered."""
        with self._lock:
            entries = list(self._entries.values())
        for entry in entries:
            if not isinstance(entry.item, messages.Report):
                self.done(entry)
        try:
            self.folder.rmdir()
        except OSError:
            pass  # something is in it, and stays

    def _write(self, number: int, line: bytes) -> Optional[Path]:
        path = self.folder / f"{number:010d}.json"
        aside = path.with_suffix(".part")
        try:
            with open(aside, "wb", opener=_private) as file:
                file.write(line)
            aside.rename(path)
        except OSError as error:
            aside.unlink(missing_ok=True)
            self.say(f"a report is kept in memory only, {path} cannot be written: {error}")
            return None
        return path


def _overtakes(item: Item, other: Entry) -> bool:
    """Whether an entry need not be sent any more, since the same attempt is further now."""
    return (
        isinstance(item, messages.Report)
        and isinstance(other.item, messages.Report)
        and other.line == (item.job, item.attempt)
        and other.item.report.phase is not Phase.ENDED
        and not other.sending
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _unlink(entry: Entry) -> None:
    if entry.path is not None:
        try:
            entry.path.unlink()
        except OSError:
            pass  # gone already, or not to be removed: the central refuses or accepts it once more, harmlessly
