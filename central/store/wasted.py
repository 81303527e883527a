"""What the stores share of ledgers' sums: the keys, and rows of sums as records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from central.records import WASTE_KEYS
from pilot.errors import Refusal
from pilot.use import WasteRow


def check_keys(by: Sequence[str]) -> None:
    """Raises ``invalid``."""
    if unknown := [key for key in by if key not in WASTE_KEYS]:
        raise Refusal("invalid", f"by: expected some of {', '.join(WASTE_KEYS)}, got {unknown[0]!r}")


def gathered(keys: int, rows: Sequence[tuple[Any, ...]]) -> tuple[WasteRow, ...]:
    """A record for each combination of so many keys. Rows: the keys, then a cause with its amount, or none with the
    number of pilots."""
    booked: dict[tuple[str, ...], dict[str, int]] = {}
    pilots: dict[tuple[str, ...], int] = {}
    for row in rows:
        cause, number = row[-2:]
        if cause is None:
            pilots[row[:keys]] = number
        else:
            booked.setdefault(row[:keys], {})[cause] = number
    return tuple(WasteRow(key, pilots[key], booked[key]) for key in sorted(booked))
