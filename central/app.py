"""One central, put together: every part, made from the settings, started and stopped in order."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from central.callers import Callers, Nonces
from central.clock import Clock
from central.dispatch import Dispatcher
from central.events import Hub
from central.folder import Folder
from central.inputs import Inputs
from central.logs import LogStore
from central.metrics import Metrics
from central.objects import open_objects
from central.orders import OrderDesk
from central.presence import Presence
from central.roster import Roster
from central.sandboxes import SandboxStore
from central.seal import KeyRing, load_ring
from central.settings import CentralSettings, Queue
from central.store.port import Store
from central.store.sqlite import SqliteStore

log = logging.getLogger(__name__)
#: A pilot keeps the head and the tail of a long stream, with a mark between: somewhat more than its bound.
_LOG_SLACK = 1024 * 1024


@dataclass(frozen=True)
class Outlook:
    """A queue as its director sees it: waiting jobs that its offer would match, and what was decided about them."""

    demand: int
    decision: str


@dataclass(frozen=True)
class Central:
    """Everything that a request may need."""

    folder: Folder
    settings: CentralSettings
    clock: Clock
    wall: Callable[[], float]  # seconds since the epoch
    store: Store
    presence: Presence
    dispatcher: Dispatcher
    roster: Roster
    orders: OrderDesk
    inputs: Inputs
    logs: LogStore
    sandboxes: SandboxStore
    ring: KeyRing
    callers: Callers
    hub: Hub
    metrics: Metrics
    pilot_files: Mapping[str, Path]  # SHA-256 → the file that pilots are started from
    interface: bytes  # the OpenAPI document
    started: float  # by `clock`
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    failed: asyncio.Event = field(default_factory=asyncio.Event)  # a part that must run has died
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    decisions: dict[str, str] = field(default_factory=dict)  # queue → what its director last decided, and why

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the requests; it is cancelled when the central stops."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def outlook(self, queue: Queue) -> Outlook:
        """What explain and the list of queues say of a queue."""
        jobs, _ = self.dispatcher.queues.demand(queue.offer())
        return Outlook(jobs, self.decisions.get(queue.name, "its director has not looked yet"))

    async def pause(self, seconds: float) -> None:
        """Wait, unless the central is asked to stop."""
        try:
            await asyncio.wait_for(self.closing.wait(), seconds)
        except TimeoutError:
            pass


def compose(
    folder: Folder, settings: CentralSettings, clock: Clock, wall: Callable[[], float], interface: bytes
) -> Central:
    """Make the parts; nothing is opened yet but the key ring."""
    service = settings.service
    store = SqliteStore(folder.database(service), wall)
    presence = Presence(clock.now)
    objects = open_objects(folder.objects(service))
    ring = load_ring(folder.key_ring, wall())
    bound = max((service.log_bound, *(queue.settings.log_bound for queue in settings.queues)))
    return Central(
        folder=folder,
        settings=settings,
        clock=clock,
        wall=wall,
        store=store,
        presence=presence,
        dispatcher=Dispatcher(store, presence, clock, service.max_held),
        roster=Roster(store, clock.now),
        orders=OrderDesk(store),
        inputs=Inputs(store),
        logs=LogStore(objects, bound + _LOG_SLACK),
        sandboxes=SandboxStore(objects, store, service.sandbox_bound),
        ring=ring,
        callers=Callers(ring, settings.tokens, Nonces(), wall),
        hub=Hub(),
        metrics=Metrics(store.commits),
        pilot_files=pilot_files(folder.pilot(service)),
        interface=interface,
        started=clock.now(),
    )


def pilot_files(current: Path) -> Mapping[str, Path]:
    """What is served to pilots that start: the present file, and earlier ones that submitted wrappers still name."""
    kept = current.parent / "pilot-files"
    files = {path.name: path for path in kept.iterdir()} if kept.is_dir() else {}
    if current.exists():
        content = current.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest not in files:
            kept.mkdir(mode=0o700, exist_ok=True)
            unfinished = kept / f".{digest}"
            unfinished.write_bytes(content)
            files[digest] = unfinished.replace(kept / digest)
    return files
