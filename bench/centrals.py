"""A central as a process of its own, on a store that was filled before, and pilots that were planned in it."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import load, stores
from bench.load import Load
from bench.wire import Planned, secret_of
from central.init import free_port
from central.records import NewPilot
from central.store.port import Store

TOP = Path(__file__).resolve().parent.parent
FAR = 1e6
#: Seconds that a central may take to be ready.
PATIENCE = 120.0

SETTINGS = """\
[central]
port = {port}
url = "https://localhost:{port}"
database = "{database}"
workers = {workers}
lease = "1 d"
beat = "60 s"
silent_after = "1 d"
"""
QUEUE = """
[[queues]]
name = "ce"
site = "{site}"
kind = "external"
communities = {communities}
settings = {{ isolation = "none" }}
"""


@dataclass
class Central:
    """Its folder, its address, and its process while it runs."""

    name: str
    folder: Path
    url: str
    where: str  # the database, as its settings say
    one: Load
    process: subprocess.Popen[bytes] | None = None

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def start(self) -> float:
        """Start it; returns the seconds until it says that it is ready."""
        begun = time.perf_counter()
        with (self.folder / "central.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "central", "serve", "--folder", str(self.folder)],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=TOP,
            )
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        if not ready.startswith(b"ready "):
            raise SystemExit(f"the central did not start: {(self.folder / 'central.log').read_text()[-3000:]}")
        return time.perf_counter() - begun

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(number)
        process.wait(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()

    def store(self) -> Store:
        """Its store, not opened: for use while the process is not there, or beside it."""
        return stores.at("postgres" if "://" in self.where else "sqlite", self.where)


def make(folder: Path, name: str, where: str, one: Load, workers: int = 1) -> Central:
    """Write the folder of a central whose communities, groups and sites are those of the load, with limits that never
    bind, so that they are counted."""
    folder.mkdir(mode=0o700)
    port = free_port()
    text = SETTINGS.format(port=port, database=where, workers=workers)
    communities = one.communities()
    for community in communities:
        inside = ", ".join(f'{{name = "{group.name}", share = {group.share}}}' for group in community.groups)
        text += f'\n[[communities]]\nname = "{community.name}"\nshare = {community.share}\ngroups = [{inside}]\n'
    text += "".join(f'\n[[sites]]\nname = "{site}"\n' for site in one.sites)
    text += QUEUE.format(site=one.sites[0], communities=json.dumps([community.name for community in communities]))
    for limit in one.limits():
        text += f'\n[[limits]]\nname = "{limit.name}"\nsite = "{limit.site}"\nrunning = {limit.attempts}\n'
    (folder / "central.toml").write_text(text)
    command = [sys.executable, "-m", "central", "init", "--folder", str(folder)]
    subprocess.run(command, check=True, cwd=TOP, stdout=subprocess.DEVNULL)
    return Central(name, folder, f"https://localhost:{port}", where, one)


@contextmanager
def running(central: Central) -> Iterator[Central]:
    central.start()
    try:
        yield central
    except BaseException:  # whatever failed, its log is of use
        print((central.folder / "central.log").read_text()[-3000:], file=sys.stderr)
        raise
    finally:
        central.stop()


async def fill(central: Central, pilots: int) -> Planned:
    """Put the load into its store, and plan so many pilots."""
    store = central.store()
    await store.open()
    try:
        await load.fill(store, central.one)
        return await plan(store, central.one, 0, pilots)
    finally:
        await store.close()


async def plan(store: Store, one: Load, first: int, count: int) -> Planned:
    """Journal pilots as a director does before it submits them."""
    epoch = await store.lead("bench", "bench", FAR)
    assert epoch is not None
    planned: Planned = {}
    for number in range(first, first + count):
        stamp, offer = f"{number:032x}", one.offers[number % len(one.offers)]
        secret = hashlib.sha256(secret_of(number).encode()).hexdigest()
        new = NewPilot(stamp, offer.site, "ce", offer.communities, secret, FAR, 86_400, None)
        await store.plan_pilot(new)
        assert await store.submitting(stamp, "bench", epoch)
        planned[number] = (stamp, offer)
    return planned
