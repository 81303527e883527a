"""Proves that payloads do not reach the metadata service of their cloud: tries it as a payload's user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from pilot.node.discovery import GUARDED
from pilot.payloads import rights
from pilot.payloads.slot_users import SlotUser, SlotUsers
from pilot.protocol import Fact
from pilot.singularity import probe
from pilot.singularity.runtime import Runtime, host_environment

#: Seconds for a trial; it bounds itself by less.
PATIENCE = 10.0
#: Bytes of what one prints.
MOST = 16 * 1024


@dataclass(frozen=True)
class Tried:
    """What a trial found. `exposed` is None where it could not be made."""

    exposed: Optional[bool]
    why: str

    def facts(self) -> tuple[Fact, ...]:
        """`imds_exposed`, and the tag of that name."""
        return tuple(Fact(name, self.exposed, self.why) for name in GUARDED)


#: Runs the trial's text as a user (None: as ourselves), and returns what it printed. Raises OSError.
Run = Callable[[Optional[SlotUser], str], bytes]


@dataclass(frozen=True)
class Guard:
    """Of one pilot. `users`: as whom its payloads run, None: as the pilot. `cut`: what is wrong with the cut, if so."""

    users: Optional[SlotUsers]
    cut: str
    run: Run
    inside: Callable[[], Optional[Run]] = lambda: None  # the same in a container, where payloads may have one

    def facts(self) -> tuple[Fact, ...]:
        """Try it now."""
        if self.users is None:
            return self.tried(None).facts()
        user = self.users.take()
        if user is None:
            return Tried(None, "no user of payloads was free to try it as").facts()
        try:
            return self.tried(user).facts()
        finally:
            self.users.give_back(user)

    def tried(self, user: Optional[SlotUser]) -> Tried:
        """What comes of it as that user, and as that user in a container: the worse of the two."""
        who = f"the user {user.uid}" if user else "the pilot's user"
        found = _try(self.run, user, who)
        inside = self.inside() if found.exposed is False else None
        if inside is not None:
            within = _try(inside, user, f"{who} in a container")
            found = Tried(False, f"{found.why}; and in a container") if within.exposed is False else within
        return found if found.exposed is False or not self.cut else Tried(found.exposed, f"{found.why}; {self.cut}")


def _try(run: Run, user: Optional[SlotUser], who: str) -> Tried:
    try:
        return parse(run(user, text()), who)
    except OSError as error:
        return Tried(None, f"whether {who} reaches the metadata service could not be tried: {error}")


def parse(printed: bytes, who: str) -> Tried:
    """What the trial of that user has printed."""
    try:
        said = json.loads(printed)
        answered, tried = [str(way)[:200] for way in said["answered"]], int(said["tried"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Tried(None, f"the trial as {who} said nothing that can be read")
    if answered:
        more = f", and in {len(answered) - 1} other ways" if len(answered) > 1 else ""
        return Tried(True, f"{who} reaches the metadata service by {answered[0]}{more}")
    return Tried(False, f"tried as {who} at {tried} addresses, by GET, by EC2's token, as GCE, Azure and OpenStack")


def text() -> str:
    """The trial's program."""
    return Path(__file__).with_name("trial.py").read_text(encoding="utf-8")


def as_payload(user: Optional[SlotUser], program: str) -> bytes:
    """Run a program of Python's that becomes the user of its two arguments. Raises OSError, also when it takes too
    long."""
    whom = () if user is None else (str(user.uid), str(user.gid))
    # In a thread of its own: what gains no rights once never does again.
    with ThreadPoolExecutor(1, initializer=None if user is None else rights.gain_nothing) as apart:
        return apart.submit(printed, [sys.executable, "-I", "-S", "-", *whom], program).result()


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


def printed(
    words: Sequence[str], given: str, user: Optional[SlotUser] = None, environment: Optional[Mapping[str, str]] = None
) -> bytes:
    """What a program prints that gets this input, started as that user. Raises OSError."""
    try:
        ran = subprocess.run(
            list(words),
            input=given.encode(),
            capture_output=True,
            cwd="/",
            env=environment or {"LC_ALL": "C"},
            start_new_session=True,
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else [],
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"it did not end within {PATIENCE:g} s") from error
    if not ran.stdout:
        last = ran.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise OSError(f"exit code {ran.returncode}: {' '.join(last)[:200]}")
    return ran.stdout[:MOST]
