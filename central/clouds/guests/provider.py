"""Guests of this host behind the port of every cloud: asked in threads, since files and processes block."""

from __future__ import annotations

import time
from pathlib import Path

from central.clouds.guests.guests import Guests
from central.clouds.guests.hypervisor import Hypervisor
from central.clouds.threaded import ThreadedProvider
from central.configuration.elements import Cloud
from wrappers.user_data.clouds import CLOUDS


def guests_of(hypervisor: Hypervisor, cloud: Cloud, central: str, folder: Path) -> ThreadedProvider[Guests]:
    """One kind of guests. `central`: the installation's mark. `folder`: where guests are, unless the queue says where.

    A seed is read by cloud-init as it is.
    """
    place = Path(cloud.folder) if cloud.folder else folder
    guests = Guests(hypervisor, place, central, time.time)
    return ThreadedProvider(lambda: guests, f"{hypervisor.kind} on this host", CLOUDS["nocloud"], cloud.patience)
