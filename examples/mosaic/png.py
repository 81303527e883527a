"""Pictures as PNG files, eight bits each of red, green and blue: just enough to write them and to read them back."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def write(path: Path, width: int, height: int, pixels: bytes) -> None:
    """Write `pixels`, row after row from the top, three bytes each."""
    if len(pixels) != 3 * width * height:
        raise ValueError(f"expected {3 * width * height} bytes for {width} x {height} pixels, got {len(pixels)}")
    stride = 3 * width
    rows = b"".join(b"\0" + pixels[at : at + stride] for at in range(0, len(pixels), stride))  # 0: an unfiltered row
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")
    path.write_bytes(SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks))


def read(path: Path) -> tuple[int, int, bytes]:
    """Return width, height and pixels of a file that `write` made. Raises `ValueError` for anything else."""
    header = packed = b""
    for kind, content in _chunks(path.read_bytes(), path):
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            packed += content
    width, height = struct.unpack(">II", header[:8])
    rows = zlib.decompress(packed)
    stride = 3 * width + 1
    if header[8:] != b"\x08\x02\0\0\0" or len(rows) != stride * height or any(rows[::stride]):
        raise ValueError(f"{path}: expected unfiltered rows of 8-bit RGB, as this module writes them")
    return width, height, b"".join(rows[at + 1 : at + stride] for at in range(0, len(rows), stride))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _chunks(data: bytes, path: Path) -> Iterator[tuple[bytes, bytes]]:
    if not data.startswith(SIGNATURE):
        raise ValueError(f"{path}: this is not a PNG file")
    at = len(SIGNATURE)
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        whole = data[at : at + size + 12]
        if len(whole) < size + 12 or whole != _chunk(whole[4:8], whole[8:-4]):
            raise ValueError(f"{path}: the file is damaged at byte {at}")
        yield whole[4:8], whole[8:-4]
        at += size + 12
