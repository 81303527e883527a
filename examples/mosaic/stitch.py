"""Join square tiles into a picture: ``python3 stitch.py tiles mosaic.png`` takes tiles/tile-0.png and so on."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import png


def main(arguments: Sequence[str]) -> None:
    folder, target = Path(arguments[0]), Path(arguments[1])
    count = len(list(folder.glob("tile-*.png")))
    columns = math.isqrt(count)
    if columns * columns != count or not count:
        raise SystemExit(f"expected the tiles of a square in {folder}, got {count}")
    width, height, pixels = stitch([folder / f"tile-{number}.png" for number in range(count)], columns)
    png.write(target, width, height, pixels)
    print(f"{target}: {count} tiles, {width} x {height} pixels")


def stitch(tiles: Sequence[Path], columns: int) -> tuple[int, int, bytes]:
    """Width, height and pixels of the whole; all tiles have the size of the first."""
    width, height, _ = png.read(tiles[0])
    stride = 3 * width
    whole = bytearray(len(tiles) * stride * height)
    for number, tile in enumerate(tiles):
        size = png.read(tile)
        if size[:2] != (width, height):
            raise SystemExit(f"{tile}: expected {width} x {height} pixels as in {tiles[0]}, got {size[0]} x {size[1]}")
        row, column = divmod(number, columns)
        for line in range(height):
            at = ((row * height + line) * columns + column) * stride
            whole[at : at + stride] = size[2][line * stride : (line + 1) * stride]
    return width * columns, height * len(tiles) // columns, bytes(whole)


if __name__ == "__main__":
    main(sys.argv[1:])
