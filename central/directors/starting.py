"""What pilots are started with: the file that they are, the authority that they trust, and what their queue says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from central.app import Central
from central.clouds.element import CloudElement, Order
from central.clouds.making import provider
from central.configuration.elements import Cloud
from central.configuration.settings import Queue
from central.elements.credentialed import Credentialed, Held
from central.elements.kinds import computing_element, credential_file
from central.elements.port import ComputingElement
from central.trust.seal import Ticket
from pilot.errors import PilotageError
from wrappers.render import Bootstrap
from wrappers.unsent import PLACEHOLDER
from wrappers.user_data.model import MOST_LIFE, Boot

#: The folder of guests of this host, beside those of the queues' pilots.
GUESTS = ".guests"


@dataclass(frozen=True)
class Origin:
    """Where pilots come from."""

    sha256: str  # of pilot.pyz
    authority: str  # PEM


def origin(central: Central) -> Origin:
    """Raises `PilotageError` when there is nothing to start pilots from."""
    file = central.folder.pilot(central.settings.service)
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise PilotageError(
            f"{file}: the file that pilots are started from cannot be read ({error.strerror}); put it there with"
            " `python -m central init --pilot PATH`"
        ) from error
    authority = central.folder.certificates(central.settings.service).authority_file
    return Origin(digest, authority.read_text(encoding="ascii"))


async def element(central: Central, queue: Queue, apart: str = "") -> ComputingElement:
    """What a queue's pilots are submitted to, with the credential that its settings name. `apart`: a word for whoever
    asks it beside the queue's director.

    Raises `PilotageError` where there is no adapter for it.
    """
    pilots = central.folder.pilots
    alarm = partial(central.alarm, queue.name)
    file = credential_file(queue, pilots, apart)
    url = central.settings.service.url
    if queue.cloud:
        guests = Path(queue.cloud.folder) if queue.cloud.folder else pilots / GUESTS
        machines = await provider(queue, queue.cloud, url, file, guests)
        computing: ComputingElement = CloudElement(machines, _order(central, queue, queue.cloud))
    else:
        computing = computing_element(queue, pilots, url, alarm, file, central.connections)
    if not queue.credential:
        return computing
    return Credentialed(computing, Held(queue.credential, file, central.store, central.vault, alarm), central.wall)


def cloud_of(computing: ComputingElement) -> CloudElement | None:
    """The cloud that a computing element is, whatever it is spoken to with; None: it is none."""
    inner = computing.element if isinstance(computing, Credentialed) else computing
    return inner if isinstance(inner, CloudElement) else None


def _order(central: Central, queue: Queue, cloud: Cloud) -> Order:
    found = cache(partial(origin, central))
    life = queue.wall_time if isinstance(queue.wall_time, int) else MOST_LIFE

    def boot(stamp: str, secret: str) -> Boot:
        start = replace(_start(central, queue, found()), stamp=stamp, ticket=central.ring.seal(Ticket(stamp)))
        return Boot(start, secret, central.wall(), life, stays=queue.halting == "never")

    return Order(queue.name, cloud, boot, lambda: [each.name for each in central.settings.queues])


def bootstrap(central: Central, queue: Queue, computing: ComputingElement, stamp: str, origin: Origin) -> Bootstrap:
    """What a wrapper has to know that a director submits."""
    return replace(
        _start(central, queue, origin),
        stamp=stamp,
        ticket=central.ring.seal(Ticket(stamp)),
        secret_file=computing.secret_file(stamp),
        work_base=queue.work or computing.work_base(stamp) or "",
        exit_file=computing.exit_file(stamp) or "",
    )


def unsent(central: Central, queue: Queue, origin: Origin) -> Bootstrap:
    """What the script of a site has to know that starts pilots which nobody submits: each draws its own stamp."""
    return replace(_start(central, queue, origin), work_base=queue.work)


def _start(central: Central, queue: Queue, origin: Origin) -> Bootstrap:
    """What all pilots of a queue are told."""
    url = central.settings.service.url
    return Bootstrap(
        stamp=PLACEHOLDER,
        urls=[f"{url}/v1/pilot/{origin.sha256}"],
        sha256=origin.sha256,
        central=[url],
        ticket="",
        secret_file="secret",
        site=queue.site,
        queue=queue.name,
        ca_pem=origin.authority,
        proxy=queue.proxy,
        no_proxy=queue.no_proxy,
        settings=declared(queue),
    )


def declared(queue: Queue) -> Mapping[str, object]:
    """What a pilot is told about its queue in `pilot.json`."""
    return {
        "cores": queue.cores,
        "agents": queue.agents,
        "memory": queue.memory,
        "disk": queue.disk,
        "wall_time": queue.wall_time,
        "tags": list(queue.tags),
        "required_tags": list(queue.required_tags),
        "communities": list(queue.communities),
        "policy": queue.policy or None,
        "drain_file": queue.drain_file or None,
        "slot_users": queue.slot_users or None,
        "resume": queue.resume,
        "cache": queue.cache or None,
        "reach": list(queue.reach),
        "halting": queue.halting,
        "billing_period": queue.billing_period or None,
        "metadata": queue.metadata or None,
    }
