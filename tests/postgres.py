"""A PostgreSQL server for tests: a cluster in a temporary folder, reached by a socket in there and by nothing else.

It is started when the first test wants a database, and ends with the process that started it, however that ends.
"""

from __future__ import annotations

import atexit
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

import asyncpg

USER = "pilotage"
#: Seconds for a server to start or to stop.
PATIENCE = 60.0
#: Where distributions put the programs of the server, besides the PATH.
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")

# Small, since tests are. What is committed survives the server's death, not the machine's: see `Cluster`.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "synchronous_commit": "on",
    "autovacuum_naptime": "10s",
    "log_min_messages": "warning",
}


# Every table of ours as the migrations leave it.
EMPTY = """
    DO $$
    DECLARE
        name text;
    BEGIN
        SET LOCAL session_replication_role = replica;  -- no trigger keeps what is to go
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_version' LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
        FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
            EXECUTE format('ALTER SEQUENCE %I RESTART', name);
        END LOOP;
        INSERT INTO usage_summed VALUES (1, 0);
    END
    $$
"""
PROGRAMS = ("initdb", "postgres", "pg_isready", "createdb", "psql")


def programs() -> Path | None:
    """The folder of the server's programs: the one on the PATH, or the newest version's."""
    named = shutil.which("initdb")
    folders = [folder for place in PLACES for folder in Path("/").glob(place.lstrip("/"))]
    folders.sort(key=lambda folder: [int(part) for part in folder.parts if part.isdigit()], reverse=True)
    if named:
        folders.insert(0, Path(named).resolve().parent)
    whole = (folder for folder in folders if all((folder / program).exists() for program in PROGRAMS))
    return next(whole, None)


def missing() -> str:
    """What this machine lacks to run a server, as a phrase; empty when nothing is."""
    if programs() is None:
        return "PostgreSQL (./dev setup-system installs it)"
    if not shutil.which("setpriv"):
        return "setpriv, of util-linux"
    if os.geteuid() == 0 and not _owner():
        return "an unprivileged user to run PostgreSQL as: postgres or nobody"
    return ""


def _owner() -> str:
    """As whom the server runs: it refuses to be root."""
    if os.geteuid() != 0:
        return ""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), "")


class Cluster:
    """One server and its folder. A durable one waits for the disk, as in production, which takes seconds a test."""

    def __init__(self, durable: bool = False) -> None:
        bin_folder = programs()
        assert bin_folder is not None, missing()
        self._bin = bin_folder
        self._settings = {**SETTINGS, "fsync": "on" if durable else "off"}
        self._numbers = itertools.count(1)
        self._spare: list[str] = []
        self._server: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="pilotage-postgres-"))
        self._data = self.folder / "data"
        if owner := _owner():
            shutil.chown(self.folder, owner)

    def create(self) -> None:
        """Make the cluster and start it."""
        self._run("initdb", "-D", self._data, "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        self.start()

    def start(self) -> None:
        self.launch()
        assert self._server is not None
        until = time.monotonic() + PATIENCE
        while not self.ready():
            assert self._server.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < until, "the server did not start in time"
            time.sleep(0.02)

    def launch(self) -> None:
        """Start it, and do not wait until it is ready."""
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        command = self._as_owner("postgres", "-D", self._data, "-k", self.folder, *options)
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")

    def ready(self) -> bool:
        return self._call("pg_isready", "-q", "-h", self.folder).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT fast and in order, SIGQUIT as after a loss of power."""
        server, self._server = self._server, None
        if server is None:
            return
        server.send_signal(how)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self, template: str = "template0") -> str:
        """A new database, as a copy of another that nobody uses; its URL."""
        name = f"test_{next(self._numbers)}"
        self._run("createdb", "-h", self.folder, "-U", USER, "-T", template, name)
        return self.url(name)

    def spare(self) -> str:
        """An empty database: one that another test gave back, or a new one."""
        return self._spare.pop() if self._spare else self.database()

    async def give_back(self, url: str) -> None:
        """Empty the tables of a database that a test is done with, so that the next one is spared making one."""
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(EMPTY)
        finally:
            await connection.close()
        self._spare.append(url)

    def url(self, name: str) -> str:
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    def name(self, url: str) -> str:
        """The database of a URL."""
        return url.partition("@/")[2].partition("?")[0]

    def execute(self, url: str, statement: str) -> str:
        """What psql prints for a statement, without any frame."""
        command = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U", USER)
        return self._run(*command, "-d", self.name(url), "-c", statement)

    def _run(self, *command: str | Path) -> str:
        done = self._call(*command)
        assert done.returncode == 0, f"{command[0]}: {done.stderr.decode()}"
        return done.stdout.decode().strip()

    def _call(self, *command: str | Path) -> subprocess.CompletedProcess[bytes]:
        words = self._as_owner(*command)
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, cwd="/")

    def _as_owner(self, program: str, *arguments: str | Path) -> list[str]:
        """The command line, as the owner of the cluster; what it starts dies with us."""
        who = []
        if owner := _owner():
            who = [f"--reuid={owner}", f"--regid={pwd.getpwnam(owner).pw_gid}", "--init-groups"]
        return ["setpriv", *who, "--pdeathsig=INT", str(self._bin / program), *map(str, arguments)]


@cache
def cluster() -> Cluster:
    """The one that all tests of this process share."""
    cluster = Cluster()
    atexit.register(cluster.remove)
    cluster.create()
    return cluster
