"""What a pilot of a queue is expected to find: what the settings say of it, and what a look at this computer adds.

Expectations send pilots, and let nobody in: what holds is what a pilot has proved.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

from central.settings import LOCAL, Queue
from pilot.imagename import PROVED
from pilot.protocol import Offer

#: Programs that run containers.
PROGRAMS = ("apptainer", "singularity")


def expected(queue: Queue, find: Callable[[str], str | None] = shutil.which) -> Offer:
    """What the director, submission and explain assume of a pilot there. On this computer pilots try to run containers
    where a program for them is installed now, whatever was so when the settings were written."""
    offer = queue.offer()
    if queue.kind != LOCAL or queue.settings.containers == "refused" or set(PROVED) <= set(offer.tags):
        return offer
    if not any(map(find, PROGRAMS)):
        return offer
    return replace(offer, tags=tuple(dict.fromkeys((*offer.tags, *PROVED))))
