"""A community's bundle: a zip archive of Python modules with a manifest of its commands, named by its SHA-256.

Read the same way by whoever builds one, by the central that takes it in and by the pilot that is to run it; nothing in
it is ever imported here.
"""

from __future__ import annotations

import io
import json
import re
import stat
import struct
import zipfile
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from pilot.errors import InvalidInput
from pilot.fields import Fields, strings
from pilot.standard import KEPT, THING, CommandRecord, is_theirs

MANIFEST = "manifest.json"
FORMAT = 1
#: Bounds: bytes of the archive, of all that is in it, and of its manifest; files in it, and commands.
MAX_SIZE = 10 * 1024 * 1024
MAX_UNPACKED = 100 * 1024 * 1024
MAX_MANIFEST = 256 * 1024
MAX_MEMBERS = 2000
MAX_COMMANDS = 200
#: Seconds that a command may ask for at most.
MAX_TIMEOUT = 86400
#: Modules that a bundle may not bring along: they are the pilot's own.
RESERVED = frozenset({"commands", "pilot", "pilotage", "central", "wrappers", "__main__"})
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MEMBER = re.compile(r"[A-Za-z0-9_][\w.+-]*(/[A-Za-z0-9_][\w.+-]*){0,19}", re.ASCII)
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: Characters of a member's name.
MAX_NAME = 255
#: The end of an archive, with the numbers of two disks, two counts, the directory's size and place, and no comment.
_END = struct.Struct("<4s4H2LH")
#: The head of a member: 26 bytes, then the lengths of its name and of what comes between that and its content.
_HEAD = struct.Struct("<4s22x2H")
#: Bytes of a member's line in the directory, beside its name and what may follow that.
_ENTRY = 46
_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself. `modules` are those that lie at its top."""

    name: str
    commands: tuple[CommandRecord, ...]
    modules: tuple[str, ...] = field(default=())

    def written(self) -> bytes:
        """As it stands in the archive."""
        commands = [asdict(each) for each in self.commands]
        values = {"format": FORMAT, "name": self.name, "commands": commands, "modules": self.modules}
        return json.dumps(values, indent=1, sort_keys=True).encode() + b"\n"


def signed_text(community: str, name: str, sha256: str) -> bytes:
    """What a community signs: that these bytes are its bundle of that name."""
    return f"pilotage-bundle 1\n{community}\n{name}\n{sha256}\n".encode()


def read(content: bytes) -> Manifest:
    """Check an archive whole, every byte of every member, and read its manifest. Raises `InvalidInput`."""
    if len(content) > MAX_SIZE:
        raise InvalidInput("bundle", f"expected at most {MAX_SIZE} bytes, got {len(content)}")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_members(members)
            _check_places(content, members)
            for member in members:
                _check_content(archive, member)
            manifest = archive.read(MANIFEST) if MANIFEST in archive.namelist() else None
    except InvalidInput:
        raise
    except Exception as error:  # a stranger's bytes: what `zipfile` and `zlib` raise for them is nowhere listed
        problem = f"{type(error).__name__}: {error}"
        raise InvalidInput("bundle", f"expected a zip archive that is whole: {problem}") from error
    if manifest is None:
        raise InvalidInput("bundle", f"expected {MANIFEST} in it: `pilotage bundle build` makes archives with one")
    found = parse_manifest(manifest)
    if found.modules != modules_of([member.filename for member in members]):
        raise InvalidInput(f"{MANIFEST}.modules", "expected the modules of the archive: build it anew")
    return found


def modules_of(names: list[str]) -> tuple[str, ...]:
    """The modules and packages that can be imported from an archive with such members."""
    found = set()
    for name in names:
        first, slash, rest = name.partition("/")
        if slash and rest.endswith(".py"):
            found.add(first)
        elif not slash and first.endswith(".py"):
            found.add(first[: -len(".py")])
    return tuple(sorted(found))


def parse_manifest(text: bytes) -> Manifest:
    """Read a manifest. Raises `InvalidInput` with every problem."""
    try:
        values = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(MANIFEST, f"expected JSON: {error}") from error
    problems: list[InvalidInput] = []
    fields = Fields(values, MANIFEST, problems)
    fields.whole("format", 0, least=FORMAT, most=FORMAT)
    name = fields.text("name", "", most=100) or ""
    if not NAME.fullmatch(name):
        fields.problem("name", f"expected letters, digits, dots, dashes and underscores, got {name!r}")
    modules = strings(fields, "modules", most=MAX_MEMBERS)
    entries = fields.listed("commands", most=MAX_COMMANDS)
    places = [f"{MANIFEST}.commands[{index}]" for index in range(len(entries))]
    commands = tuple(_command(Fields(entry, where, problems)) for entry, where in zip(entries, places))
    for where, command in zip(places, commands):
        if command.name.partition(":")[0].partition(".")[0] not in modules:
            problems.append(InvalidInput(where, f"expected a module of the archive, got {command.name!r}"))
    if len({command.name for command in commands}) < len(commands):
        problems.append(InvalidInput(f"{MANIFEST}.commands", "expected each command once"))
    problems += [InvalidInput("bundle", f"expected no module {module!r}: it is the pilot's own")
                 for module in sorted(RESERVED.intersection(modules))]  # fmt: skip
    fields.finish()
    if problems:
        raise InvalidInput("", "; ".join(str(problem) for problem in problems[:20]))
    return Manifest(name, commands, modules)


def _command(fields: Fields) -> CommandRecord:
    name = fields.text("name", "", most=300) or ""
    if not is_theirs(name):
        fields.problem("name", f"expected module:attribute, got {name!r}")
    always = fields.take("always", False)
    if not isinstance(always, bool):
        fields.problem("always", "expected true or false")
    record = CommandRecord(
        name,
        strings(fields, "needs", most=100, each=_thing),
        strings(fields, "provides", most=100, each=_thing),
        _timeout(fields),
        always is True,
    )
    for thing in sorted(KEPT.intersection(record.provides)):
        fields.problem("provides", f"expected something of the community's own: only the pilot provides {thing!r}")
    fields.finish()
    return record


def _timeout(fields: Fields) -> Optional[float]:
    value: Any = fields.take("timeout", None)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MAX_TIMEOUT:
        fields.problem("timeout", f"expected seconds up to {MAX_TIMEOUT}, got {value!r}")
        return None
    return float(value)


def _thing(text: str, where: str) -> str:
    if not THING.fullmatch(text):
        raise InvalidInput(where, f"expected a name, got {text!r}")
    return text


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    """Refuse what could lie anywhere else than it seems, or be more than it seems."""
    if len(members) > MAX_MEMBERS:
        raise InvalidInput("bundle", f"expected at most {MAX_MEMBERS} files in it, got {len(members)}")
    seen: set[str] = set()
    for member in members:
        name = member.orig_filename  # `filename` is the same up to a zero byte
        if len(name) > MAX_NAME:
            raise InvalidInput("bundle", f"expected names of at most {MAX_NAME} characters, got {name[:40]!r}...")
        if not _MEMBER.fullmatch(name) or any(part.endswith(".") for part in name.split("/")):
            raise InvalidInput("bundle", f"expected files below its top, with plain names, got {name!r}")
        if name.lower() in seen:
            raise InvalidInput("bundle", f"expected each file once, got {name!r} again")
        seen.add(name.lower())
        mode = member.external_attr >> 16
        plain = stat.S_IFMT(mode) in (0, stat.S_IFREG) and not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX)
        if not plain or member.flag_bits & 0x1 or member.compress_type not in _KINDS:
            raise InvalidInput("bundle", f"expected plain files, and {name!r} is a link, encrypted, or oddly packed")
    size = sum(member.file_size for member in members)
    if size > MAX_UNPACKED:
        raise InvalidInput("bundle", f"expected at most {MAX_UNPACKED} bytes when unpacked, got {size}")
    if any(member.filename == MANIFEST and member.file_size > MAX_MANIFEST for member in members):
        raise InvalidInput("bundle", f"expected a manifest of at most {MAX_MANIFEST} bytes")


def _check_places(content: bytes, members: list[zipfile.ZipInfo]) -> None:
    """One member lies behind the other, then comes the directory, then one end, and nothing lies anywhere else.

    Python's import reads an archive otherwise than `zipfile` does, and takes the same one for another where there is
    more than one end or directory to be found: what is checked here must be what is imported on the node.
    """
    place = 0
    for member in sorted(members, key=lambda each: each.header_offset):
        if member.header_offset != place or place + _HEAD.size > len(content):
            raise InvalidInput("bundle", f"expected one file behind the other, and nothing between them, at {place}")
        _, name, between = _HEAD.unpack_from(content, place)
        place += _HEAD.size + name + between + member.compress_size
    if len(content) < place + _END.size:
        raise InvalidInput("bundle", "expected a zip archive that is whole")
    length = sum(_ENTRY + len(each.orig_filename) + len(each.extra) + len(each.comment) for each in members)
    end = _END.unpack_from(content, len(content) - _END.size)
    one_directory = (b"PK\5\6", 0, 0, len(members), len(members), length, place, 0)
    if end != one_directory or place + length + _END.size != len(content):
        raise InvalidInput("bundle", "expected a zip archive with one directory, behind its files, and no more")


def _check_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Unpack a member into nothing: its size and checksum must be what the archive says."""
    size = 0
    with archive.open(member) as file:
        while block := file.read(_BLOCK):
            size += len(block)
    if size != member.file_size:
        raise InvalidInput("bundle", f"expected {member.file_size} bytes of {member.filename!r}, got {size}")
