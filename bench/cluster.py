"""A PostgreSQL server of its own for the measurements, durable, in a folder that is gone afterwards."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

#: What differs from the defaults. Commits are on the disk before they are answered (fsync and synchronous_commit are
#: on by default), and checkpoints are spread so that none falls into every second window.
SETTINGS = {
    "shared_buffers": "512MB",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "listen_addresses": "",
    "log_min_messages": "fatal",
}
#: Where Debian and others keep the programs of the server, which are not on the PATH.
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")


@dataclass(frozen=True)
class Cluster:
    """A server that runs, reached by a socket in its folder."""

    folder: Path
    pid: int

    def url(self, database: str = "postgres") -> str:
        return f"postgresql:///{database}?user=bench&host={quote(str(self.folder), safe='')}"

    async def make(self, database: str) -> str:
        """Make an empty database; returns its URL. One of that name before it is dropped."""
        server = await asyncpg.connect(self.url())
        try:
            await server.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
            await server.execute(f'CREATE DATABASE "{database}"')
        finally:
            await server.close()
        return self.url(database)

    async def settle(self, database: str) -> None:
        """Do what the server would soon do by itself after much was written, so that no measurement meets it."""
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute("VACUUM ANALYZE")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`; None when they are not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    for place in _PLACES:
        for folder in sorted(Path("/").glob(place.lstrip("/")), reverse=True):
            if (folder / "initdb").exists():
                return folder
    return None


@contextmanager
def running() -> Iterator[Cluster]:
    """A new server. It runs as another user when root starts it, because it refuses to run as root."""
    found = programs()
    if found is None:
        raise SystemExit("PostgreSQL's initdb was not found: install the server, or measure with --store sqlite")
    folder = Path(tempfile.mkdtemp(prefix="pilotage-bench-postgres-"))
    user = _unprivileged()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    try:
        data = folder / "data"
        words = [str(found / "initdb"), "-D", str(data), "-U", "bench", "--auth=trust", "-E", "UTF8", "--no-locale"]
        if _start(words, folder, user).wait(60):
            raise SystemExit(f"initdb failed: {_log(folder)}")
        options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = [str(found / "postgres"), "-D", str(data), "-k", str(folder), *options]
        server = _start(command, folder, user)
        try:
            cluster = Cluster(folder, server.pid)
            asyncio.run(_answers(cluster, server))
            yield cluster
        finally:
            server.send_signal(signal.SIGINT)  # ends sessions, writes everything down
            server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _answers(cluster: Cluster, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            await (await asyncpg.connect(cluster.url())).close()
            return
        except (OSError, asyncpg.PostgresError):
            if server.poll() is not None:
                break
            await asyncio.sleep(0.1)
    raise SystemExit(f"the PostgreSQL server did not start: {_log(cluster.folder)}")


def _log(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")


def _unprivileged() -> pwd.struct_passwd | None:
    """Who the server runs as; None: as we do."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemExit("as root, a measurement with PostgreSQL needs a user postgres or nobody to run the server as")


def _start(words: list[str], folder: Path, user: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
    """A program in that folder, as that user, with a log there."""
    uid, gid, groups = (None, None, None) if user is None else (user.pw_uid, user.pw_gid, [user.pw_gid])
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, user=uid, group=gid, extra_groups=groups)
