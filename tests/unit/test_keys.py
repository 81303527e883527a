"""Credentials of an attempt while it runs: replaced whole, known to be secret, and gone afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pilot.attempts.credentials import secrets_in
from pilot.attempts.directory import AttemptDirectory
from pilot.attempts.keys import Keys
from pilot.payloads.slot_users import SlotUser
from pilot.protocol import Credential, JobSpec, Lease

TOKEN = Credential("eos", "bearer", {"token": "first.token"}, ("https://eos.example/",), None, "1")
LOGIN = Credential("login", "basic", {"user": "ada", "password": "first word"}, (), None, "1")
NEWER = Credential("eos", "bearer", {"token": "second.token"}, ("https://eos.example/",), None, "2")
NEW_LOGIN = Credential("login", "basic", {"user": "bob", "password": "second word"}, (), None, "2")


class Scene:
    """The keys of one attempt in a directory."""

    def __init__(self, root: Path) -> None:
        self.place = AttemptDirectory(root)
        self.place.create("job token")
        self.later: list[Callable[[], None]] = []
        self.said: list[str] = []
        lease = Lease(7, 1, 60, JobSpec(("true",)), "job token", 1, credentials=(TOKEN, LOGIN))
        self.keys = Keys(lease, self.place, self.later.append, self.said.append)

    def read(self, name: str) -> str:
        return (self.place.credentials / name).read_text()

    def names(self) -> list[str]:
        return sorted(path.name for path in self.place.root.iterdir())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "attempts" / "7.1")


def test_a_file_is_replaced_whole(scene: Scene) -> None:
    """Who opens it again reads the new one; who has it open reads the old one to its end. Mode and owner stay."""
    scene.keys.lay_out()
    place, before = scene.place.credentials, scene.names()
    about = [(place / name).stat() for name in ("eos", "login/password")]
    with (place / "eos").open() as reading, (place / "login" / "password").open() as typing:
        scene.keys.renew((NEWER, NEW_LOGIN))
        assert (reading.read(), typing.read()) == ("first.token", "first word")
    assert [scene.read(name) for name in ("eos", "login/user", "login/password")] == [
        "second.token",
        "bob",
        "second word",
    ]
    after = [(place / name).stat() for name in ("eos", "login/password")]
    assert [(one.st_mode, one.st_uid) for one in after] == [(one.st_mode, one.st_uid) for one in about]
    assert (place / "login").stat().st_mode & 0o777 == 0o700
    assert scene.names() == sorted([*before, ".earlier"])
    assert scene.keys.lease.credentials == (NEWER, NEW_LOGIN)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_they_are_the_payloads(scene: Scene) -> None:
    """Where it has a user of its own, the newer files are that user's, as the folder is."""
    place = AttemptDirectory(scene.place.root, SlotUser("payload", 65_533, 65_533))
    keys = Keys(scene.keys.lease, place, scene.later.append, scene.said.append)
    keys.lay_out()
    keys.renew((NEWER, NEW_LOGIN))
    found = {path: path.stat() for path in place.credentials.rglob("*")}
    assert len(found) == 4
    assert {(about.st_uid, about.st_gid) for about in found.values()} == {(65_533, 65_533)}
    assert (place.root / ".earlier").stat().st_uid == 0


def test_old_and_new_stay_secret(scene: Scene) -> None:
    """To the attempt itself, and to a monitor that takes this one's place; until all of it is wiped."""
    scene.keys.lay_out()
    scene.keys.renew((NEWER,))
    scene.keys.renew((Credential("eos", "bearer", {"token": "third.token"}),))
    tokens = {"first.token", "second.token", "third.token", "job token", "first word"}
    assert tokens <= set(scene.keys.secrets)
    assert tokens <= set(secrets_in(scene.place.root))
    assert (scene.place.root / ".earlier").stat().st_mode & 0o777 == 0o600
    scene.keys.wipe()
    assert secrets_in(scene.place.root) == ["job token"]


def test_what_comes_before_they_are_laid_out(scene: Scene) -> None:
    """Is what is laid out."""
    scene.keys.renew((NEWER,))
    assert not scene.place.credentials.exists()
    scene.keys.lay_out()
    assert scene.read("eos") == "second.token"


def test_an_attempt_that_has_ended_gets_nothing(scene: Scene) -> None:
    """No file is written and no folder is made again."""
    scene.keys.lay_out()
    scene.keys.wipe()
    left = scene.names()
    scene.keys.renew((NEWER,))
    assert scene.names() == left
    assert not scene.place.credentials.exists()
    assert (scene.later, scene.said) == ([], [])


def test_names_that_the_job_does_not_say(scene: Scene) -> None:
    """Are passed over."""
    scene.keys.lay_out()
    scene.keys.renew((Credential("../escape", "text", {"text": "a secret text"}), Credential("more", "text")))
    assert sorted(os.listdir(scene.place.credentials)) == ["eos", "login"]
    assert not (scene.place.root / "escape").exists()


@pytest.mark.parametrize("first", ["file", "folder"])
def test_another_kind_under_the_same_name(scene: Scene, first: str) -> None:
    """A folder takes the place of a file and the other way round; of s3 there is no file."""
    scene.keys.lay_out()
    if first == "file":
        scene.keys.renew((Credential("eos", "basic", LOGIN.values),))
        assert scene.read("eos/password") == "first word"
    else:
        scene.keys.renew((Credential("login", "bearer", TOKEN.values),))
        assert scene.read("login") == "first.token"
    scene.keys.renew((Credential("eos", "s3"), Credential("login", "s3")))
    assert os.listdir(scene.place.credentials) == []
    assert not [name for name in scene.names() if name in (".newer", ".older")]


@pytest.mark.parametrize("name", ["eos", "login"])
def test_no_link_of_the_payloads_is_followed(scene: Scene, tmp_path: Path, name: str) -> None:
    """The folder is the payload's by now, and we may be root: what it put there is replaced and leads nowhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in ("password", "user", "secret"):
        (elsewhere / file).write_text("untouched")
    scene.keys.lay_out()
    place = scene.place.credentials
    (place / "eos").unlink()
    (place / "login").rename(place / "moved")
    (place / name).symlink_to(elsewhere / "secret" if name == "eos" else elsewhere)
    for aside in (".eos.new", ".login.new"):
        (place / aside).symlink_to(elsewhere / "secret")
    scene.keys.renew((NEWER, NEW_LOGIN))
    assert (scene.read("eos"), scene.read("login/password")) == ("second.token", "second word")
    assert not (place / name).is_symlink()
    assert {path.read_text() for path in elsewhere.iterdir()} == {"untouched"}


def test_what_cannot_be_written_is_written_later(scene: Scene) -> None:
    """The pilot's own transfers have the new one at once; what is in the way is told without a secret."""
    scene.keys.lay_out()
    place, hidden = scene.place.credentials, scene.place.root / "hidden"
    place.rename(hidden)
    scene.keys.renew((NEWER,))
    assert scene.keys.lease.credentials[0] == NEWER
    (sentence,) = scene.said
    assert "7.1" in sentence
    assert "token" not in sentence
    scene.later.pop()()
    hidden.rename(place)
    scene.later.pop()()
    assert scene.read("eos") == "second.token"
    assert scene.later == []
