"""Figures that are rounded together, so that what is shown adds up to the sum that is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: What the binary fractions of a sum may be off by.
_NOISE = 1e-9


def adding_up(amounts: Sequence[float], digits: int) -> list[float]:
    """The amounts, from 0 on, with so many decimals: their sum is the rounded sum. Each is off by less than one unit of
    the last decimal; who loses most by being cut is rounded up first."""
    unit = 10**digits
    scaled = [amount * unit for amount in amounts]
    cut = [math.floor(amount + _NOISE) for amount in scaled]
    missing = round(sum(scaled)) - sum(cut)
    by_loss = sorted(range(len(cut)), key=lambda place: cut[place] - scaled[place])
    for place in by_loss[: max(0, missing)]:
        cut[place] += 1
    return [amount / unit for amount in cut]


def percentages(parts: Sequence[float]) -> list[str]:
    """Each part of the whole as ``65.4 %``, together 100; empty where there is nothing to be a part of."""
    whole = sum(parts)
    if not whole:
        return ["" for _ in parts]
    shares = adding_up([100 * part / whole for part in parts], 1)
    return [f"{share:.1f} %" if part else "0 %" for part, share in zip(parts, shares, strict=True)]


def core_hours(core_seconds: Sequence[float]) -> tuple[list[str], str]:
    """Each amount in core-hours, and their sum: with more decimals the less there is in all."""
    hours = [amount / 3600 for amount in core_seconds]
    whole = sum(hours)
    digits = 0 if whole >= 1000 else 1 if whole >= 100 else 2 if whole >= 1 else 3
    return [f"{amount:,.{digits}f}" for amount in adding_up(hours, digits)], f"{whole:,.{digits}f}"
