"""`pilot.json`: what whoever sent the pilot tells it, read once.

A file from a newer director may hold more than this; keys that are not known here are ignored, a known key with a wrong
value is named.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from pilot import units
from pilot.errors import InvalidInput
from pilot.fields import Fields, host_and_port, strings
from pilot.halting import ELASTIC, POLICIES, Halting
from pilot.protocol import UNLIMITED, VERSION, Amount

_STAMP = re.compile(r"[0-9a-f]{32}")
_URL = re.compile(r"https://[^/?#\s]+(/[^?#\s]*)?")
#: More agents than that are a mistake: a process of 30 MB each.
MAX_AGENTS = 256
#: What a pilot does about the reach of its payloads to the cloud's metadata service: nothing; cut it off, try it as a
#: payload would, and say so where that gets through; likewise, and run nothing there.
OPEN, GUARD, REFUSE = "open", "guard", "refuse"
#: More than any configuration; what is larger is not one.
MAX_SIZE = 1024 * 1024


@dataclass(frozen=True)
class Config:
    """One pilot's configuration. What the queue declares about itself is unknown where it is None."""

    stamp: str
    central: tuple[str, ...]  # URLs, tried in turn
    ca: Optional[Path]  # certificates that the central's must come from; None: those of the system
    secret_file: Path
    site: str
    queue: str
    work: Path
    boot_log: Optional[Path] = None
    cores: Amount = None
    memory: Amount = None  # bytes
    disk: Amount = None  # bytes
    wall_time: Amount = None  # seconds
    tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    communities: tuple[str, ...] = ()
    agents: int = 1  # each with a share of the node
    policy: Optional[Path] = None  # the site's word, beside that in /etc
    drain_file: Optional[Path] = None  # touched to have the pilot drain, beside the site's own
    slot_users: str = ""  # whom payloads run as: 20000-20063, or names; empty: as the pilot
    cache: Optional[Path] = None  # where pilots of this user keep what the next ones need not find out again
    reach: tuple[str, ...] = ()  # HOST:PORT, any of which can be reached where there is a way to the outside
    keep_work: bool = False
    resume: Optional[bool] = None  # a monitor that was killed may be followed by another; None: where no payload is us
    patience: int = 900  # seconds to try to enrol before giving up
    finish: int = 600  # seconds to try to deliver results at the end
    cloud: Optional[str] = None  # whose notices are looked for: ec2, gce, azure, none; None: as the firmware says
    metadata_url: Optional[str] = None  # address of the cloud's metadata service; None: the usual one
    vm: bool = False  # a virtual machine that is there for this pilot
    ends: Optional[int] = None  # seconds since the epoch: the machine powers off then, whatever it does
    halting: Halting = field(default_factory=Halting)  # when it ends for want of work
    metadata: str = OPEN  # whether payloads may reach the cloud's metadata service

    @property
    def spool(self) -> Path:
        """Where undelivered reports are kept."""
        return self.work / "spool"

    @property
    def session(self) -> Path:
        """What a monitor is restarted from, where it may be."""
        return self.work / "session"

    @property
    def log(self) -> Path:
        """What the monitor and the agent say."""
        return self.work / "pilot.log"


def read(path: Path, agents: Optional[int] = None) -> Config:
    """Read `pilot.json`. Relative paths in it are relative to its folder. Raises `InvalidInput` with every problem.

    `agents`: how many there are, whatever the file says.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SIZE + 1)
        values = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(str(path), f"expected a pilot's configuration in JSON: {error}") from error
    if len(text) > MAX_SIZE:
        raise InvalidInput(str(path), f"expected at most {MAX_SIZE} bytes")
    problems: list[InvalidInput] = []
    if agents is not None and isinstance(values, dict):
        values["agents"] = agents
    config = _config(Fields(values, "", problems), path.absolute().parent)
    if problems:
        raise InvalidInput(str(path), "; ".join(str(problem) for problem in problems))
    return config


def _config(fields: Fields, folder: Path) -> Config:
    fields.whole("version", VERSION, least=1, most=VERSION)
    ca = _path(fields, "ca", folder)
    work = _path(fields, "work", folder) or folder
    return Config(
        stamp=_matching(fields, "stamp", _STAMP, "32 hex digits"),
        central=strings(fields, "central", most=20, each=_url, empty_is_wrong=True)
        or _missing(fields, "central", "at least one https:// URL"),
        ca=ca,
        secret_file=_path(fields, "secret_file", folder) or work / "secret",
        site=fields.text("site", "", most=200) or "",
        queue=fields.text("queue", "", most=200) or "",
        work=work,
        boot_log=_path(fields, "boot_log", folder),
        cores=_amount(fields, "cores"),
        memory=_amount(fields, "memory"),
        disk=_amount(fields, "disk"),
        wall_time=_amount(fields, "wall_time"),
        tags=strings(fields, "tags", most=1000),
        required_tags=strings(fields, "required_tags", most=1000),
        communities=strings(fields, "communities", most=1000),
        agents=fields.whole("agents", 1, least=1, most=MAX_AGENTS),
        policy=_path(fields, "policy", folder),
        drain_file=_path(fields, "drain_file", folder),
        slot_users=fields.text("slot_users", "", most=4096) or "",
        cache=_path(fields, "cache", folder),
        reach=strings(fields, "reach", most=20, each=host_and_port),
        keep_work=_flag(fields, "keep_work") is True,
        resume=_flag(fields, "resume"),
        patience=fields.duration("patience", 900),
        finish=fields.duration("finish", 600),
        cloud=fields.text("cloud", None, choices=("ec2", "gce", "azure", "none")),
        metadata_url=fields.text("metadata_url", None, most=200),
        vm=_flag(fields, "vm") is True,
        ends=fields.whole("ends", 0, least=1, most=10**11) if fields.given("ends") else None,
        halting=Halting(
            fields.text("halting", ELASTIC, choices=POLICIES) or ELASTIC, fields.duration("billing_period", 0)
        ),
        metadata=fields.text("metadata", OPEN, choices=(OPEN, GUARD, REFUSE)) or OPEN,
    )


def _matching(fields: Fields, key: str, pattern: re.Pattern[str], expected: str) -> str:
    value = fields.text(key, "") or ""
    if not pattern.fullmatch(value):
        fields.problem(key, f"expected {expected}, got {value!r}")
    return value


def _missing(fields: Fields, key: str, expected: str) -> tuple[str, ...]:
    fields.problem(key, f"expected {expected}")
    return ()


def _url(value: str, where: str) -> str:
    if not _URL.fullmatch(value):
        raise InvalidInput(where, f"expected an https:// URL without query, got {value!r}")
    return value.rstrip("/")


def _path(fields: Fields, key: str, folder: Path) -> Optional[Path]:
    value = fields.text(key, None, most=4096)
    return folder / value if value else None


def _amount(fields: Fields, key: str) -> Amount:
    value = fields.take(key, None)
    if value is None:
        return None
    if value == UNLIMITED:
        return UNLIMITED
    return fields.check_whole(key, value, 0, units.MAX_BYTES, "or unlimited")


def _flag(fields: Fields, key: str) -> Optional[bool]:
    value = fields.take(key, None)
    if value is None or isinstance(value, bool):
        return value
    fields.problem(key, f"expected true or false, got {value!r}")
    return None
