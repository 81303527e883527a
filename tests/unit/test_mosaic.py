"""The example's renderer: the same pixels everywhere, in files that every program reads."""

import hashlib
import json
import math
import struct
import sys
import zlib
from pathlib import Path

import pytest
import yaml

from pilot.jobfile import members, parse

MOSAIC = Path(__file__).resolve().parents[2] / "examples" / "mosaic"
sys.path.insert(0, str(MOSAIC))

import png  # noqa: E402 - the payloads are programs in a folder, not a package
import run  # noqa: E402
import stitch  # noqa: E402
import tile  # noqa: E402

TINY = {
    "left": -0.7455,
    "top": 0.1131,
    "step": 0.00003,
    "width": 8,
    "height": 6,
    "iterations": 600,
    "palette": ["#f2a83b", "#7a1f0a", "#000a2e", "#1f5fa8", "#e8f3f8"],
    "inside": "#05060d",
}
DIGEST = "d15a41faa1f307732e0916f6dc9cb1971ccdfb4ba4b14378eebef34f77946343"


def test_a_tile_is_the_same_pixels_each_time():
    """A tile's pixels depend on its input alone, so that a job that ran twice wrote the same file."""
    pixels = tile.render(TINY)

    assert len(pixels) == 3 * 8 * 6
    assert hashlib.sha256(pixels).hexdigest() == DIGEST


def test_two_tiles_meet_without_a_seam():
    """What is one tile wide or two makes no difference: neighbours sample the same points."""
    left = tile.render({**TINY, "width": 4})
    right = tile.render({**TINY, "left": TINY["left"] + 4 * TINY["step"], "width": 4})
    rows = [left[12 * y : 12 * y + 12] + right[12 * y : 12 * y + 12] for y in range(6)]

    difference = [abs(a - b) for a, b in zip(b"".join(rows), tile.render(TINY), strict=True)]
    assert max(difference) <= 1  # the corner of the second tile is a rounded sum


def test_a_point_inside_the_set_never_escapes():
    """The origin is inside; a point far outside is gone at once."""
    assert tile.escape(0j, 200) == math.inf
    assert tile.escape(3 + 0j, 200) < 4


def test_the_written_file_is_a_png(tmp_path):
    """The file has the signature, whole chunks in order, their checksums, and unfiltered rows of the pixels."""
    pixels = bytes(range(2 * 3 * 3))
    png.write(tmp_path / "a.png", 3, 2, pixels)
    data = (tmp_path / "a.png").read_bytes()

    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, content, check = data[at + 4 : at + 8], data[at + 8 : at + 8 + size], data[at + 8 + size : at + 12 + size]
        assert struct.unpack(">I", check)[0] == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (3, 2, 8, 2, 0, 0, 0)
    assert zlib.decompress(chunks[b"IDAT"]) == b"\0" + pixels[:9] + b"\0" + pixels[9:]


def test_a_picture_is_read_back_as_it_was_written(tmp_path):
    """Reading undoes writing."""
    png.write(tmp_path / "a.png", 2, 2, b"abcdefghijkl")

    assert png.read(tmp_path / "a.png") == (2, 2, b"abcdefghijkl")


def test_a_damaged_picture_is_refused(tmp_path):
    """A flipped byte does not become a wrong picture."""
    png.write(tmp_path / "a.png", 2, 2, b"abcdefghijkl")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[45] ^= 1
    (tmp_path / "a.png").write_bytes(data)

    with pytest.raises(ValueError, match="damaged"):
        png.read(tmp_path / "a.png")


def test_tiles_are_joined_row_by_row(tmp_path):
    """Tile 0 is at the top left, tile 1 right of it, tile 2 below."""
    for number in range(4):
        png.write(tmp_path / f"tile-{number}.png", 1, 2, bytes([number] * 6))

    width, height, pixels = stitch.stitch([tmp_path / f"tile-{number}.png" for number in range(4)], 2)

    assert (width, height) == (2, 4)
    assert [pixels[at] for at in range(0, len(pixels), 3)] == [0, 1, 0, 1, 2, 3, 2, 3]


def test_the_tiles_cover_the_picture(tmp_path):
    """64 inputs, whose tiles lie side by side from the picture's corner to its other end."""
    picture = json.loads((MOSAIC / "picture.json").read_text())
    tiles = run.tiles(picture)

    assert len(tiles) == 64
    assert (tiles[0]["left"], tiles[0]["top"]) == (picture["left"], picture["top"])
    right = tiles[63]["left"] + tiles[63]["width"] * tiles[63]["step"]
    below = tiles[63]["top"] - tiles[63]["height"] * tiles[63]["step"]
    assert right == pytest.approx(picture["left"] + picture["side"])
    assert below == pytest.approx(picture["top"] - picture["side"])


@pytest.mark.parametrize(("name", "count"), [("tiles.yaml", 64), ("stitch.yaml", 1)])
def test_the_job_files_of_the_example_are_valid(name, count):
    """The example's job files are ones that the central takes."""
    document = parse(yaml.safe_load((MOSAIC / name).read_text()))

    assert len(list(members(document))) == count
