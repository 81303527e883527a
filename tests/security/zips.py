"""Zip archives taken apart and put together otherwise, as somebody would who wants them seen in two ways."""

from __future__ import annotations

import struct

_END = struct.Struct("<4s4H2LH")
_LONG_END = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
#: What a number of 32 or 16 bits says when the one of 64 bits counts.
BEYOND, MANY = 0xFFFFFFFF, 0xFFFF


def split(content: bytes) -> tuple[bytes, bytes]:
    """The files and the directory of an archive."""
    *_, start, _ = _END.unpack(content[-_END.size :])
    return content[:start], content[start : -_END.size]


def counted(directory: bytes) -> int:
    """The lines of a directory."""
    return directory.count(b"PK\1\2")


def moved(directory: bytes, by: int) -> bytes:
    """A directory whose files lie so many bytes further behind."""
    changed, at = bytearray(directory), 0
    while at < len(changed):
        (place,) = struct.unpack_from("<I", changed, at + 42)
        struct.pack_into("<I", changed, at + 42, place + by)
        name, extra, comment = struct.unpack_from("<3H", changed, at + 28)
        at += 46 + name + extra + comment
    return bytes(changed)


def end(count: int, length: int, start: int) -> bytes:
    """The end of an archive, with what it says of the directory."""
    return _END.pack(b"PK\5\6", 0, 0, count, count, length, start, 0)


def long_end(count: int, length: int, start: int, place: int) -> bytes:
    """The end with numbers of 64 bits, that lies at `place`, and what leads to it."""
    return _LONG_END.pack(b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start) + _LOCATOR.pack(
        b"PK\6\7", 0, place, 1
    )


def two_faced(files: bytes, hidden: bytes, shown: bytes) -> bytes:
    """An archive with two directories: its end of 64 bits leads to the one that is shown, its other end to both, of
    which a reader that knows no end of 64 bits takes the first, up to what is no line of one."""
    gap = b"JUNK"
    start = len(files) + len(hidden) + len(gap)
    between = hidden + gap + shown + long_end(counted(shown), len(shown), start, start + len(shown))
    return files + between + end(counted(hidden), len(between), len(files))
