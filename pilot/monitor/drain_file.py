"""Drain by touching a file: what a site admin does who wants this computer emptied, with no account at any central.

The first line of the file is the reason, told to the central. The files may lie on a network file system that hangs, so
they are looked at in a thread of their own.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Callable, Optional

from pilot import policy

#: Seconds between two looks.
INTERVAL = 5.0
#: Characters of the reason.
MAX_REASON = 200


class DrainFiles:
    """The files of one pilot: the site's own, those that its policies name, and that of its configuration.

    `found` is called once, from the thread, with the file and the reason in it (perhaps empty).
    """

    def __init__(
        self, named_policy: Optional[Path], named_file: Optional[Path], found: Callable[[Path, str], None]
    ) -> None:
        self.named_policy = named_policy
        self.named_file = named_file
        self.found = found

    def run(self, stop: threading.Event) -> None:
        """Look until one is there, or until told to stop."""
        paths = policy.heed(self.named_policy).drain_files
        if self.named_file is not None:
            paths = (*paths, self.named_file)
        while True:
            for path in paths:
                reason = reason_in(path)
                if reason is not None:
                    self.found(path, reason)
                    return
            if stop.wait(INTERVAL):
                return


def reason_in(path: Path) -> Optional[str]:
    """The first line of a file that is there, empty where it cannot be read; None while there is none."""
    try:
        os.stat(path)
    except OSError:
        return None  # not there, or on a file system that is away: as before
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            text = file.read(4 * MAX_REASON)
    except OSError:
        return ""
    line = text.decode("utf-8", "replace").partition("\n")[0].strip()
    return "".join(character for character in line if character.isprintable())[:MAX_REASON]
