"""What a pilot of a queue is expected to find: what the settings say of it, and what a look at this computer adds.

Expectations send pilots, and let nobody in: what holds is what a pilot has proved.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

from central.configuration.settings import LOCAL, Queue
from pilot.destination import XROOTD_TAG
from pilot.imagename import PROVED
from pilot.protocol import Offer

#: Programs that run containers.
PROGRAMS = ("apptainer", "singularity")


def expected(queue: Queue, find: Callable[[str], str | None] = shutil.which) -> Offer:
    """What the director, submission and explain assume of a pilot there. On this computer pilots try to run containers
    and find the client for XRootD where such programs are installed now, whatever was so when the settings were
    written."""
    offer = queue.offer()
    if queue.kind != LOCAL:
        return offer
    found: list[str] = []
    if queue.settings.containers != "refused" and not set(PROVED) <= set(offer.tags) and any(map(find, PROGRAMS)):
        found += PROVED
    if XROOTD_TAG not in offer.tags and find(XROOTD_TAG):
        found.append(XROOTD_TAG)
    return replace(offer, tags=tuple(dict.fromkeys((*offer.tags, *found)))) if found else offer
