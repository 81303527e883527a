"""Why a pilot has no tag that says that it can run containers or reach XRootD, as far as it has told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from central.matching.matcher import Miss
from pilot.destination import XROOTD_TAG
from pilot.imagename import PROVED
from pilot.protocol import Fact

#: Tag → what the trial of it said.
Unproved = tuple[tuple[str, str], ...]
_FACT = "tag:"


def unproved(facts: Sequence[Fact]) -> Unproved:
    """The tags that a trial on the node has denied."""
    return tuple(
        (tag, fact.source)
        for fact in facts
        if fact.value is False and fact.source and (tag := fact.name.removeprefix(_FACT)) in (*PROVED, XROOTD_TAG)
    )


def because(misses: tuple[Miss, ...], why: Unproved) -> tuple[Miss, ...]:
    """The misses, those for want of such a tag with what the trial said."""
    return tuple(replace(miss, offered=_said(miss.offered, why)) if miss.need == "tags" else miss for miss in misses)


def _said(offered: str, why: Unproved) -> str:
    for tag, said in why:
        if said not in offered:  # one reason may deny several
            offered = offered.replace(f"{tag} absent", f"{tag} absent ({said})")
    return offered
