"""Secrets of a whole system that works, and of one whose parts crash: nowhere but where they are kept.

A real central with its director, a real pilot and a job with credentials and an upload. Every secret that there is, by
`central_that_tells.py`, is looked for in command lines, names and environments of processes, in addresses that were
asked for, and in every file.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pilot.states import FINAL, JobState, Outcome
from pilotage import Client
from tests import system as systems
from tests.integration.failing_pilot import failing
from tests.integration.faulty_storage import FaultyStorage, storing
from tests.integration.https import make_authority
from tests.integration.secrets_watch import Processes, files_with, seen, watched_processes
from tests.system import TOP, Plan, System, deliver, running_system, wait_for

pytestmark = pytest.mark.integration

CENTRAL = (str(Path(__file__).with_name("central_that_tells.py")),)
BEARER, TEXT = "bearer-horse-battery-staple", "text-horse-battery-staple"
#: Where secrets are kept, by the files' names, and which.
PLACES = (
    (r"private/keys\.json", {"ring"}),
    (r"client\.toml", {"person"}),
    (r"pilots/.*/wrapper\.sh", {"Ticket"}),
    (r"pilots/.*/ticket", {"Ticket"}),
    (r"pilots/.*/secret", {"secret"}),
    (r"pilots/.*/session", {"session-key", "PilotToken"}),
    (r"pilots/.*/attempts/[0-9.]+/token", {"JobToken"}),
    (r"pilots/.*/attempts/[0-9.]+/credentials/\w+", {"credential"}),
)
#: Waits for a word of the test, with a file to bring away.
WORK = "echo made >made; echo begun; until [ -e go ]; do sleep 0.05; done"


@dataclass
class Watched:
    """A system, all of whose secrets are known."""

    system: System
    client: Client
    storage: FaultyStorage
    processes: Processes
    told: Path
    cores: set[Path]

    def secrets(self) -> dict[str, set[str]]:
        """Kind → all of them."""
        folder = self.system.folder
        ring = json.loads((folder / "private" / "keys.json").read_text())
        found = {
            "ring": {str(key["key"]) for key in ring["keys"]},
            "person": {str(tomllib.loads((folder / "client.toml").read_text())["token"])},
            "credential": {BEARER, TEXT},
        }
        for line in self.told.read_text().splitlines():
            kind, secret = line.split()
            found.setdefault(kind, set()).add(secret)
        return found

    def check(self) -> None:
        """No secret is where it must not be."""
        secrets = self.secrets()
        shown = [(pid, seen(secrets, text)) for text, pid in dict(self.processes.shown).items()]
        assert [one for one in shown if one[1]] == []
        assert seen(secrets, "\n".join(self.storage.targets).encode()) == []
        for name, kinds in files_with(self.system.folder, secrets).items():
            kept = {kind for place, held in PLACES if re.fullmatch(place, name) for kind in held}
            assert set(kinds) <= kept, name
        assert cores(self.system.folder) == self.cores

    def submit(self) -> int:
        job = {
            "command": ["sh", "-c", WORK],
            "outputs": [{"path": "made", "to": [f"{self.storage.url}/ann/made"]}],
            "credentials": ["lake", "licence"],
        }
        (id,) = self.client.submit(job).ids
        return int(id)

    def running(self, job: int) -> Path:
        """The job's directory, once it runs."""

        def begun() -> Path | None:
            found = [
                path
                for path in self.system.folder.glob(f"pilots/*/*/*/attempts/{job}.*/job")
                if (path / "made").exists()
            ]
            return found[0] if found and self.client.job(job).job.state is JobState.RUNNING else None

        place = wait_for(begun, 60, "the job to run", self.system.log)
        assert place is not None
        return place

    def end(self, job: int) -> None:
        """The job is over, and so is every pilot."""
        self.client.kill([job])
        wait_for(lambda: self.client.job(job).job.state in FINAL, 30, "the job to end")
        for pid in self.system.processes(""):
            deliver(pid, signal.SIGTERM)
        wait_for(lambda: not self.system.processes(""), 60, "the pilots to end", self.system.log)

    def said(self, words: str) -> None:
        """Wait until something was written down, by whomever, to be read later."""

        wait_for(
            lambda: files_with(self.system.folder, {"said": {words}}), 60, f"somebody to say {words!r}", self.system.log
        )


def cores(folder: Path) -> set[Path]:
    """What dying processes may have left of their memory, where they worked."""
    places = [*TOP.glob("core*"), *folder.rglob("core*")]
    return {path for path in places if path.is_file() and re.fullmatch(r"core(\.\d+)?", path.name)}


@pytest.fixture
def cores_are_written() -> Iterator[None]:
    """Whatever is started may leave its memory when it dies, unless it forbids that itself."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores_are_written: None) -> Iterator[Watched]:
    authority = make_authority(tmp_path)
    (tmp_path / "authority.pem").write_text(authority.ca_pem)
    told = tmp_path / "told"
    told.touch(mode=0o600)
    monkeypatch.setenv("PILOTAGE_TEST_TOLD", str(told))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setattr(systems, "BUNDLE", failing(systems.BUNDLE, tmp_path / "pilot.pyz"))
    folder = tmp_path / "central"
    plan = Plan(cores=1, lease="10 s", silent_after="5 s", program=CENTRAL)
    with (
        storing(authority) as storage,
        watched_processes() as processes,
        running_system(folder, plan) as system,
        system.client() as client,
    ):
        client.keep_credential("lake", "bearer", {"token": BEARER}, [f"{storage.url}/ann/"])
        client.keep_credential("licence", "text", {"text": TEXT})
        yield Watched(system, client, storage, processes, told, cores(folder))


def test_a_system_that_works_shows_none(watched: Watched) -> None:
    """From the first pilot to its end: processes, addresses and files show none, but the few files that keep them."""
    job = watched.submit()
    place = watched.running(job)
    watched.check()
    kinds = {"secret", "session-key", "PilotToken", "JobToken", "Ticket", "ring", "person", "credential"}
    assert {kind for kind, every in watched.secrets().items() if every} == kinds
    kept = files_with(watched.system.folder, watched.secrets())
    assert len([name for name in kept if "/credentials/" in name]) == 2  # what is looked for is found where it is
    (place / "go").touch()
    wait_for(lambda: watched.client.job(job).job.state in FINAL, 60, "the job to end", watched.system.log)
    assert watched.client.job(job).job.state is JobState.DONE
    assert watched.storage.content("/ann/made") == b"made\n"
    assert f"Bearer {BEARER}" in watched.storage.credentials
    assert len(watched.processes.pids) > 4
    watched.end(job)
    watched.check()


Crash = Callable[[Watched, Path], None]


def attempt_fails(watched: Watched, place: Path) -> None:
    (place.parents[2] / "fail-attempt").touch()
    (place / "go").touch()
    watched.said("a fault of the test, about Lease(")


def agent_fails(watched: Watched, place: Path) -> None:
    (place.parents[2] / "fail-agent").touch()
    deliver(watched.system.monitors()[0], signal.SIGTERM)
    watched.said("a fault of the test, about Context(")


def monitor_fails(watched: Watched, place: Path) -> None:
    (place.parents[2] / "fail-monitor").touch()
    watched.said("a fault of the test, about EnrolReply(")


def agent_aborts(watched: Watched, place: Path) -> None:
    deliver(watched.system.agents()[0], signal.SIGABRT)
    wait_for(lambda: not watched.system.agents(), 30, "the agent to be gone")


def monitor_aborts(watched: Watched, place: Path) -> None:
    deliver(watched.system.monitors()[0], signal.SIGABRT)
    wait_for(lambda: not watched.system.processes(""), 60, "the pilot to be gone")


def next_pilot_fails(watched: Watched, by: str, said: str) -> None:
    """The pilot that takes the place of the one that runs: the central fails while a file says so."""
    order = watched.told.with_name(by)
    order.touch()
    deliver(watched.system.monitors()[0], signal.SIGTERM)
    watched.submit()
    watched.said(said)
    order.unlink()


def sealing_fails(watched: Watched, place: Path) -> None:
    """A pilot that the central fails to answer."""
    next_pilot_fails(watched, "fail-sealing", "a fault of the test, about (PilotToken(")


def sending_fails(watched: Watched, place: Path) -> None:
    """A pilot that the director fails to send."""
    next_pilot_fails(watched, "fail-sending", "a fault of the test, about Submission(")


def central_aborts(watched: Watched, place: Path) -> None:
    process = watched.system.process
    assert process is not None
    deliver(process.pid, signal.SIGABRT)
    assert process.wait(30) == -signal.SIGABRT
    watched.system.start()


CRASHES = (
    *(attempt_fails, agent_fails, monitor_fails, agent_aborts, monitor_aborts),
    *(sealing_fails, sending_fails, central_aborts),
)


@pytest.mark.parametrize("crash", CRASHES, ids=lambda crash: crash.__name__)
def test_what_a_crash_leaves_shows_none(watched: Watched, crash: Crash) -> None:
    """A fault within, of which the log has the whole story, or an abort: no log, report or core file shows any."""
    job = watched.submit()
    place = watched.running(job)
    crash(watched, place)
    watched.check()
    if crash is attempt_fails:
        first = watched.client.attempts(job)[0]
        assert first.outcome is Outcome.NODE_FAULT
        assert "a fault of the test" in first.message
    assert os.getpid() not in watched.processes.pids
