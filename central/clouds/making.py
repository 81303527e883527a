"""Which adapter speaks to a queue's cloud, by its kind. Client libraries are extras, imported by the adapters alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from central.clouds.port import CloudProvider
from central.configuration.elements import Cloud
from central.configuration.settings import CLOUD_PLUGINS, GUESTS, Queue
from pilot.errors import PilotageError

#: Makes an adapter: the cloud's settings, the mark of this central, and the file in which the credential is laid, or
#: for guests of this host the folder that they are kept in.
Factory = Callable[[Cloud, str, Path], CloudProvider]


def mark(url: str) -> str:
    """What tells the machines of the central with this address from those of all others in the same account."""
    return hashlib.sha256(url.encode()).hexdigest()[:8]


async def provider(queue: Queue, cloud: Cloud, url: str, held: Path, guests: Path) -> CloudProvider:
    """The adapter of a queue. `url` is that of this central, `held` where its credential is laid, `guests` where guests
    of this host are kept, unless the queue says.

    Raises `PilotageError` where there is none, or what it needs is not installed.
    """
    # In a thread: some libraries take seconds to import, and others are served meanwhile.
    make, ours = await asyncio.to_thread(_factory, queue)
    place = guests if queue.kind in GUESTS else held
    if ours:
        return make(cloud, mark(url), place)
    try:
        return make(cloud, mark(url), place)
    except Exception as error:  # it is somebody else's code: whatever is wrong with it must be told
        raise _unusable(queue, error) from error


def _factory(queue: Queue) -> tuple[Factory, bool]:
    """What makes the adapter of this kind, and whether it is ours."""
    try:
        if make := _ours(queue.kind):
            return make, True
    except ImportError as error:
        what = f"pip install 'pilotage[{queue.kind}]'"
        raise PilotageError(f"queue {queue.name}: a library is not installed here ({error}): {what}") from error
    for plugin in entry_points(group=CLOUD_PLUGINS, name=queue.kind):
        try:
            return plugin.load(), False
        except Exception as error:  # likewise
            raise _unusable(queue, error) from error
    raise PilotageError(f"queue {queue.name}: there is no cloud of the kind {queue.kind}")


def _ours(kind: str) -> Factory | None:
    """Raises `ImportError`."""
    if kind == "openstack":
        from central.clouds.openstack.provider import make_openstack

        return make_openstack
    if kind == "ec2":
        from central.clouds.ec2.provider import make_ec2

        return make_ec2
    if kind == "nspawn":
        from central.clouds.guests.nspawn import make_nspawn

        return make_nspawn
    if kind == "qemu":
        from central.clouds.guests.qemu import make_qemu

        return make_qemu
    if kind == "pycloudlib":
        from central.clouds.pycloudlib.provider import make_pycloudlib

        return make_pycloudlib
    return None


def _unusable(queue: Queue, error: Exception) -> PilotageError:
    told = f"{type(error).__name__}: {error}"
    return PilotageError(f"queue {queue.name}: the plug-in of the cloud {queue.kind} cannot be used: {told}")
