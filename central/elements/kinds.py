"""Which adapter speaks to a queue's computing element, by the queue's kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from central.configuration.settings import LOCAL, Queue
from central.elements.batch import BatchElement
from central.elements.here import Here
from central.elements.host import Host
from central.elements.local import LocalHost
from central.elements.port import ComputingElement, Request
from central.elements.system import BatchSystem, Door
from pilot.errors import PilotageError

#: Seconds between two turns of a director: asking this host costs nothing, a batch system serves others too.
AT_HOME, AWAY = 2.0, 30.0
#: The batch systems, by the word in the settings.
SYSTEMS: Mapping[str, Callable[[Door], BatchSystem]] = {}


def computing_element(queue: Queue, pilots: Path) -> ComputingElement:
    """The adapter of a queue; `pilots` is the central's own folder for what runs on this host.

    Raises `PilotageError` where there is none.
    """
    if queue.kind == LOCAL:
        return LocalHost(pilots / queue.name, dict(queue.environment))
    if system := SYSTEMS.get(queue.kind):
        door = Door(queue.batch.partition, queue.batch.account, queue.batch.extra, queue.environment)
        folder = queue.batch.folder or str(pilots / queue.name)
        return BatchElement(_host(queue), system(door), folder, queue.batch.programs)
    raise PilotageError(f"queue {queue.name}: there is no computing element of the kind {queue.kind}")


def request(queue: Queue) -> Request:
    """What a pilot of the queue asks for: what the settings say that it finds."""
    return Request(
        cores=queue.cores,
        memory=queue.memory if isinstance(queue.memory, int) else None,
        gpus=len(queue.gpus),
        wall_time=queue.wall_time if isinstance(queue.wall_time, int) else None,
        whole_node=queue.batch.whole_node,
    )


def interval(queue: Queue) -> float:
    """Seconds between two turns of the queue's director."""
    return queue.interval or (AT_HOME if queue.kind == LOCAL else AWAY)


def _host(queue: Queue) -> Host:
    return Here(dict(queue.batch.environment), queue.batch.patience)
