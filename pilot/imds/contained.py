"""Runs the trial in a container, as payloads that ask for one are."""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional

from pilot.imds.payload import printed
from pilot.payloads import rights
from pilot.payloads.slot_users import SlotUser
from pilot.singularity import probe
from pilot.singularity.runtime import Runtime, host_environment


def as_payload_in(runtime: Runtime, user: Optional[SlotUser], program: str) -> bytes:
    """Run a program of Python's in a container of that user's. Raises OSError likewise."""
    with tempfile.TemporaryDirectory(prefix="pilotage-guard-") as folder:
        probe.mount_points(Path(folder, "image"))
        if user is not None:
            os.chown(folder, user.uid, user.gid)
        words = [*probe.bare(runtime, Path(folder, "image")), _python(), "-I", "-S", "-"]
        private = {"HOME": folder, f"{runtime.prefix}_CONFIGDIR": folder, f"{runtime.prefix}_TMPDIR": folder}
        rights_too = user is not None and runtime.userns  # a setuid runtime gains some, as it does for payloads
        with ThreadPoolExecutor(1, initializer=rights.gain_nothing if rights_too else None) as apart:
            environment = host_environment(os.environ, private.items())
            return apart.submit(printed, words, program, user, environment).result()


def _python() -> str:
    """One that is where programs are, and so seen in a container. Raises OSError."""
    for place in (os.path.realpath(sys.executable), "/usr/bin/python3", "/usr/libexec/platform-python"):
        if place.startswith("/usr/") and os.access(place, os.X_OK):
            return place
    raise OSError("there is no Python below /usr")
