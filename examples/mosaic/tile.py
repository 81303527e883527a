"""Render one tile of a picture of the Mandelbrot set: ``python3 tile.py tile-7.json`` writes ``tile-7.png``.

Plain Python, 3.9 or newer, on purpose: a job that anybody can read and that keeps a core busy for a second or so. Each
pixel is the mean of four samples; how fast they escape gives the colour, and how they differ gives the relief.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import png

Colour = tuple[float, float, float]  # red, green, blue in linear light, 0 to 1
#: Far beyond the 2 at which a point has escaped, so that the smooth escape time has no visible steps.
ESCAPED = 1000.0
#: Where the light comes from (upper left), and how high it stands: the higher, the flatter the relief.
LIGHT = complex(-math.sqrt(0.5), math.sqrt(0.5))
HEIGHT = 1.1
#: Steps of the palette between one escape time and the double of it.
PACE = 1.3
SHADES = 512


def main(arguments: Sequence[str]) -> None:
    source = Path(arguments[0])
    tile = json.loads(source.read_text())
    target = source.with_suffix(".png")
    png.write(target, tile["width"], tile["height"], render(tile))
    print(f"{target}: {tile['width']} x {tile['height']} pixels from {tile['left']:.9f} {tile['top']:+.9f}i")


def render(tile: dict[str, Any]) -> bytes:
    """The pixels of a tile: `left` and `top` are its corner in the plane, `step` is the side of a pixel."""
    palette = Palette(tile["palette"], tile["inside"])
    half: float = tile["step"] / 2
    most: int = tile["iterations"]
    pixels = bytearray()
    for row in range(tile["height"]):
        upper = tile["top"] - (2 * row + 0.5) * half
        for column in range(tile["width"]):
            left = tile["left"] + (2 * column + 0.5) * half
            times = [
                escape(complex(real, imaginary), most)
                for imaginary in (upper, upper - half)
                for real in (left, left + half)
            ]
            light = shade(times)
            colours = [palette.colour(time) for time in times]
            pixels += bytes(_byte(light * sum(colour[part] for colour in colours) / 4) for part in range(3))
    return bytes(pixels)


def escape(point: complex, most: int) -> float:
    """The smooth escape time of a point; infinite inside the set.

    Four steps are taken between two looks at how far the point has gone: the look costs as much as a step.
    """
    z = 0j
    for count in range(4, most, 4):
        z = z * z + point
        z = z * z + point
        z = z * z + point
        z = z * z + point
        if abs(z) > ESCAPED:
            return count - math.log2(math.log(abs(z)) / math.log(ESCAPED))
    return math.inf


def shade(times: Sequence[float]) -> float:
    """How much light falls on a pixel, 0 to 1, by the slope across its samples: upper two, lower two."""
    a, b, c, d = times
    slope = complex(a + c - b - d, c + d - a - b)  # the way down
    if not 0 < abs(slope) < math.inf:
        return 1.0
    fall = slope / abs(slope)
    return max(0.0, (fall.real * LIGHT.real + fall.imag * LIGHT.imag + HEIGHT) / (1 + HEIGHT))


class Palette:
    """Colours for escape times: stops around a circle, blended in linear light."""

    def __init__(self, stops: Sequence[str], inside: str) -> None:
        self.inside = _linear(inside)
        self.circle: list[Colour] = []
        for number, stop in enumerate(stops):
            self.circle += _blend(_linear(stop), _linear(stops[(number + 1) % len(stops)]))

    def colour(self, time: float) -> Colour:
        if time == math.inf:
            return self.inside
        return self.circle[int(PACE * SHADES * math.log2(max(time, 1.0))) % len(self.circle)]


def _blend(here: Colour, there: Colour) -> list[Colour]:
    """The shades from one stop up to the next, leaving and arriving gently."""
    shades = []
    for number in range(SHADES):
        share = number / SHADES
        share = share * share * (3 - 2 * share)
        red, green, blue = (here[part] + (there[part] - here[part]) * share for part in range(3))
        shades.append((red, green, blue))
    return shades


def _linear(text: str) -> Colour:
    """``#rrggbb`` as linear light."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (byte / 255 for byte in bytes.fromhex(text.lstrip("#")))
    )
    return red, green, blue


def _byte(light: float) -> int:
    """Linear light as it is stored (the sRGB curve)."""
    value = 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return min(255, round(255 * value))


if __name__ == "__main__":
    main(sys.argv[1:])
