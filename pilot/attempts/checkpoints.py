"""The checkpoint of an attempt: files that are saved when it is preempted, and put where the next attempt finds them.

A checkpoint is whole or it is nothing: half of one could make a payload go on wrongly, where beginning anew only takes
longer. What an earlier attempt saved stays with the job until a later one has saved all of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pilot.attempts.carrier import Carrier
from pilot.attempts.outputs import MAX_OUTPUTS, TooDeep
from pilot.destinations.port import Pause
from pilot.errors import InvalidInput, Refusal
from pilot.jobfile import relative_path
from pilot.persist import Stopped, persist
from pilot.protocol import InputFile, OutputFile, OutputRule


class Checkpoint:
    """Saves and restores for one attempt, in its thread. `pause` waits between tries and says when to stop."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier

    # -- at the end ---------------------------------------------------------------------------------------------------

    def save(self, pause: Pause) -> tuple[tuple[OutputFile, ...], str]:
        """Bring to the sandbox store what the job lists: all files that were saved, or none and a sentence why."""
        rules = tuple(OutputRule(pattern) for pattern in self.carrier.lease.spec.checkpoint)
        try:
            collected = self.carrier.find(rules)
        except TooDeep as problem:
            return (), f"no checkpoint was saved: {problem}"
        if collected.beyond:
            return (), f"no checkpoint was saved: it has more than {MAX_OUTPUTS:,} files"
        if collected.refused:
            return (), f"no checkpoint was saved: {'; '.join(collected.refused)}"
        try:
            saved = tuple([self.carrier.bring(output, pause) for output in collected.outputs.values()])
        except (Refusal, OSError, Stopped) as problem:
            return (), f"no checkpoint was saved: {problem}"
        return saved, "" if saved else "there were no files for a checkpoint"

    # -- at the beginning ---------------------------------------------------------------------------------------------

    def restore(self, aside: Path, pause: Pause) -> str:
        """Put the files of the lease's checkpoint into the directory, over what is there; `aside` is a place to bring
        them to until all are there. Returns why the attempt begins anew instead. Raises `Stopped`."""
        files = self.carrier.lease.checkpoint
        if not files:
            return ""
        aside.mkdir(mode=0o700)
        try:
            names = [relative_path(file.name, "checkpoint") for file in files]
            places = [self._fetch(file, aside / str(number), pause) for number, file in enumerate(files)]
            for place, name in zip(places, names):
                _put(place, self.carrier.directory, name.split("/"))
        except (Refusal, InvalidInput) as problem:
            return f"it began anew, because its checkpoint cannot be had: {problem}"
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return ""

    def _fetch(self, file: InputFile, place: Path, pause: Pause) -> Path:
        carrier = self.carrier
        persist(lambda: carrier.sandboxes.fetch(carrier.lease, file.sha256, file.size, place), pause, carrier.random)
        return place


def _put(place: Path, directory: Path, parts: Sequence[str]) -> None:
    """Move a file to its name below the directory. What is in its way was an input, and makes way."""
    folder = directory
    for part in parts[:-1]:
        folder = folder / part
        if not folder.is_dir():
            folder.unlink(missing_ok=True)
            folder.mkdir(mode=0o700)
    target = folder / parts[-1]
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(place, target)
