"""Prices on EC2's spot market: pure."""

from __future__ import annotations

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
    """What the answers of DescribeSpotPriceHistory say, oldest first."""
    found = (
        Quote(each["Timestamp"].timestamp(), float(each["SpotPrice"]), each.get("AvailabilityZone", ""))
        for each in history
    )
    return tuple(sorted(found, key=lambda quote: (quote.at, quote.zone)))
