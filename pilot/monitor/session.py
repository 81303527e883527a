"""What a monitor leaves for one that takes its place: who this pilot is to the central, in a file for no payload.

The file is there from before the enrolment until the goodbye, and bound to the machine, as it was started: what was
copied elsewhere, or found after a reboot of a machine that is no VM, is of no use.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

from pilot import codec
from pilot.config import Config
from pilot.errors import InvalidInput
from pilot.protocol import EnrolReply

#: More than any session.
MAX_SIZE = 64 * 1024
#: Where a cloud's first-boot program keeps the name of the VM, which stays the same when it is started again.
VM_NAME = "var/lib/cloud/data/instance-id"
BOOT_ID = "proc/sys/kernel/random/boot_id"


@dataclass(frozen=True)
class Session:
    """A pilot's place at the central. `epoch` is 0 until it was enrolled."""

    stamp: str
    key: str = field(repr=False)  # base64
    instance: str  # the machine, as `instance_of` names it
    epoch: int = 0
    token: str = field(default="", repr=False)
    ahead: float = 0.0  # seconds by which this machine's clock was ahead of the central's
    log_bound: int = 0  # bytes of a log stream, as the central said
    life: int = 1  # how often a monitor has had it

    @classmethod
    def new(cls, stamp: str, key: bytes, instance: str) -> Session:
        return cls(stamp, base64.b64encode(key).decode(), instance)

    @property
    def session_key(self) -> bytes:
        """Raises `InvalidInput`."""
        try:
            return base64.b64decode(self.key, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput("key", "expected base64") from error

    def enrolled(self, reply: EnrolReply, ahead: float) -> Session:
        """The same after an enrolment, or a resume."""
        life = self.life + 1 if self.epoch else 1
        bound = reply.settings.log_bound
        return replace(self, epoch=reply.epoch, token=reply.token, ahead=ahead, log_bound=bound, life=life)


class SessionFile:
    """The place of a session: `work/session`, for this user alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Optional[Session]:
        """The session, None where there is none. Raises `InvalidInput` for one that is not ours to trust."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidInput(str(self.path), f"expected a session that can be read: {error.strerror}") from error
        with open(handle, "rb") as file:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
                raise InvalidInput(str(self.path), "expected a file of this user's, for nobody else (0600)")
            text = file.read(MAX_SIZE)
        try:
            session = codec.loads(Session, text)
            session.session_key  # noqa: B018 - a key that is none is told here
        except InvalidInput as problem:
            raise InvalidInput(str(self.path), f"expected the session of a pilot: {problem}") from problem
        return session

    def write(self, session: Session) -> None:
        """Whole or not at all, and on the disk once this returns. Raises OSError, and leaves none then."""
        aside = self.path.with_name(f".{self.path.name}.new")
        try:
            aside.unlink(missing_ok=True)  # half of one, of a monitor that was killed
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(handle, "wb") as file:
                file.write(codec.dumps(session))
                file.flush()
                os.fsync(handle)
            aside.replace(self.path)
        except OSError:
            # The old one is of an epoch that is over: who took it up would hold what nobody runs.
            self.remove()
            raise

    def remove(self) -> None:
        """There is none from now on."""
        for path in (self.path.with_name(f".{self.path.name}.new"), self.path):
            path.unlink(missing_ok=True)


def kept_for(config: Config, user: int) -> bool:
    """Whether a session is kept, by what the configuration says; else only where payloads are other users than we."""
    return bool(config.slot_users) and user == 0 if config.resume is None else config.resume


def fitting(session: Session, stamp: str, instance: str, where: Path) -> Session:
    """The session, if it is of this pilot on this machine. Raises `InvalidInput`."""
    if session.stamp != stamp:
        raise InvalidInput(str(where), f"expected the session of pilot {stamp}, got that of {session.stamp}")
    if session.instance != instance:
        raise InvalidInput(
            str(where),
            f"expected a session of this machine since its start ({instance}), got one of {session.instance}; "
            "what ran is over, remove the folder",
        )
    return session


def instance_of(root: Path, user: int) -> str:
    """This machine's name for the central: a VM's for all its life where we are root, else one for each start."""
    vm = _first_line(root / VM_NAME) if user == 0 else ""
    return f"vm {vm}" if vm else _first_line(root / BOOT_ID)


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.readline(200).decode("ascii").strip()
    except (OSError, ValueError):
        return ""
