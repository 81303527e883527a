"""Which adapter speaks to a queue's cloud, by its kind. Client libraries are extras, imported by the adapters alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

from central.clouds.port import CloudProvider
from central.configuration.elements import Cloud
from central.configuration.settings import Queue
from pilot.errors import PilotageError


def mark(url: str) -> str:
    """What tells the machines of the central with this address from those of all others in the same account."""
    return hashlib.sha256(url.encode()).hexdigest()[:8]


def provider(queue: Queue, cloud: Cloud, url: str, held: Path, guests: Path) -> CloudProvider:
    """The adapter of a queue. `url` is that of this central, `held` where its credential is laid, `guests` where guests
    of this host are kept, unless the queue says.

    Raises `PilotageError` where there is none, or what it needs is not installed.
    """
    try:
        if queue.kind == "openstack":
            from central.clouds.openstack.provider import make_openstack

            return make_openstack(cloud, mark(url), held)
        if queue.kind == "ec2":
            from central.clouds.ec2.provider import make_ec2

            return make_ec2(cloud, mark(url), held)
        if queue.kind == "nspawn":
            from central.clouds.guests.nspawn import make_nspawn

            return make_nspawn(cloud, mark(url), guests)
        if queue.kind == "qemu":
            from central.clouds.guests.qemu import make_qemu

            return make_qemu(cloud, mark(url), guests)
        if queue.kind == "pycloudlib":
            from central.clouds.pycloudlib.provider import make_pycloudlib

            return make_pycloudlib(cloud, mark(url), held)
    except ImportError as error:
        what = f"pip install 'pilotage[{queue.kind}]'"
        raise PilotageError(f"queue {queue.name}: a library is not installed here ({error}): {what}") from error
    raise PilotageError(f"queue {queue.name}: there is no cloud of the kind {queue.kind}")
