"""A central as a process in a folder of its own, over TLS on the loopback interface, and the people who use it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import pytest
import requests

from central.configuration import settings_file
from central.databases import open_database
from central.folder import Folder
from central.init import free_port
from central.records import NewPilot
from central.store.port import Store
from pilot import views
from pilot.protocol import InputFile, Offer
from tests import chosen_store
from tests.integration.wire_pilot import OFFER, SignedPilot, decoded

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
#: Seconds for anything that a test waits for.
PATIENCE = 120.0

#: name → community, group, role. The token of each is its name, repeated to 40 characters.
PEOPLE = {
    "ann": ("physics", "muons", "member"),
    "ben": ("physics", "muons", "member"),
    "eve": ("physics", "tau", "member"),
    "gus": ("physics", "muons", "group-admin"),
    "cam": ("physics", "tau", "community-admin"),
    "dan": ("biology", "cells", "member"),
    "oli": ("physics", "muons", "operator"),
}

SETTINGS = """
[central]
port = {port}
url = "https://localhost:{port}"
beat = 1
lease = 60
{extra}

[[communities]]
name = "physics"
groups = [{{name = "muons"}}, {{name = "tau"}}]

[[communities]]
name = "biology"
groups = [{{name = "cells"}}]

[[sites]]
name = "here"

[[queues]]
name = "local"
site = "here"
kind = "external"
cores = 4
memory = "8 GB"
disk = "100 GB"
communities = ["physics"]

[[queues]]
name = "shared"
site = "here"
kind = "external"
communities = ["physics", "biology"]
"""


def token_of(name: str) -> str:
    return (name * 40)[:40]


def until(condition: Callable[[], T], what: str) -> T:
    """Wait for something to be true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {PATIENCE:g} s for {what}")
        time.sleep(0.02)
    return value


class Person(requests.Session):
    """Somebody with an API token; paths are those of the central."""

    def __init__(self, url: str, ca: str, token: str | None) -> None:
        super().__init__()
        self.base = url
        self.verify = ca
        self.trust_env = False  # a bundle named in the environment would take the place of ours
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        options.setdefault("timeout", 60)
        return super().request(method, self.base + url, **options)

    def read(self, path: str, kind: type[T]) -> T:
        return decoded(self.get(path), kind)

    def say(self, path: str, message: object, kind: type[T], headers: Mapping[str, str] | None = None) -> T:
        return decoded(self.post(path, data=msgspec.json.encode(message), headers=headers), kind)

    def submit(self, *jobs: Mapping[str, object], key: str | None = None) -> views.SubmitReply:
        headers = {"Idempotency-Key": key} if key else None
        return self.say("/v1/jobs", {"jobs": jobs}, views.SubmitReply, headers)

    def submit_one(self, **job: object) -> int:
        return self.submit({"command": ["true"], **job}).jobs[0].first

    def job(self, job: int) -> views.JobView:
        return self.read(f"/v1/jobs/{job}", views.JobDetail).job

    def attempts(self, job: int) -> tuple[views.AttemptView, ...]:
        return self.read(f"/v1/jobs/{job}/attempts", views.AttemptPage).attempts

    def upload(self, name: str, content: bytes) -> InputFile:
        digest = hashlib.sha256(content).hexdigest()
        decoded(self.put(f"/v1/sandboxes/{digest}", data=content), views.SandboxReply)
        return InputFile(name, digest, len(content))


@dataclass
class RunningCentral:
    """A central process. `program` is what Python runs; it gets the verb and the folder."""

    folder: Path
    url: str
    program: Sequence[str] = ("-m", "central")
    process: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None
    sessions: list[requests.Session] = field(default_factory=list)

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    def run(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another verb to its end."""
        command = [sys.executable, *self.program, verb, "--folder", str(self.folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE)

    def start(self) -> None:
        """Returns once it is ready."""
        self.log = (self.folder / "central.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, *self.program, "serve", "--folder", str(self.folder)],
            stdout=subprocess.PIPE,
            stderr=self.log,
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline().decode() != f"ready {self.url}\n":
            self.end()
            pytest.fail(f"the central did not become ready:\n{self.words()}")

    def kill(self) -> None:
        """As a crash."""
        self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        process, log = self.process, self.log
        assert process is not None
        assert process.stdout is not None
        assert log is not None
        self.process = None
        process.send_signal(number)
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
            log.close()

    def words(self) -> str:
        """What it has logged."""
        return (self.folder / "central.log").read_text()

    def person(self, name: str | None) -> Person:
        """One of `PEOPLE`, or nobody."""
        person = Person(self.url, self.ca, token_of(name) if name else None)
        self.sessions.append(person)
        return person

    def store(self, use: Callable[[Store], Awaitable[T]]) -> T:
        """Do something with the store itself, as a director inside would."""
        folder = Folder(self.folder)
        service = settings_file.load(folder.settings).service

        async def using() -> T:
            store = open_database(folder, service, time.time)
            await store.open()
            try:
                return await use(store)
            finally:
                await store.close()

        return asyncio.run(using())

    def plan(self, **changes: object) -> tuple[str, str]:
        """Journal a pilot as a director does before it submits. Returns its stamp and secret."""
        stamp, secret = secrets.token_hex(16), secrets.token_urlsafe(16)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        pilot = NewPilot(stamp, "here", "local", ("physics",), digest, 3600.0, 60, None)

        async def journal(store: Store) -> None:
            await store.plan_pilot(msgspec.convert({**msgspec.to_builtins(pilot), **changes}, NewPilot))
            epoch = await store.lead("tests", "tests", 3600.0)
            assert epoch is not None
            assert await store.submitting(stamp, "tests", epoch)

        self.store(journal)
        return stamp, secret

    def pilot(self, *, offer: Offer = OFFER, enrolled: bool = True, **changes: object) -> SignedPilot:
        """A pilot that was just submitted, and has called."""
        pilot = SignedPilot(self.url, self.ca, *self.plan(**changes), offer)
        self.sessions.append(pilot.http)
        if enrolled:
            pilot.enrol()
        return pilot

    def close(self) -> None:
        for session in self.sessions:
            session.close()
        if self.process:
            self.end()


def make_folder(folder: Path, extra: str = "", more: str = "") -> str:
    """Write the settings of a central with everybody in `PEOPLE`. Returns its address."""
    port = free_port()
    if "database = " not in extra:
        extra += "\n" + chosen_store.settings()
    tokens = "".join(
        f'\n[[tokens]]\nname = "{name}"\nuser = "{name}"\ncommunity = "{community}"\ngroup = "{group}"\n'
        f'role = "{role}"\nsha256 = "{hashlib.sha256(token_of(name).encode()).hexdigest()}"\n'
        for name, (community, group, role) in PEOPLE.items()
    )
    (folder / "central.toml").write_text(SETTINGS.format(port=port, extra=extra) + more + tokens)
    return f"https://localhost:{port}"


def made_central(
    folder: Path, extra: str = "", more: str = "", program: Sequence[str] = ("-m", "central")
) -> RunningCentral:
    """A central in a folder of its own, not started. `extra` is more for the section ``[central]``, `more` more of the
    file, `program` what is run."""
    folder.mkdir(parents=True, exist_ok=True)
    central = RunningCentral(folder, make_folder(folder, extra, more), program)
    (folder / "given.pyz").write_bytes(b"what pilots would be started from")
    done = central.run("init", "--pilot", str(folder / "given.pyz"))
    assert done.returncode == 0, done.stderr
    return central


@contextmanager
def serving(folder: Path, more: str = "") -> Iterator[RunningCentral]:
    """One that serves; what it said is shown with a test that fails."""
    central = made_central(folder, more=more)
    try:
        central.start()
        yield central
    finally:
        central.close()
        print(central.words()[-3000:])


def cloud_queue(name: str) -> str:
    """A queue of a cloud where nobody answers: a pilot stays on its way."""
    return f"""
name = "{name}"
site = "here"
kind = "openstack"
[cloud]
url = "https://localhost:1"
region = "one"
flavor = "small"
image = "plain"
[credential]
community = "physics"
owner = "oli"
name = "cloud"
kind = "application-credential"
"""


def client_settings(folder: Path) -> Mapping[str, str]:
    """What init wrote for the owner of the folder."""
    return tomllib.loads((folder / "client.toml").read_text())
