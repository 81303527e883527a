"""Making the folder of an embedded central: settings for this machine, certificates, keys, and a token for its owner.

What is there already is kept: running it again mends what is missing.
"""

from __future__ import annotations

import datetime
import getpass
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from central.configuration import settings_file
from central.configuration.settings import DEFAULT_PORT, CentralSettings, Service, is_postgresql
from central.databases import check_workers, open_database, shown
from central.folder import Folder
from central.trust.ring_source import FILE, make_first, ring_source
from central.trust.seal import write_secret
from pilot.errors import PilotageError

COMMUNITY, GROUP, SITE, QUEUE = "local", "users", "here", "local"


@dataclass(frozen=True)
class Machine:
    """What the settings of the local queue say about this machine."""

    user: str
    cores: int
    memory: int  # bytes
    disk: int  # bytes free where the folder is
    arch: str


def look(path: Path) -> Machine:
    """Ask the system."""
    user = re.sub(r"[^A-Za-z0-9._-]", "-", getpass.getuser()).lstrip("._-") or "owner"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    return Machine(user, cores, memory, shutil.disk_usage(path).free, platform.machine())


@dataclass(frozen=True)
class Wishes:
    """What a new folder is to be like. None: as usual; a folder that is there already keeps what it says."""

    port: int | None = None  # 0 picks a free one
    database: str | None = None  # the URL of a PostgreSQL database, or a file of SQLite in the folder
    workers: int | None = None  # processes
    key_ring: str | None = None  # where it is from
    ring: Path | None = None  # a file to make it in, where it is not in the folder


def init(folder: Folder, wishes: Wishes, pilot: Path | None, now: float, say: Callable[[str], None]) -> None:
    """Make what is missing; `pilot` is the file that pilots are started from."""
    umask = os.umask(0o077)
    try:
        for path in (folder.path, folder.private, folder.pilots):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = _settings(folder, wishes, say)
        _pilot(folder.pilot(settings.service), pilot, say)
        certificates = folder.certificates(settings.service)
        today = datetime.datetime.fromtimestamp(now, datetime.UTC)
        if certificates.make(today):
            say(f"made {certificates.authority_file}, the authority that clients and pilots trust")
        certificates.refresh(today)
        _ring(folder, settings.service, wishes.ring, now, say)
        _client(folder, settings, say)
    finally:
        os.umask(umask)


def _settings(folder: Folder, wishes: Wishes, say: Callable[[str], None]) -> CentralSettings:
    if not folder.settings.exists():
        _new_settings(folder, wishes, say)
    settings = settings_file.load(folder.settings)
    service = settings.service
    if wishes.port not in (None, 0, service.port):
        say(f"kept {folder.settings}: it says port {service.port}, not {wishes.port}; change it there")
    if wishes.database not in (None, service.database):
        said = f"it says database {shown(service.database)!r}, not {shown(wishes.database or '')!r}"
        say(f"kept {folder.settings}: {said}; change it there")
    if wishes.key_ring not in (None, service.key_ring):
        said = f"it says key_ring {service.key_ring!r}, not {wishes.key_ring!r}"
        say(f"kept {folder.settings}: {said}; change it there")
    return settings


def _new_settings(folder: Folder, wishes: Wishes, say: Callable[[str], None]) -> None:
    port = DEFAULT_PORT if wishes.port is None else wishes.port or free_port()
    service = Service(
        port=port,
        database=wishes.database or Service.database,
        workers=wishes.workers or 1,
        key_ring=wishes.key_ring or Service.key_ring,
    )
    check_workers(service)
    if is_postgresql(service.database):
        open_database(folder, service, time.time)  # a URL that is none is refused before it is written down
    text = render(look(folder.path), service)
    settings_file.read(text, folder.settings.name)  # what is refused, as a password, is not written down
    folder.settings.write_text(text, encoding="utf-8")
    say(f"made {folder.settings}, the settings of a central on port {port}")
    if is_postgresql(service.database):
        say(
            f"its jobs are in {shown(service.database)}, where other centrals may work too: these need the same ca.pem,"
            " private/ca.key, private/keys.json and pilot.pyz, and `objects` that all of them reach"
        )


def _pilot(target: Path, source: Path | None, say: Callable[[str], None]) -> None:
    """Put the pilot's file into place, whole or not at all."""
    if source is None:
        return
    try:
        content = source.read_bytes()
    except OSError as error:
        raise PilotageError(f"{source}: the pilot's file cannot be read ({error})") from error
    if target.exists() and target.read_bytes() == content:
        return
    temporary = target.with_name(f".{target.name}.new")
    temporary.write_bytes(content)
    temporary.replace(target)
    say(f"put {source} into place as {target}, SHA-256 {hashlib.sha256(content).hexdigest()}")


def _ring(folder: Folder, service: Service, output: Path | None, now: float, say: Callable[[str], None]) -> None:
    """The key ring: made where there is none, brought up to date where it is in the folder."""
    if service.key_ring != FILE:
        if output is None:
            said = f"the key ring comes from elsewhere ({service.key_ring}), and is not made here"
            say(f"{said}; `init --ring FILE` makes the first one")
            return
        make_first(output, now)
        say(f"made {output}, the key ring; put it where the central is to have it from ({service.key_ring}), keep a")
        say("copy apart from those of the database, and remove this file")
    elif output is not None:
        raise PilotageError(
            f"the key ring of this folder is {folder.key_ring}: leave --ring out; for a new folder say --key-ring too,"
            f" of one that is there change key_ring in {folder.settings}"
        )
    elif folder.key_ring.exists():
        ring_source(folder, service, {}, None).load(now)
    else:
        make_first(folder.key_ring, now)
        say(f"made {folder.key_ring}, the key ring; without a copy of it a backup of the database opens no secret")


def _client(folder: Folder, settings: CentralSettings, say: Callable[[str], None]) -> None:
    """A token for the owner of the folder: here in the clear, in the settings as its digest."""
    if folder.client.exists():
        return
    token = secrets.token_urlsafe(32)
    names = {known.name for known in settings.tokens}
    owner = look(folder.path).user
    name = next(name for name in (owner, *(f"{owner}-{n}" for n in range(2, 10_000))) if name not in names)
    community, group = _home(settings)
    entry = (
        f'\n[[tokens]]\nname = "{name}"\nuser = "{owner}"\ncommunity = "{community}"\ngroup = "{group}"\n'
        f'role = "operator"\nsha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n'
    )
    with folder.settings.open("a", encoding="utf-8") as file:
        file.write(entry)
    settings_file.load(folder.settings)
    lines = (
        f"url = {json.dumps(settings.service.url)}",
        f"ca = {json.dumps(str(folder.certificates(settings.service).authority_file.resolve()))}",
        f"token = {json.dumps(token)}",
    )
    write_secret(folder.client, ("\n".join(lines) + "\n").encode())
    say(f"made {folder.client}, the address and token of {owner}; keep it private")


def _home(settings: CentralSettings) -> tuple[str, str]:
    for community in settings.communities:
        if community.groups:
            return community.name, community.groups[0].name
    raise PilotageError("central.toml: expected a community with a group, for the owner's token to belong to")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def render(machine: Machine, service: Service) -> str:
    """The settings of a new central on one machine."""
    return f"""\
# The settings of this central. Unknown keys are errors; a running central reads them when it starts.

[central]
bind = "127.0.0.1"
port = {service.port}
url = "https://localhost:{service.port}"  # as clients and pilots reach it
database = {json.dumps(service.database)}  # or postgresql://user@host/name, which several centrals may share
workers = {service.workers}                       # processes; more than one needs PostgreSQL
key_ring = {json.dumps(service.key_ring)}                 # or "environment", "credential": see docs/operating.md
objects = "objects"               # logs and sandboxes: a folder, or a URL such as s3://bucket/path
pilot = "pilot.pyz"
lease = "10 min"                  # a pilot silent for so long loses its jobs to others
beat = "10 s"
silent_after = "3 min"
log_bound = "10 MB"               # kept of one log: its head and its tail

[[communities]]
name = "{COMMUNITY}"
share = 1.0
groups = [{{name = "{GROUP}", share = 1.0}}]

[[sites]]
name = "{SITE}"

# One pilot on this machine, which fills it.
[[queues]]
name = "{QUEUE}"
site = "{SITE}"
kind = "local"
slots = 1
cores = {machine.cores}
memory = {machine.memory}
disk = {machine.disk}
wall_time = "unlimited"
platform = {{arch = "{machine.arch}"}}
communities = ["{COMMUNITY}"]
idle = "2 min"

# Tokens are kept as their SHA-256. Roles: member, group-admin, community-admin, operator.
"""
