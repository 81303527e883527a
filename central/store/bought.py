"""What the stores share of paid machines: rows as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from central.records import Bought, Tariff


def collected(pilots: Sequence[Any], booked: Sequence[tuple[int, str, int, int]]) -> tuple[Bought, ...]:
    """A record for each pilot, with what its cores did: rows of a pilot, a community, and core-microseconds in all and
    in payloads that succeeded."""
    by_pilot: dict[int, dict[str, tuple[int, int]]] = {}
    for pilot, community, whole, good in booked:
        by_pilot.setdefault(pilot, {})[community] = (whole, good)
    return tuple(_bought(row, by_pilot.get(row["id"], {})) for row in pilots)


def _bought(row: Any, booked: Mapping[str, tuple[int, int]]) -> Bought:
    return Bought(
        stamp=row["stamp"],
        site=row["site"],
        queue=row["queue"],
        begun=row["begun"],
        ended=row["ended"],
        tariff=Tariff(row["hour"], row["currency"], row["period"], bool(row["machine"])),
        booked=booked or {row["community"]: (0, 0)},
    )
