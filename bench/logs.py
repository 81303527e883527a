"""What logs cost: from a line to its reader with 500 streams at once, and how much a receiver takes: `python -m
bench.logs`.

Ten real pilots print lines that are followed; 490 pilots made of nothing but the wire push a stream each, as often as a
real one does: twice a second when somebody reads, else every three seconds. Then chunks of one size are pushed as fast
as they are taken, in turns with the barest receiver there is: the same server, which appends to a file.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import random
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench import centrals, load, report, samples, wire
from bench.latency import Delays, follow
from bench.samples import Cell, Meter, Sample
from bench.wire import Connection, Planned, WirePilot
from central.store.sqlite import SqliteStore
from pilot.protocol import Offer
from pilot.states import JobState
from pilotage import Client
from tests.system import Plan, System, free_port, wait_for

REAL, ON_THE_WIRE, FOLLOWED = 10, 490, 20
#: Seconds: of the measurement, between lines, between pushes of a stream that is read, and of one that is not.
SECONDS, PERIOD, READ, UNREAD = 30.0, 0.23, 0.5, 3.0
LINES = 90
PRINT = f"import time\ntime.sleep(5)\nfor n in range({LINES}): print(time.time(), flush=True); time.sleep({PERIOD})"
#: Bytes of a chunk, connections.
CHUNKS = ((1_000, 64), (64_000, 64), (1_000_000, 8))
ROUNDS, ROUND = 3, 4.0
EXTERNAL = '\n[[queues]]\nname = "ce"\nsite = "here"\nkind = "external"\ncommunities = ["physics"]\n'
STREAM = "pilot"
#: Bytes of a stream; then the next one is begun.
BOUND = 9_000_000
_NUMBERS = itertools.count()


@dataclass
class Writer:
    """A stream of a pilot on the wire: each line is the time at which it was printed."""

    pilot: WirePilot
    offset: int = 0
    waiting: bytes = b""

    async def push(self) -> None:
        content, self.waiting = self.waiting, b""
        await self.pilot.push(STREAM, self.offset, content)
        self.offset += len(content)

    async def run(self, until: float, interval: float, rng: random.Random) -> None:
        """Print a line each `PERIOD`, and push what there is each `interval`. Lines that nobody reads come at once, so
        that it is the central that is measured and not this loop."""
        read = interval < UNREAD
        due = time.perf_counter() + rng.random() * interval
        while (now := time.perf_counter()) < until:
            self.waiting += f"{time.time()}\n".encode() * (1 if read else round(UNREAD / PERIOD))
            if now >= due:
                due += interval
                await self.push()
            await asyncio.sleep(PERIOD if read else max(0.0, due - time.perf_counter()))


@dataclass(frozen=True)
class Bare:
    """The barest receiver, as it runs."""

    url: str
    pid: int


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as place:
        folder = Path(place) / "central"
        with system(folder) as (one, planned), bare(folder, Path(place)) as other:
            asyncio.run(measure(one, planned, other))


@contextmanager
def system(folder: Path) -> Iterator[tuple[System, Planned]]:
    """A central with a local queue for real pilots, and pilots that were planned at another."""
    one = System(folder, Plan(slots=REAL, cores=1, beat="5 s", queue=EXTERNAL))
    one.make()
    planned = asyncio.run(_plan(folder))
    one.start()
    try:
        yield one, planned
    finally:
        one.end()


async def _plan(folder: Path) -> Planned:
    store = SqliteStore(folder / "central.db")
    await store.open()
    try:
        nobody = replace(load.plain(1, 1), offers=(Offer("here", "ce", communities=("physics",)),))
        return await centrals.plan(store, nobody, 0, ON_THE_WIRE)
    finally:
        await store.close()


@contextmanager
def bare(folder: Path, place: Path) -> Iterator[Bare]:
    """The barest receiver, with the certificate of the central."""
    files, port = place / "bare", free_port()
    files.mkdir()
    certificate = folder / "private" / "server.pem"
    command = [sys.executable, "-m", "bench.bare_log", str(port), str(certificate), str(files)]
    process = subprocess.Popen(command, cwd=centrals.TOP)
    try:
        wait_for(lambda: _answers(port), 20, "the bare receiver")
        yield Bare(f"https://localhost:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


async def measure(one: System, planned: Planned, other: Bare) -> None:
    ca = str(one.folder / "ca.pem")
    pilots = await wire.enrolled(one.url, ca, planned)
    try:
        await latency(one, pilots)
        await throughput(one, pilots, other, ca)
    finally:
        for pilot in pilots:
            pilot.connection.close()


# -- from a line to its reader ----------------------------------------------------------------------------------------


async def latency(one: System, pilots: Sequence[WirePilot]) -> None:
    assert one.process
    real, over_wire = Delays(), Delays()
    with one.client() as client:
        jobs = client.submit([{"command": ["python3", "-c", PRINT]}] * REAL).ids
        # Pilots that start take all of a small machine.
        await asyncio.to_thread(wait_for, partial(_all_run, client, jobs), 120, "the real pilots to run their jobs")
    threads = ThreadPoolExecutor(REAL)
    readers = [asyncio.get_running_loop().run_in_executor(threads, _follow_job, one, job) for job in jobs]
    rng = random.Random(7)
    writers = [Writer(pilot) for pilot in pilots]
    with Meter(None, one.process.pid, alone=True) as meter:
        until = time.perf_counter() + SECONDS
        async with asyncio.TaskGroup() as group:
            for number, writer in enumerate(writers):
                read = number < FOLLOWED
                group.create_task(writer.run(until, READ if read else UNREAD, rng))
                if read:
                    group.create_task(_read(one, writer, over_wire, until))
            for found in await asyncio.gather(*readers):
                real.found += found
    heads = ("lines of", "lines", "median", "p95", "p99", "most")
    rows = [_row(f"{REAL} real pilots", real), _row(f"{FOLLOWED} of {ON_THE_WIRE} on the wire", over_wire)]
    report.table(
        f"From a printed line to its reader, {REAL + ON_THE_WIRE} streams at once (seconds)", heads, rows, "≤ 1 s"
    )
    print(f"\nThe central used {100 * meter.central / meter.seconds:.0f} % of a core meanwhile.")


def _row(who: str, delays: Delays) -> tuple[object, ...]:
    times = [f"{samples.part(delays.found, share):.2f}" for share in (0.5, 0.95, 0.99)]
    return (who, f"{len(delays.found):,}", *times, f"{max(delays.found):.2f}")


def _all_run(client: Client, jobs: Sequence[int]) -> bool:
    return all(client.job(job).job.state is JobState.RUNNING for job in jobs)


def _follow_job(one: System, job: int) -> list[float]:
    with one.client() as client:
        return follow(client, job)


async def _read(one: System, writer: Writer, delays: Delays, until: float) -> None:
    """Follow a stream by server-sent events, as the command line does."""
    with one.client() as client:
        token = client.connection.token
    context = ssl.create_default_context(cafile=str(one.folder / "ca.pem"))
    reader, sender = await asyncio.open_connection("127.0.0.1", one.port, ssl=context, server_hostname="localhost")
    path = f"/v1/pilots/{writer.pilot.stamp}/logs/{STREAM}"
    head = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
    )
    sender.write(head.encode())
    try:
        async with asyncio.timeout(max(0.0, until - time.perf_counter())):
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    delays.take(base64.b64decode(line[6:]))
    except TimeoutError:
        pass
    finally:
        sender.transport.abort()


# -- as much as is taken ----------------------------------------------------------------------------------------------


async def throughput(one: System, pilots: Sequence[WirePilot], other: Bare, ca: str) -> None:
    assert one.process
    context = ssl.create_default_context(cafile=ca)
    most = max(connections for _, connections in CHUNKS)
    plain = [await Connection.open(other.url, context) for _ in range(most)]
    cells = []
    for size, connections in CHUNKS:
        content = _lines(size)
        names = (f"{size:,} bytes, {connections}",)
        ours = partial(_ours, one.process.pid, pilots[:connections], content)
        theirs = partial(_theirs, other.pid, plain[:connections], content)
        cells += [Cell((*names, "the central"), ours), Cell((*names, "bare: appended to a file"), theirs)]
    found = await samples.interleaved(cells, ROUNDS, ROUND)
    for connection in plain:
        connection.close()
    rows = []
    for cell, of in zip(cells, found, strict=True):
        size = CHUNKS[cells.index(cell) // 2][0]
        chunks = sum(sample.jobs for sample in of)
        cpu = sum(sample.central for sample in of)
        megabytes = chunks * size / 1e6
        rate = samples.rate(of)
        rows.append(
            (
                *cell.names,
                f"{rate:,.0f}",
                f"{rate * size / 1e6:.1f}",
                f"{1000 * cpu / chunks:.2f}",
                f"{1000 * cpu / megabytes:.1f}",
            )
        )
    heads = ("chunks, connections", "receiver", "chunks/s", "MB/s", "CPU ms a chunk", "CPU ms a MB")
    report.table(f"What a receiver takes ({ROUNDS} rounds of {ROUND:g} s)", heads, rows)


def _lines(size: int) -> bytes:
    """Text that does not compress to nothing."""
    return b"".join(secrets.token_hex(31).encode() + b"\n" for _ in range(size // 63 + 1))[:size]


async def _ours(pid: int, pilots: Sequence[WirePilot], content: bytes, seconds: float) -> Sample:
    with Meter(None, pid, alone=True) as sample:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(_push(pilot, content, until, sample) for pilot in pilots))
    return sample


async def _push(pilot: WirePilot, content: bytes, until: float, sample: Sample) -> None:
    stream, offset = f"step-{next(_NUMBERS)}", 0
    while time.perf_counter() < until:
        if offset + len(content) > BOUND:
            stream, offset = f"step-{next(_NUMBERS)}", 0
        await pilot.push(stream, offset, content)
        offset += len(content)
        sample.jobs += 1


async def _theirs(pid: int, connections: Sequence[Connection], content: bytes, seconds: float) -> Sample:
    with Meter(None, pid, alone=True) as sample:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(_append(n, one, content, until, sample) for n, one in enumerate(connections)))
    return sample


async def _append(number: int, one: Connection, content: bytes, until: float, sample: Sample) -> None:
    head = f"PUT /log-{number} HTTP/1.1\r\nHost: localhost\r\n".encode()
    while time.perf_counter() < until:
        await one.post(head, content)
        sample.jobs += 1


if __name__ == "__main__":
    main()
