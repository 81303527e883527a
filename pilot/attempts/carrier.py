"""Finds what a payload has left in its job's directory, and brings it to the sandbox store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from commands.context import Sandboxes
from pilot.attempts.outputs import Collected, Output, collect, digest_of
from pilot.payloads.slot_users import SlotUser
from pilot.persist import Stopped, persist
from pilot.protocol import Lease, OutputFile, OutputRule

#: The destination that every pilot can reach, and the word that says so in a report.
SANDBOX = "sandbox"

Pause = Callable[[float], bool]


@dataclass(frozen=True)
class Carrier:
    """Of one attempt, in its thread."""

    lease: Lease
    directory: Path
    sandboxes: Sandboxes
    random: Callable[[], float]
    owner: Optional[SlotUser] = None  # of the files: nothing is read that this user could not read

    def find(self, rules: Sequence[OutputRule]) -> Collected:
        """What the rules name. Raises `TooManyOutputs`."""
        return collect(rules, self.directory, self.owner)

    def bring(self, output: Output, pause: Pause) -> OutputFile:
        """Store one file. `pause` waits between tries and says when to stop. Raises `Refusal`, `OSError`, `Stopped`."""
        if pause(0):
            raise Stopped(None)
        sha256, size = digest_of(output.path, self.owner)
        persist(lambda: self.sandboxes.store(self.lease, output.path, sha256, size), pause, self.random)
        return OutputFile(output.name, size, sha256, (SANDBOX,))
