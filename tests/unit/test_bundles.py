"""Bundles: what is refused before anybody opens one, and what a manifest may say."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable

import pytest

from pilot import bundles
from pilot.bundles import MANIFEST, Manifest
from pilot.errors import InvalidInput
from pilot.standard import CommandRecord

GO = CommandRecord("theirs:go", ("node",), ("greeting",), 30.0)


def archive(
    members: dict[str, bytes] | None = None,
    manifest: bytes | None = None,
    change: Callable[[zipfile.ZipFile], None] | None = None,
) -> bytes:
    """A bundle with these members; `change` puts in more."""
    members = {"theirs.py": b"pass\n"} if members is None else members
    written = Manifest("tools", (GO,), bundles.modules_of(list(members))).written()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
        if manifest != b"":
            file.writestr(MANIFEST, written if manifest is None else manifest)
        if change:
            change(file)
    return packed.getvalue()


def refused(content: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        bundles.read(content)
    return str(caught.value)


def test_a_bundle_says_what_its_commands_are() -> None:
    """Name, modules and commands are read from the archive; nothing of it is imported."""
    found = bundles.read(archive({"theirs.py": b"raise SystemExit", "more/__init__.py": b"", "more/data.txt": b"x"}))
    assert found == Manifest("tools", (GO,), ("more", "theirs"))


def link(file: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("link.py")
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    file.writestr(entry, "/etc/passwd")


@pytest.mark.parametrize(
    ("problem", "content"),
    [
        ("plain names", lambda: archive({"../evil.py": b""})),
        ("plain names", lambda: archive({"/etc/evil.py": b""})),
        ("plain names", lambda: archive({"a/../../evil.py": b""})),
        ("plain names", lambda: archive({"a\\..\\evil.py": b""})),
        ("plain names", lambda: archive({"folder/": b""})),
        ("plain names", lambda: archive({".hidden.py": b""})),
        ("each file once", lambda: archive({"a.py": b"", "A.py": b""})),
        ("is a link", lambda: archive(change=link)),
        ("expected at most 2000 files", lambda: archive({f"m{number}.py": b"" for number in range(2001)})),
        ("bytes when unpacked", lambda: archive({"bomb.py": b"0" * (bundles.MAX_UNPACKED + 1)})),
        ("expected at most 10485760 bytes", lambda: b"0" * (bundles.MAX_SIZE + 1)),
        ("a zip archive that is whole", lambda: b"this is none"),
        ("a zip archive that is whole", lambda: archive()[:-30]),
        (f"expected {MANIFEST} in it", lambda: archive(manifest=b"")),
        ("expected JSON", lambda: archive(manifest=b"{")),
        (
            "expected the modules of the archive",
            lambda: archive(manifest=Manifest("tools", (GO,), ("theirs", "x")).written()),
        ),
        ("it is the pilot's own", lambda: archive({"theirs.py": b"", "commands.py": b""})),
    ],
)
def test_what_may_be_harmful_is_refused(problem: str, content: Callable[[], bytes]) -> None:
    """Names that lead elsewhere, links, doubles, bombs and half archives never get as far as an import."""
    assert problem in refused(content())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused() -> None:
    """Of two members of one name nobody could say which counts."""
    assert "each file once" in refused(archive(change=lambda file: file.writestr("theirs.py", b"other")))


def test_a_size_that_lies_is_found() -> None:
    """A member that unpacks into something else than the archive says is refused, whatever its headers promise."""
    content = bytearray(archive({"theirs.py": b"a" * 1000}))
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"theirs.py"))
    content[at + 24 : at + 28] = struct.pack("<I", 10)
    assert "a zip archive that is whole" in refused(bytes(content))


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (CommandRecord("theirs:go", (), (), None), "commands[0].timeout: expected seconds up to 86400, got None"),
        (CommandRecord("theirs:go", (), (), 1e9), "commands[0].timeout"),
        (CommandRecord("theirs:go", (), ("slots",), 5), "only the pilot provides 'slots'"),
        (CommandRecord("theirs:go", ("a b",), (), 5), "commands[0].needs[0]: expected a name, got 'a b'"),
        (CommandRecord("prepare", (), (), 5), "commands[0].name: expected module:attribute, got 'prepare'"),
        (CommandRecord("other:go", (), (), 5), "expected a module of the archive, got 'other:go'"),
    ],
)
def test_a_manifest_is_checked(record: CommandRecord, problem: str) -> None:
    """Each mistake of a manifest is told with its place."""
    assert problem in refused(archive(manifest=Manifest("tools", (record,), ("theirs",)).written()))


def test_every_problem_of_a_manifest_is_told() -> None:
    """One look shows all that is wrong."""
    said = refused(archive(manifest=b'{"format": 2, "name": "a b", "commands": [1], "odd": true}'))
    assert all(part in said for part in ("format", "expected letters, digits", "commands[0]", "unknown key"))


def test_what_is_signed_names_whose_it_is() -> None:
    """A signature is good for one community, one name and one digest."""
    words = (("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("y", "b", "c"))
    assert len({bundles.signed_text(*each) for each in words}) == len(words)
