"""Prices on EC2's spot market: pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from central.clouds.buying import Quote

#: What prices are in, outside of China and there.
DOLLAR, CHINA, YUAN = "USD", "cn-", "CNY"
#: The market of Linux machines; others pay for a licence as well.
PRODUCT = "Linux/UNIX"


def currency(region: str) -> str:
    return YUAN if region.startswith(CHINA) else DOLLAR


def quotes(history: Iterable[Mapping[str, Any]]) -> tuple[Quote, ...]:
    """What the answers of DescribeSpotPriceHistory say, oldest first; what is no price says nothing."""
    found = (
        Quote(each["Timestamp"].timestamp(), hour, each.get("AvailabilityZone", ""))
        for each in history
        if (hour := _hour(each["SpotPrice"])) is not None
    )
    return tuple(sorted(found, key=lambda quote: (quote.at, quote.zone)))


def _hour(text: str) -> float | None:
    try:
        hour = float(text)
    except ValueError:
        return None
    return hour if math.isfinite(hour) and hour >= 0 else None
