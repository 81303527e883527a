"""Credentials in an attempt's directory."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pilot.attempts.credentials import forget, lay_out, secrets_in, values_of, wipe
from pilot.attempts.directory import AttemptDirectory
from pilot.attempts.environment import identity, payload_environment
from pilot.attempts.slots import Slot
from pilot.errors import InvalidInput
from pilot.protocol import Credential, JobSpec, Lease
from pilot.singularity.argv import seen_inside

TEXT = Credential("licence.txt", "text", {"text": "line\nnext\n"})
TOKEN = Credential("eos", "bearer", {"token": "abc.def"})
LOGIN = Credential("login", "basic", {"user": "ada", "password": "pass word"})
LAKE = Credential("lake", "s3")


@pytest.fixture
def place(tmp_path: Path) -> AttemptDirectory:
    place = AttemptDirectory(tmp_path / "attempts" / "7.1")
    place.create("job token")
    return place


def test_files_for_one_pair_of_eyes(place: AttemptDirectory) -> None:
    """Every kind as payloads read it, byte for byte, in a folder that nobody else enters."""
    old = os.umask(0)
    try:
        lay_out(place, (TEXT, TOKEN, LOGIN, LAKE))
    finally:
        os.umask(old)
    found = {str(path.relative_to(place.credentials)): path for path in place.credentials.rglob("*")}
    assert sorted(found) == ["eos", "licence.txt", "login", "login/password", "login/user"]
    assert found["licence.txt"].read_text() == "line\nnext\n"
    assert found["eos"].read_text() == "abc.def"
    assert found["login/user"].read_text() == "ada"
    assert found["login/password"].read_text() == "pass word"
    modes = {name: path.stat().st_mode & 0o777 for name, path in found.items()}
    assert {modes.pop("login"), place.credentials.stat().st_mode & 0o777} == {0o700}
    assert set(modes.values()) == {0o600}


def test_a_job_without_has_no_folder(place: AttemptDirectory) -> None:
    """Where nothing was asked for there is nothing, and no variable names it."""
    lay_out(place, ())
    assert not place.credentials.exists()
    lease = Lease(7, 1, 60, JobSpec(("true",)), "token", 1)
    assert "PILOTAGE_CREDENTIALS" not in identity(lease, Slot(1), place)


def test_the_payload_is_told_where_they_are(place: AttemptDirectory) -> None:
    """A variable names the folder, and the job cannot set another in its place."""
    spec = JobSpec(("true",), environment={"PILOTAGE_CREDENTIALS": "/elsewhere"})
    lease = Lease(7, 1, 60, spec, "token", 1, credentials=(TOKEN,))
    environment = payload_environment({}, {}, lease, Slot(1), place)
    assert environment["PILOTAGE_CREDENTIALS"] == str(place.credentials)
    assert "abc.def" not in environment.values()


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "/etc/x", "x" * 101])
def test_a_name_that_leads_elsewhere_is_refused(place: AttemptDirectory, name: str) -> None:
    """Whatever a central may say, nothing is written outside the folder."""
    with pytest.raises(InvalidInput):
        lay_out(place, (Credential(name, "text", {"text": "secret"}),))
    assert [path for path in place.root.parent.rglob("*") if path.is_file()] == [place.token]


def test_wiped_whatever_the_payload_did_with_it(place: AttemptDirectory) -> None:
    """A folder that was closed up, nested and has links in it is gone, and what the links lead to stays."""
    lay_out(place, (TEXT, LOGIN))
    outside = place.job / "mine"
    outside.write_text("kept")
    (place.credentials / "link").symlink_to(place.job)
    (place.credentials / "login").chmod(0)
    place.credentials.chmod(0)
    wipe(place)
    assert not place.credentials.exists()
    assert outside.read_text() == "kept"
    wipe(place)  # also when there is nothing


def test_forgetting_what_a_killed_agent_left(tmp_path: Path) -> None:
    """Credentials and tokens of the attempts that were named, else of all; their other files stay."""
    places = [AttemptDirectory(tmp_path / "attempts" / f"{job}.1") for job in (1, 2)]
    for place in places:
        place.create("token")
        lay_out(place, (TEXT,))
    forget(tmp_path / "attempts", [(1, 1)])
    assert [place.credentials.exists() for place in places] == [False, True]
    assert [place.token.exists() for place in places] == [False, True]
    forget(tmp_path / "attempts")
    assert not places[1].credentials.exists()
    assert all(place.job.is_dir() for place in places)
    forget(tmp_path / "absent")


def test_what_was_laid_out_is_found_again(place: AttemptDirectory) -> None:
    """Every kind, byte for byte, by whoever takes the agent's place; and so is what must not be seen in a log."""
    lay_out(place, (TEXT, TOKEN, LOGIN, LAKE))
    for credential in (TEXT, TOKEN, LOGIN, LAKE):
        assert values_of(place, replace(credential, values={})) == credential.values
    assert set(secrets_in(place.root)) == {"job token", *TOKEN.secrets, *LOGIN.secrets}


def test_what_the_payload_made_of_it_stops_nobody(place: AttemptDirectory) -> None:
    """Where there is no folder any more, only the token is secret; a link in its place is not followed to a file."""
    lay_out(place, (LOGIN,))
    (place.credentials / "login" / "password").unlink()
    (place.credentials / "login" / "password").symlink_to(place.token)
    assert values_of(place, LOGIN) == {"user": "ada", "password": ""}
    wipe(place)
    place.credentials.write_text("no folder")
    assert secrets_in(place.root) == ["job token"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_a_payload_lends_no_rights_of_root(place: AttemptDirectory, tmp_path: Path) -> None:
    """What it put in the place of a credential leads to nothing that its own user could not read."""
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots" / "password").write_text("root's own")
    (tmp_path / "roots" / "password").chmod(0o600)
    lay_out(place, (LOGIN,))
    for part in ("user", "password"):
        (place.credentials / "login" / part).unlink()
    (place.credentials / "login").rmdir()
    (place.credentials / "login").symlink_to(tmp_path / "roots")
    for path in (place.credentials, place.credentials / "login"):
        os.lchown(path, 65_533, 65_533)
    assert values_of(place, LOGIN) == {"user": "", "password": ""}


def test_a_container_sees_them_under_its_own_name(place: AttemptDirectory) -> None:
    """The variable names the same folder as it is called inside."""
    assert seen_inside(str(place.credentials), place.root) == "/srv/credentials"
