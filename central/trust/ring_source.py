"""Where a central has its key ring from: a file of its folder, the environment, or a credential of systemd.

Of the last two the source is read and never written: what time adds to the ring follows from what is there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from central.configuration.settings import KEY_RINGS, Service
from central.folder import Folder
from central.trust import keys
from central.trust.ring_variable import VARIABLE
from central.trust.seal import Key, KeyRing, write_secret
from pilot.errors import PilotageError

FILE, ENVIRONMENT, CREDENTIAL = KEY_RINGS
#: Where systemd says that a service's credentials are, and how the ring is called there.
DIRECTORY, NAME = "CREDENTIALS_DIRECTORY", "keys.json"


@dataclass(frozen=True)
class RingSource:
    """One of the `KEY_RINGS`. `where`: how sentences name it; `path`: its file; `text`: what the environment had."""

    kind: str
    where: str
    path: Path | None = None
    text: str | None = field(default=None, repr=False)

    @property
    def read_only(self) -> bool:
        return self.kind != FILE

    def look(self, now: float) -> KeyRing:
        """The ring as it is now. Nothing is written. Raises `PilotageError`."""
        return keys.ring_of(self._renewed(now))

    def load(self, now: float) -> KeyRing:
        """The same for who serves: a file gets the keys that time has added, and loses those that nobody needs."""
        found = self._renewed(now)
        if self.path and not self.read_only and found != self._keys():
            write_secret(self.path, keys.written(found))
        return keys.ring_of(found)

    def add_unrelated(self, now: float, output: Path | None = None) -> Key:
        """Put a key into the ring that follows from none before: what it seals is safe though an older one is known.

        With `output` the source stays as it is, and the whole ring is there.
        """
        before = self._keys()
        if before[-1].made > now - keys.LONGEST:  # others may have sealed under those that have come meanwhile
            before = keys.renewed(before, now, written=not self.read_only)
        key = keys.unrelated(max(now, before[-1].made))
        grown = keys.written((*before, key))
        if output:
            _write_new(output, grown)
        elif self.path and not self.read_only:
            write_secret(self.path, grown)
        else:
            raise PilotageError(
                f"the key ring is {self.where}, which is only read: say `--output FILE`, and put that file in its place"
            )
        return key

    def handed_on(self) -> bytes:
        """What a worker is told on its standard input: a line, where it cannot read the ring itself."""
        return b"" if self.kind != ENVIRONMENT else keys.written(self._keys()).replace(b"\n", b"") + b"\n"

    def _renewed(self, now: float) -> tuple[Key, ...]:
        return keys.renewed(self._keys(), now, written=not self.read_only)

    def _keys(self) -> tuple[Key, ...]:
        if self.text is not None:
            return keys.read(self.text.encode(errors="replace"), self.where)
        assert self.path is not None  # noqa: S101 - it has either
        return keys.read(_content(self.path, self.kind), self.where)


def ring_source(folder: Folder, service: Service, environment: Mapping[str, str], given: str | None) -> RingSource:
    """What the settings name. `given`: what `taken` has returned. Raises `PilotageError`; nothing is read yet."""
    if service.key_ring != ENVIRONMENT and given is not None:
        raise PilotageError(
            f"{VARIABLE} is set, and central.toml says central.key_ring = {service.key_ring!r}: say 'environment'"
            " there, or take the variable away"
        )
    if service.key_ring == ENVIRONMENT:
        if not given or not given.strip():
            raise PilotageError(
                f"central.toml says central.key_ring = 'environment', and {VARIABLE} is"
                f" {'not set' if given is None else 'empty'}: it has to have the key ring, as"
                " `python -m central init --ring FILE` makes one"
            )
        return RingSource(ENVIRONMENT, f"the variable {VARIABLE}", text=given)
    if service.key_ring == CREDENTIAL:
        directory = environment.get(DIRECTORY)
        if not directory:
            raise PilotageError(
                f"central.toml says central.key_ring = 'credential', and {DIRECTORY} is not set: systemd sets it for"
                f" a service with LoadCredential= or LoadCredentialEncrypted= of {NAME}"
            )
        path = Path(directory) / NAME
        return RingSource(CREDENTIAL, str(path), path)
    return RingSource(FILE, str(folder.key_ring), folder.key_ring)


def told(descriptor: int) -> str:
    """In a worker: the line that `handed_on` has made. Empty when who should have told it is gone."""
    line = b""
    while not line.endswith(b"\n") and len(line) <= keys.MOST_BYTES:
        part = os.read(descriptor, 4096)
        if not part:
            break
        line += part
    return line.decode()


def _content(path: Path, kind: str) -> bytes:
    """Of a file; a credential must be one that nobody else can read."""
    try:
        with path.open("rb") as file:
            if kind == CREDENTIAL and (problem := _open_to_others(os.fstat(file.fileno()))):
                raise PilotageError(f"{path}: {problem}")
            return file.read(keys.MOST_BYTES + 1)
    except FileNotFoundError as error:
        remedy = (
            "restore it from a backup; `python -m central init` makes a new one, which opens nothing of before"
            if kind == FILE
            else f"LoadCredentialEncrypted={NAME}:FILE in the unit puts it there"
        )
        raise PilotageError(f"{path}: there is no key ring; {remedy}") from error
    except OSError as error:
        raise PilotageError(f"{path}: the key ring cannot be read ({error.strerror})") from error


def _open_to_others(found: os.stat_result) -> str:
    """Why a credential's file is not good enough; empty: it is.

    systemd gives a service's user the right to read by an access control list. Its mask shows as a right of the group,
    which is root's then, as the file is.
    """
    mode = stat.S_IMODE(found.st_mode)
    roots = found.st_uid == found.st_gid == 0
    if not stat.S_ISREG(found.st_mode):
        return "expected a file with the key ring"
    if mode & (0o027 if roots else 0o077):
        return f"others than its owner may use this key ring (mode {mode:04o}); make that 0400"
    return ""


def make_first(path: Path, now: float) -> None:
    """Make the ring of a new central, in a file that was not there."""
    _write_new(path, keys.written((keys.unrelated(now),)))


def _write_new(path: Path, content: bytes) -> None:
    """A file of mode 0600."""
    if path.exists():
        raise PilotageError(f"{path}: this file is there already, and may be the only copy of a key ring")
    write_secret(path, content)
