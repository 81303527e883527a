"""The adapter of a queue whose computing element is ARC, as the settings have it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from central.configuration.elements import Arc
from central.configuration.settings import Queue
from central.elements.arc.client import Client
from central.elements.arc.credentials import BEARER, PROXY, Credential, CredentialFile
from central.elements.arc.delegation import Delegations
from central.elements.arc.element import ArcElement
from central.elements.arc.jobs import Door
from central.elements.arc.wire import Wire


def make_arc(queue: Queue, arc: Arc, held: Path, url: str, alarm: Callable[[str], None]) -> ArcElement:
    """`held`: where a credential of the vault is laid, for which others sound the alarm; `url` tells this central from
    others."""
    if queue.credential:
        file = CredentialFile(str(held), queue.credential.kind)
    else:
        file = CredentialFile(arc.proxy, PROXY) if arc.proxy else CredentialFile(arc.token, BEARER)

    def credential() -> Credential:
        return file.read(time.time())

    def look() -> str:
        return "" if queue.credential else file.concern(time.time())

    client = Client(arc.url, Wire(arc.ca, credential, arc.patience))
    prefix = arc.prefix or f"{queue.name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    door = Door(prefix, arc.queue, arc.runtime_environments, queue.environment)
    delegations = Delegations(client, time.time) if arc.delegate and file.kind == PROXY else None
    return ArcElement(client, door, delegations, look, alarm)
