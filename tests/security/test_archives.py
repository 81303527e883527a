"""Archives as attacks: bundles that are otherwise than they look.

There is one reader of bundles, for whoever builds them, the central and the node. That changed bytes are never kept is
in `unit/test_fetching_bundles.py` and `integration/test_api_bundles.py`; what else unpacks something is in
`test_unpacking.py`.
"""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import time
import tracemalloc
import zipfile
import zipimport
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pilot import bundles
from pilot.bundles import MANIFEST, Manifest
from pilot.errors import InvalidInput
from pilot.standard import CommandRecord
from tests.security import zips

GO = CommandRecord("theirs:go", (), (), 30.0)
Members = Mapping[str, bytes]


def manifest(*modules: str) -> bytes:
    return Manifest("tools", (GO,), modules).written()


def archive(members: Members, change: Callable[[zipfile.ZipInfo], None] | None = None, kind: int = 8) -> bytes:
    """A zip of these, each entry changed before it is written."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            if change and name != MANIFEST:
                change(entry)
            file.writestr(entry, content, kind)
    return packed.getvalue()


def good(**more: bytes) -> dict[str, bytes]:
    members = {"theirs.py": b"WHO = 'good'\n", **more}
    return {**members, MANIFEST: manifest(*bundles.modules_of(list(members)))}


def refused(content: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        bundles.read(content)
    return str(caught.value)


def imported(content: bytes, folder: Path) -> str:
    """Who speaks in a bundle's module, as Python's import sees the archive."""
    path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.zip"
    path.write_bytes(content)
    namespace: dict[str, str] = {}
    exec(zipimport.zipimporter(str(path)).get_code("theirs"), namespace)
    return namespace["WHO"]


def test_a_good_one_is_read(tmp_path: Path) -> None:
    """What the others are changed from passes, and is what is imported."""
    content = archive(good())
    assert bundles.read(content).modules == ("theirs",)
    assert imported(content, tmp_path) == "good"


# -- what a member may be -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    [
        *("../evil.py", "a/../../evil.py", "/etc/evil.py", "//evil.py", "./evil.py", "a//evil.py", "a/./evil.py"),
        *("a\\..\\evil.py", "C:\\evil.py", "C:evil.py", "~/evil.py", "a/", "..", ".", "-rf", ".hidden.py", "a/.b.py"),
        *("evil\n.py", "evil\x1b[2J.py", "evil .py", "evil\u202eyp.py", "\u0435vil.py", "a" * 300 + ".py"),
        *("/".join(["a"] * 25) + ".py", "evil.py.", "a./evil.py", "a.py:stream", "a/b.py|x", "$(id).py", "%2e%2e/e.py"),
    ],
    ids=lambda name: ascii(name[:30]),
)
def test_a_name_that_leads_elsewhere(name: str) -> None:
    """Upwards, absolute, of another system, hidden, for a shell or a terminal, without end: refused by its name."""
    assert "names" in refused(archive({**good(), name: b""}))


def test_a_name_that_ends_before_its_end() -> None:
    """A zero byte in a name, at which some readers stop, hides nothing."""
    content = archive({**good(), "evil.py_.txt": b""})
    assert "names" in refused(content.replace(b"evil.py_", b"evil.py\0"))


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR], ids=hex
)
def test_a_member_that_is_no_file(kind: int) -> None:
    """Links, devices, pipes, sockets and folders are refused, whatever they are called."""

    def change(entry: zipfile.ZipInfo) -> None:
        entry.external_attr = (kind | 0o644) << 16

    assert "expected plain files" in refused(archive(good(), change))


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1777], ids=oct)
def test_a_member_with_rights_of_another(mode: int) -> None:
    """Files that would run as their owner or group are refused, though nothing of a bundle is ever unpacked."""

    def change(entry: zipfile.ZipInfo) -> None:
        entry.external_attr = (stat.S_IFREG | mode) << 16

    assert "expected plain files" in refused(archive(good(), change))


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str)
def test_a_member_that_is_packed_otherwise(kind: int) -> None:
    """Ways of packing that the node's import has not are refused."""
    assert "oddly packed" in refused(archive(good(), kind=kind))


def test_a_member_that_is_encrypted() -> None:
    """Nobody could look into it."""
    content = bytearray(archive(good()))
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + at] |= 1
    assert "encrypted" in refused(bytes(content))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["theirs.py", "Theirs.py", "THEIRS.PY"])
def test_a_name_that_comes_twice(other: str) -> None:
    """Also where only some file systems take it for the same."""
    packed = io.BytesIO(archive(good()))
    with zipfile.ZipFile(packed, "a") as file:
        file.writestr(other, b"WHO = 'evil'\n")
    assert "each file once" in refused(packed.getvalue())


# -- bombs ----------------------------------------------------------------------------------------------------------
def test_one_that_unpacks_without_end() -> None:
    """A file of a gigabyte, and a thousand of a megabyte, are refused by what the archive says, before they are
    unpacked."""
    zeros = b"\0" * 2**20
    for content in (
        archive(good(**{f"m{number}.txt": zeros for number in range(120)})),
        declared(archive(good(), kind=zipfile.ZIP_STORED), 2**30),
    ):
        began = time.monotonic()
        tracemalloc.start()
        assert "bytes when unpacked" in refused(content)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 * 2**20
        assert time.monotonic() - began < 30


def declared(content: bytes, size: int) -> bytes:
    """The first member is said to be so large when it is unpacked."""
    changed = bytearray(content)
    at = changed.index(b"PK\1\2")
    changed[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(changed)


def test_one_that_is_larger_than_it_says() -> None:
    """A member that unpacks into more than its line says is cut there, and then its checksum is wrong."""
    assert "whole" in refused(declared(archive(good(bomb=b"\0" * 2**20)), 10))


def test_members_that_share_their_bytes() -> None:
    """A thousand lines that all lead to the same megabyte: one lies behind the other, or it is refused."""
    content = archive(good(**{"m1.txt": b"a" * 2**16, "m2.txt": b"a" * 2**16}))
    first, second = content.index(b"PK\3\4", 1), content.index(b"m2.txt") - 30
    changed = bytearray(content)
    line = changed.rindex(b"m2.txt") - 46
    changed[line + 42 : line + 46] = struct.pack("<I", first)
    changed[second + 30 : second + 36] = b"m1.txt"
    changed[line + 46 : line + 52] = b"m1.txt"
    assert refused(bytes(changed))


def test_too_many_members() -> None:
    """Names cost as well."""
    assert "at most 2000 files" in refused(
        archive({f"m{number}.txt": b"" for number in range(bundles.MAX_MEMBERS + 1)})
    )


def test_an_archive_in_an_archive_is_bytes() -> None:
    """Nothing looks into what lies in a bundle, so that nesting brings nothing about: it is as large as it is."""
    inner = archive({"deep.txt": b"\0" * 2**20})
    for _ in range(5):
        inner = archive({"inner.zip": inner})
    assert bundles.read(archive(good(**{"inner.zip": inner}))).modules == ("theirs",)


# -- half ones, and more than one in one ------------------------------------------------------------------------------
def test_one_that_was_cut_anywhere() -> None:
    """However much of it is there: less than all is refused."""
    content = archive(good())
    for length in range(len(content)):
        assert refused(content[:length])


def test_one_with_any_byte_changed_is_refused_or_the_same() -> None:
    """A changed byte that the checksums do not see, as of a time, changes nothing of what is read."""
    content, found = archive(good()), bundles.read(archive(good()))
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        try:
            assert bundles.read(bytes(changed)).modules == found.modules, place
        except InvalidInput:
            continue


@pytest.mark.parametrize(
    "beside",
    [b"x", b"#!/bin/sh\n", b"\x7fELF" + b"\0" * 60, b"GIF89a" + b"\0" * 10],
    ids=["a byte", "a script", "a program", "a picture"],
)
def test_one_with_something_beside_it(beside: bytes) -> None:
    """A program or a picture before it or behind it, as in files that are two things at once, is refused."""
    content = archive(good())
    assert refused(beside + content)
    assert refused(content + beside)
    commented = bytearray(content + beside)
    commented[len(content) - 2 : len(content)] = struct.pack("<H", len(beside))
    assert refused(bytes(commented))
    assert refused(content + content)
    assert refused(archive({"theirs.py": b"WHO = 'evil'\n"}) + content)


def test_one_that_is_two(tmp_path: Path) -> None:
    """An end of 64 bits that leads to one directory, and an end that leads to another: who checks sees the one, and
    Python's import may see the other. Such an archive is refused, wherever the other files hide."""
    evil, shown = archive({"theirs.py": b"WHO = 'evil'\n"}), archive(good())
    files, directory = zips.split(shown)
    hidden_files, hidden = zips.split(evil)
    beside = zips.two_faced(files + hidden_files, zips.moved(hidden, len(files)), directory)
    around = archive(good(data=evil), kind=zipfile.ZIP_STORED)
    files, directory = zips.split(around)
    inside = zips.two_faced(files, zips.moved(hidden, files.index(evil)), directory)
    for content in (beside, inside):
        with zipfile.ZipFile(io.BytesIO(content)) as seen:
            assert seen.read("theirs.py") == b"WHO = 'good'\n"
        assert imported(content, tmp_path) in ("evil", "good")  # by the version of Python
        assert "behind" in refused(content)


@pytest.mark.parametrize("size", [0, 1, 2**32 - 1, 2**63, 2**64 - 1])
def test_numbers_of_64_bits_that_lie(size: int) -> None:
    """Sizes and places beyond the archive, in the fields for long ones, are refused, and cost nothing."""
    files, directory = zips.split(archive(good()))
    place = len(files) + len(directory)
    for length, start in ((size, len(files)), (len(directory), size)):
        lie = zips.long_end(zips.counted(directory), length, start, place)
        assert refused(files + directory + lie + zips.end(zips.MANY, zips.BEYOND, zips.BEYOND))
        assert refused(files + directory + lie + zips.end(zips.counted(directory), len(directory), len(files)))
