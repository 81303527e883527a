"""Serving: one process, one loop, TLS; started with a ready line, ended so that nothing answered is lost.

Several such processes may serve side by side; `central/serving/workers.py` keeps them.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import msgspec
import uvicorn
import uvloop
from starlette.types import ASGIApp

from central.app import Central, compose, pilot_files
from central.clock import SystemClock
from central.configuration import settings_file
from central.configuration.certificates import certificates_url
from central.configuration.settings import CentralSettings
from central.databases import check_workers, open_database, shown
from central.folder import Folder
from central.lifecycle import running
from central.routes import CERTIFICATE_TABLE, EVERY_ROUTE, TABLE
from central.serving import certificate_door, http, openapi
from central.serving.certificate_door import CertificateDoor, asking_context
from central.serving.connection_table import KEEP_ALIVE, ConnectionTable
from central.serving.front_door import FrontDoor
from central.serving.gathered import Neighbours
from central.serving.journal import Sentences
from central.serving.listening import listening, ports, reserved
from central.serving.workers import Workers, command, end_with_parent, show_life
from central.trust.certificates import Certificates
from central.trust.foreign import check_ring
from central.trust.ring_source import ENVIRONMENT, RingSource, ring_source, told
from central.trust.ring_variable import keep_from_others
from pilot.errors import PilotageError

log = logging.getLogger(__name__)

#: Seconds that answers under way get when the central stops.
GRACE = 10
#: Seconds that the last bytes of answers get to leave.
FAREWELL = 0.3
#: Files that a process has open beside those of its connections; connections for which there is room in any case.
FILES, LEAST = 512, 512
BACKLOG = 2048
#: Objects, and looks at younger ones, after which Python looks for cycles: hardly anything here makes any.
COLLECT = (10_000, 20, 50)
#: Certificates are looked at so often in a life of theirs.
_LOOKS = 50


class _Server(uvicorn.Server):
    """Leaves signals to us, because they stop more than the HTTP server, and connections to the front door; says when
    it listens."""

    def __init__(self, config: uvicorn.Config, door: FrontDoor, listening: socket.socket) -> None:
        super().__init__(config)
        self._door = door
        self._listening = listening
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])  # it listens nowhere itself
        self.servers.append(cast(asyncio.base_events.Server, self._door.open(self._listening, BACKLOG, self)))
        self.listens.set()

    def hang_up(self) -> None:
        """End every connection, whatever it is about."""
        for connection in self._door.table:
            connection.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(folder: Folder, workers: int | None = None, key_ring: str | None = None) -> None:
    """Serve a folder until SIGTERM or SIGINT. Raises `PilotageError` when it cannot begin.

    `workers` processes, where that is not what the settings say. `key_ring`: what the environment had.
    """
    settings = _settings(folder, workers)
    source = ring_source(folder, settings.service, os.environ, key_ring)
    with folder.lock():
        certificates = folder.certificates(settings.service)
        certificates.refresh(_today())
        if settings.service.workers == 1:
            _run(_serve(_central(folder, settings, source), certificates, *listening(settings)))
        else:
            _run(_supervise(folder, settings, source, certificates))


def serve_beside(folder: Folder, worker: int) -> None:
    """Be one of several processes that serve a folder, started by the one that has its lock."""
    settings = settings_file.load(folder.settings)
    handed = None
    if settings.service.key_ring == ENVIRONMENT:
        keep_from_others()
        handed = told(sys.stdin.fileno())
    source = ring_source(folder, settings.service, os.environ, handed)
    sockets = listening(settings, beside_others=True)
    _run(_serve(_central(folder, settings, source, worker), folder.certificates(settings.service), *sockets))


def _settings(folder: Folder, workers: int | None) -> CentralSettings:
    settings = settings_file.load(folder.settings)
    if workers is not None:
        settings = replace(settings, service=replace(settings.service, workers=workers))
        check_workers(settings.service)
    return settings


def _central(folder: Folder, settings: CentralSettings, source: RingSource, worker: int = 0) -> Central:
    interface = msgspec.json.encode(openapi.document(EVERY_ROUTE))
    return compose(folder, settings, source.load(time.time()), SystemClock(), time.time, interface, worker)


def _run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


async def _supervise(folder: Folder, settings: CentralSettings, source: RingSource, certificates: Certificates) -> None:
    """Keep the workers. Everything that one of them must do and the others may not is done here, before and beside."""
    service = settings.service
    with contextlib.ExitStack() as kept:
        for key, port in ports(settings).items():
            kept.enter_context(await reserved(service, port, key))
        pilot_files(folder.pilot(service))
        Neighbours(folder.workers, 0).clear()
        ring = source.load(time.time())
        database = open_database(folder, service, time.time)
        await database.open()  # which brings its schema up to date, or says why it cannot be opened
        try:
            await check_ring(database, ring)
        finally:
            await database.close()
        renewing = asyncio.create_task(_renew(certificates, None))
        try:
            await Workers(
                service.workers,
                lambda number: command("worker", "--folder", str(folder.path), "--number", str(number)),
                lambda: _ready(settings, folder),
                told=source.handed_on(),
            ).run()
        finally:
            renewing.cancel()


async def _serve(
    central: Central, certificates: Certificates, listening: socket.socket, asking: socket.socket | None = None
) -> None:
    """`asking`: where callers are asked for certificates, and can do nothing but log in."""
    context = certificates.context()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if central.worker:
        end_with_parent(stop.set)
    async with running(central):
        door = _front_door(central, context, FILES + (certificate_door.FILES if asking is not None else 0))
        servers = [_Server(_config(http.application(TABLE, central)), door, listening)]
        if asking is not None and central.certificates is not None:
            login = central.certificates.login
            asked = CertificateDoor(lambda: asking_context(login, certificates))
            central.background(asked.watch())
            servers.append(_Server(_config(http.application(CERTIFICATE_TABLE, central)), asked, asking))
        serving = asyncio.create_task(_served(servers))
        central.background(_renew(certificates, context, ours=not central.worker))
        for server in servers:
            await _first(serving, server.listens.wait())
        _settle()
        _ready(central.settings, central.folder)
        if central.worker:
            central.background(show_life())
        await _first(serving, stop.wait(), central.failed.wait())
        log.info("Stopping: what is held is answered, what is under way may finish")
        central.closing.set()
        central.dispatcher.close()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(serving, _hang_up(servers))
    log.info("Stopped")
    if central.failed.is_set():
        raise PilotageError("a part of the central that must run has failed; the log says which and why")


async def _served(servers: Sequence[_Server]) -> None:
    """All of them until each is asked to end; when one fails, so do all."""
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(server.serve())


def _settle() -> None:
    """Spare the search for cycles what is there from the start and stays: it stops everything while it goes on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


async def _first(serving: asyncio.Task[None], *events: Coroutine[Any, Any, object]) -> None:
    """Wait until one of these has happened."""
    waiting = [asyncio.ensure_future(event) for event in events]
    await asyncio.wait((serving, *waiting), return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()


async def _hang_up(servers: Sequence[_Server]) -> None:
    """Once nothing is under way, end connections whose other side does not: TLS waits long for its farewell."""
    tasks = [task for server in servers for task in server.server_state.tasks]
    if tasks:
        await asyncio.wait(tasks, timeout=GRACE)
    await asyncio.sleep(FAREWELL)
    for server in servers:
        server.hang_up()


def _front_door(central: Central, context: ssl.SSLContext, others: int) -> FrontDoor:
    """What connections come through: as many as the settings, and this machine with so many other files, allow."""
    service = central.settings.service
    most = _files(service.max_connections, others)
    door = FrontDoor(ConnectionTable(most, min(most, service.max_connections_per_address)), context)
    central.metrics.registry.register(door)
    central.background(door.watch())
    return door


def _files(connections: int, others: int) -> int:
    """Let this process have a file for each connection beside so many others, as far as it may. Returns for how many
    connections it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = connections if hard == resource.RLIM_INFINITY else min(connections, max(LEAST, hard - others))
    if most < connections:
        fields = {"files": hard, "connections": most, "max_connections": connections}
        log.warning(
            "There can be fewer connections than the settings allow, for want of files", extra={"fields": fields}
        )
    wanted = most + others if hard == resource.RLIM_INFINITY else min(most + others, hard)
    if resource.RLIM_INFINITY != soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return most


def _config(application: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(KEEP_ALIVE),
        timeout_graceful_shutdown=GRACE,
    )


def _ready(settings: CentralSettings, folder: Folder) -> None:
    service = settings.service
    fields = {"url": service.url, "folder": folder.path, "database": shown(service.database)}
    log.info("The central serves", extra={"fields": fields})
    print(f"ready {service.url}", flush=True)
    if settings.certificates:
        print(f"certificates {certificates_url(service.url, settings.certificates)}", flush=True)


async def _renew(certificates: Certificates, context: ssl.SSLContext | None, ours: bool = True) -> None:
    """Keep the server's certificate young, or take up the one that another process has made (`ours` is false).

    Connections that are open keep theirs.
    """
    shown = certificates.server_file.stat().st_mtime_ns
    while True:
        await asyncio.sleep(certificates.life / _LOOKS)
        try:
            if ours and await asyncio.to_thread(certificates.refresh, _today()):
                log.info("The server has a new certificate", extra={"fields": {"life": certificates.life}})
            if context and (made := certificates.server_file.stat().st_mtime_ns) != shown:
                certificates.load(context)
                shown = made
        except (OSError, PilotageError) as error:
            log.error("The server's certificate cannot be renewed", extra={"fields": {"error": error}})


def _today() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def log_to_stderr(worker: int = 0) -> None:
    """Everything the central has to say goes to standard error; a worker puts its number before it."""
    handler = logging.StreamHandler(sys.stderr)
    which = f"worker {worker}: " if worker else ""
    handler.setFormatter(Sentences(f"%(asctime)s %(levelname)-7s {which}%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
