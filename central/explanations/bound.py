"""Pilots that serve one community alone, as the others are told of them: that they do, and not whom."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from central.matching.matcher import Miss
from central.records import PilotRow


def serves(pilot: PilotRow) -> tuple[str, ...]:
    """The communities that may have jobs on the pilot."""
    return (pilot.bound,) if pilot.bound else pilot.communities


def left_out(pilot: PilotRow) -> tuple[str, ...]:
    """The communities that it was sent for, and does not serve any more."""
    return tuple(sorted(set(pilot.communities) - set(serves(pilot))))


def told_alone(misses: tuple[Miss, ...], community: str, left_out: Collection[str]) -> tuple[Miss, ...]:
    """The misses, one for the community with why, where the pilot was sent for it."""
    if community not in left_out:
        return misses
    asked, found = f"a pilot that may still serve {community}", "one that serves another community alone"
    return tuple(
        replace(miss, need="bound", asked=asked, offered=found) if miss.need == "community" else miss for miss in misses
    )
