"""Which adapter speaks to a queue's computing element, by the queue's kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from central.configuration.settings import GUESTS, LOCAL, PLUGINS, Queue
from central.elements.arc.making import make_arc
from central.elements.batch import BatchElement
from central.elements.connections import Connections
from central.elements.here import Here
from central.elements.host import Host
from central.elements.local import LocalHost
from central.elements.port import ComputingElement, Request
from central.elements.system import BatchSystem, Door
from central.elements.systems.condor import Condor
from central.elements.systems.gridengine import GridEngine
from central.elements.systems.lsf import Lsf
from central.elements.systems.oar import Oar
from central.elements.systems.pbs import Pbs, Torque
from central.elements.systems.processes import Processes
from central.elements.systems.slurm import Slurm
from pilot.errors import PilotageError

#: Seconds between two turns of a director: asking this host costs nothing, a batch system serves others too.
AT_HOME, AWAY = 2.0, 30.0
#: What tells programs where their credential is, by its kind.
VARIABLES = {"x509-proxy": "X509_USER_PROXY", "bearer": "BEARER_TOKEN_FILE"}
#: The batch systems, by the word in the settings.
SYSTEMS: Mapping[str, Callable[[Door], BatchSystem]] = {
    "condor": Condor,
    "gridengine": GridEngine,
    "lsf": Lsf,
    "oar": Oar,
    "pbs": Pbs,
    "slurm": Slurm,
    "torque": Torque,
}


def _unheard(what: str) -> None:
    """An alarm that nobody waits for."""


def computing_element(
    queue: Queue,
    pilots: Path,
    url: str = "",
    alarm: Callable[[str], None] = _unheard,
    held: Path | None = None,
    connections: Connections | None = None,
) -> ComputingElement:
    """The adapter of a queue; `pilots` is the central's own folder for what runs on this host, `url` tells this
    central from others, `alarm` is told what is or will be wrong with a credential, empty when nothing is. `held`:
    where the credential of the vault is laid; None: at the queue's own place. `connections`: those that are shared with
    other queues; None: with none.

    Raises `PilotageError` where there is none.
    """
    held = held or credential_file(queue, pilots)
    if queue.kind == LOCAL:
        return LocalHost(pilots / queue.name, dict(queue.environment))
    if system := SYSTEMS.get(queue.kind):
        door = _door(queue)
        folder = queue.batch.folder or str(pilots / queue.name)
        return BatchElement(_host(queue, held, connections), system(door), folder, queue.batch.programs)
    if queue.kind == "ssh":
        folder = queue.batch.folder
        return BatchElement(_host(queue, held, connections), Processes(folder, _door(queue)), folder)
    if queue.arc:
        return make_arc(queue, queue.arc, held, url, alarm)
    for plugin in entry_points(group=PLUGINS, name=queue.kind):
        return _plugged_in(queue, pilots, plugin)
    raise PilotageError(f"queue {queue.name}: there is no computing element of the kind {queue.kind}")


def _plugged_in(queue: Queue, pilots: Path, plugin: EntryPoint) -> ComputingElement:
    """The adapter of another distribution. Raises `PilotageError` where it cannot be had."""
    try:
        element: ComputingElement = plugin.load()(queue, pilots)
    except Exception as error:  # it is somebody else's code: whatever is wrong with it must be told
        told = f"{type(error).__name__}: {error}"
        raise PilotageError(f"queue {queue.name}: the plug-in {plugin.value} cannot be used: {told}") from error
    return element


def request(queue: Queue) -> Request:
    """What a pilot of the queue asks for: what the settings say that it finds."""
    return Request(
        cores=queue.cores,
        memory=queue.memory if isinstance(queue.memory, int) else None,
        disk=queue.disk if isinstance(queue.disk, int) else None,
        gpus=len(queue.gpus),
        wall_time=queue.wall_time if isinstance(queue.wall_time, int) else None,
        whole_node=queue.arc.whole_node if queue.arc else queue.batch.whole_node,
    )


def interval(queue: Queue) -> float:
    """Seconds between two turns of the queue's director."""
    return queue.interval or (AT_HOME if queue.kind in (LOCAL, *GUESTS) else AWAY)


def _door(queue: Queue) -> Door:
    batch = queue.batch
    return Door(
        partition=batch.partition,
        account=batch.account,
        extra=batch.extra,
        environment=queue.environment,
        parallel_environment=batch.parallel_environment,
        memory_resource=batch.memory_resource,
        gpu_resource=batch.gpu_resource,
        schedd=queue.schedd.name,
        pool=queue.schedd.pool,
        spool=queue.schedd.spool,
    )


def credential_file(queue: Queue, pilots: Path, apart: str = "") -> Path:
    """Where the credential that the queue's settings name is laid for whoever speaks to its computing element.

    `apart`: a word for whoever asks on the side. The queue's own place is for its director alone: what is laid there
    for other settings of the same name would be told to the wrong one.
    """
    return pilots / ".credentials" / (f".{queue.name}.{apart}" if apart else queue.name)


def _host(queue: Queue, held: Path, connections: Connections | None) -> Host:
    environment = dict(queue.batch.environment)
    if queue.ssh:
        from central.elements.ssh import SshHost  # its library is an extra

        return SshHost(queue.ssh, environment, queue.batch.patience, connections)
    if queue.credential:
        environment[VARIABLES[queue.credential.kind]] = str(held)
    return Here(environment, queue.batch.patience)
