"""The day of a community's admin, by the command line at a real central: a group, its share, people, and a farewell.

`docs/people.md` tells the same day.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.states import JobState
from pilotage import Client
from tests.system import TOP, System, wait_for


class Desk:
    """Somebody's shell: a folder with a client.toml of their own."""

    def __init__(self, system: System, folder: Path, token: str) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        file = folder / "client.toml"
        file.touch(mode=0o600)
        file.write_text(f'url = "{system.url}"\nca = "{system.folder / "ca.pem"}"\ntoken = "{token}"\n')

    def types(self, *words: str, code: int = 0) -> str:
        """A command line, and what it printed."""
        command = [sys.executable, "-m", "pilotage", *words, "--folder", str(self.folder)]
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def client(self) -> Client:
        return Client.from_folder(self.folder)


@pytest.fixture
def operator(system: System, tmp_path: Path) -> Iterator[Desk]:
    """The owner of the central."""
    with system.client() as client:
        yield Desk(system, tmp_path / "operator", client.connection.token)


def desk(system: System, by: Desk, name: str, *words: str) -> Desk:
    """The desk of somebody for whom somebody else makes the first token."""
    file = by.folder / f"{name}.token"
    by.types("token", "create", "--user", name, *words, "--output", str(file))
    return Desk(system, by.folder.parent / name, file.read_text().strip())


def test_the_day_of_a_community_admin(system: System, operator: Desk, tmp_path: Path) -> None:
    """An operator makes somebody the admin of a community; the admin adds a group with a share, lets a member in, and
    lets go of another: its tokens open nothing any more, its jobs that wait are held and say why, and what runs ends
    as it would have."""
    operator.types("member", "add", "cam", "--group", "users", "--role", "community-admin")
    cam = desk(system, operator, "cam", "--scope", "all")
    assert "community-admin" in cam.types("whoami")

    told = cam.types("group", "add", "muons", "--share", "3")
    assert told == "the group muons of physics is added, share 3\n"
    cam.types("member", "add", "ben", "--group", "muons")
    cam.types("member", "add", "eve", "--group", "muons", "--role", "group-admin")
    ben = desk(system, cam, "ben", "--group", "muons")
    eve = desk(system, cam, "eve", "--group", "muons", "--scope", "all")
    shares = json.loads(cam.types("shares", "--json"))
    found = {one["group"]: one["share"] for one in shares["shares"] if not one["owner"]}
    assert (found["muons"], found["users"]) == (3.0, 1.0)

    job = tmp_path / "job.yaml"
    enough = tmp_path / "enough"
    until = f"echo started; until [ -e {enough} ]; do sleep 0.1; done; echo ended"
    job.write_text(json.dumps({"command": ["sh", "-c", until], "needs": {"cores": 2}, "name": "long"}))
    ben.types("submit", str(job))
    with operator.client() as client:
        wait_for(lambda: client.job(1).job.state is JobState.RUNNING, 60, "the first job to run", system.log)
        ben.types("submit", str(job))
        assert (client.job(2).job.owner, client.job(2).job.group) == ("ben", "muons")

        assert "there is no token" in eve.types("token", "revoke", "1", code=1).lower()
        assert "1 token ended, 1 waiting job held" in cam.types("member", "revoke", "ben", "--reason", "has left")
        assert "not known here" in ben.types("submit", str(job), code=1)
        assert "not known here" in ben.types("jobs", code=1)
        assert client.job(2).job.reason == "held by cam: ben is no member of muons any more (has left)"
        (gone,) = [line for line in eve.types("member", "list", "--all").splitlines() if line.startswith("ben")]
        assert "by cam: has left" in gone

        enough.touch()
        client.wait([1], timeout=120)
        assert (client.job(1).job.state, client.logs(1)) == (JobState.DONE, b"started\nended\n")
        assert client.job(2).job.state is JobState.HELD
        eve.types("release", "2")
        client.wait([2], timeout=120)
        assert client.job(2).job.state is JobState.DONE

    assert "has members: eve; revoke them first" in cam.types("group", "remove", "muons", code=1)
    cam.types("member", "revoke", "eve", "--kill")
    cam.types("group", "remove", "muons")
    assert "muons" not in cam.types("community", "show")
