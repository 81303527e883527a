"""What pilots are started with: the file that they are, the authority that they trust, and what their queue says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from central.app import Central
from central.configuration.settings import Queue
from central.elements.credentialed import Credentialed, Held
from central.elements.kinds import computing_element, credential_file
from central.elements.port import ComputingElement
from central.trust.seal import Ticket
from pilot.errors import PilotageError
from wrappers.render import Bootstrap
from wrappers.unsent import PLACEHOLDER


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


def element(central: Central, queue: Queue, apart: str = "") -> ComputingElement:
    """What a queue's pilots are submitted to, with the credential that its settings name. `apart`: a word for whoever
    asks it beside the queue's director.

    Raises `PilotageError` where there is no adapter for it.
    """
    pilots = central.folder.pilots
    alarm = partial(central.alarm, queue.name)
    file = credential_file(queue, pilots, apart)
    computing = computing_element(queue, pilots, central.settings.service.url, alarm, file)
    if not queue.credential:
        return computing
    return Credentialed(computing, Held(queue.credential, file, central.store, central.vault, alarm), central.wall)


def bootstrap(central: Central, queue: Queue, computing: ComputingElement, stamp: str, origin: Origin) -> Bootstrap:
    """What a wrapper has to know that a director submits."""
    url = central.settings.service.url
    return Bootstrap(
        stamp=stamp,
        urls=[f"{url}/v1/pilot/{origin.sha256}"],
        sha256=origin.sha256,
        central=[url],
        ticket=central.ring.seal(Ticket(stamp)),
        secret_file=computing.secret_file(stamp),
        site=queue.site,
        queue=queue.name,
        ca_pem=origin.authority,
        work_base=queue.work or computing.work_base(stamp) or "",
        proxy=queue.proxy,
        no_proxy=queue.no_proxy,
        exit_file=computing.exit_file(stamp) or "",
        settings=declared(queue),
    )


def unsent(central: Central, queue: Queue, origin: Origin) -> Bootstrap:
    """What the script of a site has to know that starts pilots which nobody submits: each draws its own stamp."""
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
        work_base=queue.work,
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
    }
