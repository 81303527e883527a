"""A picture of stacked bars as SVG, large enough for a slide. Any program that shows web pages shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pilotage.rounding import percentages

#: Measures in units of the picture: it is 1280 wide, as a slide is.
WIDTH, MARGIN, LABELS, FIGURES = 1280, 40, 220, 130
BAR, STEP, TOP, LEGEND, LEGEND_COLUMNS = 44, 64, 110, 34, 4
#: Characters of a label that fit.
MAX_LABEL = 20
#: Part of a bar, from 0 to 1, in which its percentage can be read.
READABLE = 0.045
FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Kind:
    """What parts of bars stand for. `light`: dark writing can be read on it."""

    name: str
    colour: str
    light: bool = False


@dataclass(frozen=True)
class Bar:
    """One bar, drawn to full width whatever its parts add up to."""

    label: str
    parts: Sequence[float]  # one for each kind, in any unit
    figure: str  # written behind it


def stacked(title: str, note: str, kinds: Sequence[Kind], bars: Sequence[Bar]) -> str:
    """The picture: a title, bars with the share of each kind, and what the colours mean. Kinds of nothing are left
    out."""
    shown = [place for place in range(len(kinds)) if any(bar.parts[place] > 0 for bar in bars)]
    lines = -(-len(shown) // LEGEND_COLUMNS)
    legend = TOP + STEP * len(bars) + 20
    height = max(360, legend + LEGEND * lines + MARGIN)
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(MARGIN, 52, title, 30, weight="bold"),
        _text(MARGIN, 84, note, 18, colour="#555555"),
    ]
    for place, bar in enumerate(bars):
        body += _bar(TOP + STEP * place, bar, kinds)
    shares = percentages([sum(bar.parts[kind] for bar in bars) for kind in shown])
    for place, kind in enumerate(shown):
        body += _entry(place, legend, kinds[kind], shares[place])
    return "\n".join([*body, "</svg>", ""])


def _bar(top: int, bar: Bar, kinds: Sequence[Kind]) -> list[str]:
    label = bar.label if len(bar.label) <= MAX_LABEL else bar.label[: MAX_LABEL - 1] + "…"
    middle = top + BAR / 2 + 7
    drawn = [_text(MARGIN + LABELS - 16, middle, label, 20, anchor="end")]
    left, whole = float(MARGIN + LABELS), sum(bar.parts)
    room = WIDTH - 2 * MARGIN - LABELS - FIGURES
    for kind, part in zip(kinds, bar.parts, strict=True):
        if part <= 0:
            continue
        share = part / whole
        wide = share * room
        drawn.append(
            f'<rect x="{left:.2f}" y="{top}" width="{wide:.2f}" height="{BAR}" fill="{kind.colour}">'
            f"<title>{escape(bar.label)}: {escape(kind.name)} {100 * share:.1f} %</title></rect>"
        )
        if share >= READABLE:
            colour = "#1a1a1a" if kind.light else "#ffffff"
            drawn.append(_text(left + wide / 2, middle, f"{100 * share:.0f} %", 17, colour=colour, anchor="middle"))
        left += wide
    drawn.append(_text(WIDTH - MARGIN, middle, bar.figure, 18, colour="#333333", anchor="end"))
    return drawn


def _entry(place: int, top: int, kind: Kind, share: str) -> list[str]:
    line, column = divmod(place, LEGEND_COLUMNS)
    x = MARGIN + column * (WIDTH - 2 * MARGIN) / LEGEND_COLUMNS
    y = top + line * LEGEND
    return [
        f'<rect x="{x:.0f}" y="{y}" width="20" height="20" fill="{kind.colour}"/>',
        _text(x + 30, y + 17, f"{kind.name}  {share}", 18, colour="#333333"),
    ]


def _text(
    x: float, y: float, text: str, size: int, *, colour: str = "#1a1a1a", anchor: str = "start", weight: str = "normal"
) -> str:
    style = f'font-size="{size}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style} xml:space="preserve">{escape(text)}</text>'
