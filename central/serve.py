"""Serving: one process, one loop, TLS; started with a ready line, ended so that nothing answered is lost."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import msgspec
import uvicorn
import uvloop

from central import http, openapi, settings_file
from central.app import Central, compose
from central.certificates import Certificates
from central.clock import SystemClock
from central.folder import Folder
from central.lifecycle import running
from central.routes import TABLE
from central.settings import Service
from pilot.errors import PilotageError

log = logging.getLogger(__name__)

#: Seconds that answers under way get when the central stops.
GRACE = 10
#: Seconds that the last bytes of answers get to leave.
FAREWELL = 0.3
#: Seconds for which an idle connection is kept: longer than the slowest heartbeat.
KEEP_ALIVE = 120
BACKLOG = 2048
#: Certificates are looked at so often in a life of theirs.
_LOOKS = 50


class _Server(uvicorn.Server):
    """Leaves signals to us, because they stop more than the HTTP server, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(folder: Folder) -> None:
    """Serve a folder until SIGTERM or SIGINT. Raises `PilotageError` when it cannot begin."""
    settings = settings_file.load(folder.settings)
    with folder.lock():
        certificates = folder.certificates(settings.service)
        certificates.refresh(_today())
        interface = msgspec.json.encode(openapi.document(TABLE))
        central = compose(folder, settings, SystemClock(), time.time, interface)
        listening = listen(settings.service)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(central, certificates, listening))


def listen(service: Service) -> socket.socket:
    """The socket to serve on. Raises `PilotageError` that says who is in the way."""
    family = socket.AF_INET6 if ":" in service.bind else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((service.bind, service.port))
    except OSError as error:
        listening.close()
        raise PilotageError(
            f"central.toml: central.port: cannot listen on {service.bind}:{service.port} ({error.strerror}); stop what"
            f" listens there, or choose another port"
        ) from error
    return listening


async def _serve(central: Central, certificates: Certificates, listening: socket.socket) -> None:
    context = certificates.context()
    async with running(central):
        server = _Server(_config(central, context))
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        central.background(_renew(certificates, context))
        await _first(serving, server.listens.wait())
        _ready(central)
        await _first(serving, stop.wait(), central.failed.wait())
        log.info("Stopping: what is held is answered, what is under way may finish")
        central.closing.set()
        central.dispatcher.close()
        server.should_exit = True
        await asyncio.gather(serving, _hang_up(server))
    log.info("Stopped")
    if central.failed.is_set():
        raise PilotageError("a part of the central that must run has failed; the log says which and why")


async def _first(serving: asyncio.Task[None], *events: Coroutine[Any, Any, object]) -> None:
    """Wait until one of these has happened."""
    waiting = [asyncio.ensure_future(event) for event in events]
    await asyncio.wait((serving, *waiting), return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()


async def _hang_up(server: uvicorn.Server) -> None:
    """Once nothing is under way, end connections whose other side does not: TLS waits long for its farewell."""
    state = server.server_state
    if state.tasks:
        await asyncio.wait(state.tasks, timeout=GRACE)
    await asyncio.sleep(FAREWELL)
    for connection in list(state.connections):
        connection.transport.abort()


def _config(central: Central, context: ssl.SSLContext) -> uvicorn.Config:
    return uvicorn.Config(
        http.application(TABLE, central),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        ssl_context_factory=lambda config, default: context,
    )


def _ready(central: Central) -> None:
    url = central.settings.service.url
    log.info("The central serves", extra={"fields": {"url": url, "folder": central.folder.path}})
    print(f"ready {url}", flush=True)


async def _renew(certificates: Certificates, context: ssl.SSLContext) -> None:
    """Keep the server's certificate young; connections that are open keep theirs."""
    while True:
        await asyncio.sleep(certificates.life / _LOOKS)
        try:
            if await asyncio.to_thread(certificates.refresh, _today()):
                certificates.load(context)
                log.info("The server has a new certificate", extra={"fields": {"life": certificates.life}})
        except (OSError, PilotageError) as error:
            log.error("The server's certificate cannot be renewed", extra={"fields": {"error": error}})


def _today() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Sentences(logging.Formatter):
    """A line for people: time, level, sentence, then the fields as ``name=value``."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        line = super().format(record)
        if not fields:
            return line
        first, newline, rest = line.partition("\n")
        return f"{first}  {' '.join(f'{name}={value}' for name, value in fields.items())}{newline}{rest}"


def log_to_stderr() -> None:
    """Everything the central has to say goes to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Sentences("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
