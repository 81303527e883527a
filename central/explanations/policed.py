"""What of a pilot's offer is as it is because the site's policy says so, as far as the pilot has told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from central.matching.matcher import Miss
from pilot.protocol import Fact, Offer

#: Need → in what words the policy cuts it.
Policed = tuple[tuple[str, str], ...]
_CUT = "; of it "


def policed(facts: Sequence[Fact], offer: Offer, communities: Collection[str]) -> Policed:
    """The needs that the policy cuts. `communities`: those that the pilot was sent for."""
    by = next((f"the site's policy {fact.value}" for fact in facts if fact.name == "policy" and fact.value), "")
    if not by:
        return ()
    cut = [
        (fact.name, words)
        for fact in facts
        if fact.name in ("cores", "memory") and (words := fact.source.partition(_CUT)[2])
    ]
    owners = [("owner", by)] if offer.owners is not None else []
    left_out = [("community", by)] if set(communities) - set(offer.communities) else []
    return (*owners, *left_out, *cut)


def told(misses: tuple[Miss, ...], cuts: Policed) -> tuple[Miss, ...]:
    """The misses, those that the policy makes with its name."""
    if not cuts or not misses:
        return misses
    by = dict(cuts)
    return tuple(
        replace(miss, offered=f"{miss.offered} ({by[miss.need]})") if miss.need in by else miss for miss in misses
    )
