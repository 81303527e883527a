"""The contract of objects: a folder of this machine, and what fsspec has a URL for, for which its memory stands."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import pytest

from central.keeping.local_objects import LocalObjects
from central.keeping.objects import Objects, open_objects


@pytest.fixture(params=["folder", "url"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    return open_objects(str(tmp_path / "objects") if request.param == "folder" else f"memory://{secrets.token_hex(8)}")


def test_what_is_written_is_there(objects: Objects) -> None:
    """An object is read in parts, and told with its size in its folder, where folders are not objects."""
    objects.write("a/b/one", b"0123456789")
    objects.write("a/b/two", b"x")
    objects.write("a/b/c/deep", b"")
    assert objects.read("a/b/one", 3, 4) == b"3456"
    assert objects.read("a/b/one", 8, 100) == b"89"
    assert objects.read("a/b/one", 50, 1) == b""
    assert dict(objects.sizes("a/b")) == {"one": 10, "two": 1}
    assert list(objects.folders("a/b")) == ["c"]
    assert objects.size("a/b/one") == 10


def test_what_is_not_there(objects: Objects) -> None:
    """No folder has nothing in it, no object has no size, and removing either is no error; reading one is."""
    assert dict(objects.sizes("none")) == {}
    assert list(objects.folders("none")) == []
    assert objects.size("none/x") is None
    objects.remove(["none/x"])
    objects.remove_folder("none")
    with pytest.raises(FileNotFoundError):
        objects.read("none/x", 0, 1)


def test_an_object_appears_whole_or_not_at_all(objects: Objects) -> None:
    """While it is written it has no name, and when that fails nothing stays."""

    def fail() -> None:
        with objects.writing("a/x") as file:
            file.write(b"half")
            assert objects.size("a/x") is None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert dict(objects.sizes("a")) == {}


def test_objects_move_join_and_go(objects: Objects) -> None:
    """One takes another's name, several become one, and a folder goes with all that is in it."""
    for name in ("one", "two", "three"):
        objects.write(f"a/{name}", name.encode())
    objects.move("a/three", "a/3")
    objects.join([("a/one", 0), ("a/two", 1), ("a/3", 0)], "a/all")
    assert objects.read("a/all", 0, 100) == b"onewothree"
    objects.remove(["a/one", "a/two"])
    assert sorted(objects.sizes("a")) == ["3", "all"]
    objects.remove_folder("a")
    assert dict(objects.sizes("a")) == {}


def test_the_age_of_an_object(objects: Objects) -> None:
    """When it was written is told by the clock of all; one that is gone is as if it were written never."""
    objects.write("a/x", b"x")
    assert abs(objects.modified("a/x") - time.time()) < 60
    assert objects.modified("a/y") == float("inf")


def test_bytes_are_put_at_their_place(tmp_path: Path) -> None:
    """In a folder an object grows by bytes at an offset; putting them again changes nothing, and cuts nothing off."""
    objects = LocalObjects(str(tmp_path))
    assert objects.grows
    objects.put("a/x", 0, b"0123")
    objects.put("a/x", 4, b"4567")
    objects.put("a/x", 0, b"0123")
    assert objects.read("a/x", 0, 100) == b"01234567"
