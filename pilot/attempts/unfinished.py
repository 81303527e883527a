"""Attempts whose payload has ended while their outputs are on their way: written down, so that they get home also when
the pilot's processes die meanwhile, and another monitor takes their place.

No secret is in what is written down: the token and the credentials lie in files of their own beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Optional

from commands.context import Sandboxes
from pilot import codec
from pilot.attempts.carrier import Carrier
from pilot.attempts.credentials import token_of, values_of
from pilot.attempts.delivery import Delivery
from pilot.attempts.directory import AttemptDirectory, owner_of, write_private
from pilot.binds import Bind
from pilot.destinations.port import Pause, open_plain
from pilot.destinations.storages import Storages
from pilot.errors import InvalidInput
from pilot.protocol import AttemptReport, Lease

NAME = "unfinished.json"
#: More than any job with all its rules.
MAX_SIZE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Unfinished:
    """One of them. `lease` without secrets; `seen` as a carrier has it."""

    lease: Lease
    report: AttemptReport
    seen: Optional[tuple[Bind, ...]] = None


def write_down(carrier: Carrier, report: AttemptReport) -> None:
    """Its outputs are on their way from now on. Where that cannot be written, they have only this one chance."""
    bare = tuple(replace(each, values={}) for each in carrier.lease.credentials)
    lease = replace(carrier.lease, job_token="", credentials=bare)
    text = codec.dumps(Unfinished(lease, report, carrier.seen)).decode()
    try:
        write_private(carrier.aside / NAME, text)
    except OSError:
        cross_off(carrier.aside)


def cross_off(root: Path) -> None:
    """Its end was told, or nobody wants to hear it."""
    (root / NAME).unlink(missing_ok=True)


def read(root: Path) -> Optional[Unfinished]:
    """What was written down in the directory of an attempt, with its secrets; None where that is nothing of use."""
    try:
        with open_plain(root / NAME, None) as file:
            found = codec.loads(Unfinished, file.read(MAX_SIZE))
    except (OSError, InvalidInput):
        return None
    place = AttemptDirectory(root)
    with_values = tuple(replace(each, values=values_of(place, each)) for each in found.lease.credentials)
    lease = replace(found.lease, job_token=token_of(place), credentials=with_values)
    return replace(found, lease=lease)


def bring_home(
    root: Path, found: Unfinished, sandboxes: Sandboxes, storages: Storages, random: Callable[[], float], pause: Pause
) -> AttemptReport:
    """Deliver what is not home yet. The report says what became of it."""
    place = AttemptDirectory(root)
    carrier = Carrier(found.lease, place.job, sandboxes, random, owner_of(place.job), storages, found.seen, root)
    return Delivery(carrier).add_to(found.report, pause)
