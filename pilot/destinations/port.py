"""What every kind of storage can do, and the words in which it says what went wrong."""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Callable, Optional, Protocol

from pilot.binds import Bind
from pilot.credential import fitting
from pilot.destination import Target
from pilot.errors import PilotageError, TransportError
from pilot.payloads.rights import acting_as
from pilot.payloads.slot_users import SlotUser
from pilot.protocol import Credential, Lease

#: Bytes read, hashed and sent at a time: all of a file that is ever in memory.
BLOCK = 256 * 1024

Pause = Callable[[float], bool]


class Rejected(PilotageError):
    """This storage does not take, or give, this file: to try again there is in vain."""


class NotAllowed(Rejected):
    """It does not know us, or does not let us: there was no credential for it, or one that it does not take."""


class NotThere(Rejected):
    """It has no such file."""


class Unavailable(TransportError):
    """Not now, as when a storage is full: to try again right away is in vain. `retry_after`: seconds, as it says."""

    def __init__(self, problem: str, retry_after: Optional[float] = None) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class Differs(TransportError):
    """It has other bytes under that name than it was given."""


@dataclass(frozen=True)
class Errand:
    """On whose behalf a file is moved, and with which rights."""

    lease: Lease
    pause: Pause  # waits, and says whether to stop; with 0 it only says so
    owner: Optional[SlotUser] = None  # with whose rights files are touched; None: the pilot's own user
    seen: Optional[tuple[Bind, ...]] = None  # what the payload's container sees of the node; None: no container
    aside: Path = Path()  # a folder of the attempt's for what a transfer needs meanwhile

    def credential(self, url: str) -> Optional[Credential]:
        """What the job brought along for that place."""
        return fitting(self.lease.credentials, url)


@dataclass(frozen=True)
class Digests:
    """Of one content. `size` in bytes; the others in lower-case hex digits, and empty where nobody knows."""

    size: int
    sha256: str = ""
    adler32: str = ""


class Digesting:
    """Takes the digests of what passes by."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._adler32 = 1

    def update(self, block: bytes) -> None:
        self.size += len(block)
        self._sha256.update(block)
        self._adler32 = zlib.adler32(block, self._adler32)

    def done(self) -> Digests:
        return Digests(self.size, self._sha256.hexdigest(), f"{self._adler32:08x}")


@dataclass(frozen=True)
class Source:
    """A file to be brought somewhere. It does not change any more: its payload has ended."""

    path: Path
    digests: Digests
    owner: Optional[SlotUser] = None

    def open(self) -> BinaryIO:
        """The file itself, with its owner's rights; no link that took its place. Raises `OSError`."""
        return open_plain(self.path, self.owner)


class Storage(Protocol):
    """One kind of storage. Each call tries once, for any thread.

    Raises `Rejected`, `TransportError` (of it `Unavailable`), `OSError` for trouble with the local file, `Stopped`.
    """

    def put(self, source: Source, target: Target, errand: Errand) -> None:
        """Store a file under that very name: all of it, with its digest verified as far as the storage can say, or an
        error."""

    def get(self, target: Target, sink: Callable[[bytes], object], errand: Errand) -> None:
        """Read a file, block by block. Whoever takes it verifies it, and raises from `sink` what is too much."""


def open_plain(path: Path, owner: Optional[SlotUser]) -> BinaryIO:
    """A plain file that `owner` may read. Raises `OSError`, also for a link."""
    with acting_as(owner):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    return open(handle, "rb")


def digests_of(path: Path, owner: Optional[SlotUser]) -> Digests:
    """Of a plain file, which `owner` may read. Raises `OSError`."""
    digesting = Digesting()
    with open_plain(path, owner) as file:
        while block := file.read(BLOCK):
            digesting.update(block)
    return digesting.done()


def compare(expected: Digests, found: Digests, where: str, what: str = "was stored wrongly") -> None:
    """Raises `Differs` where a storage has other bytes than it was given; what nobody knows does not differ."""
    pairs = (("bytes", str(expected.size), str(found.size)), ("sha256", expected.sha256, found.sha256),
             ("adler32", expected.adler32, found.adler32))  # fmt: skip
    for name, wanted, got in pairs:
        if wanted not in ("", "-1") and got not in ("", "-1") and wanted.lower() != got.lower():
            raise Differs(f"{where} {what}: expected {name} {wanted}, got {got}")
