"""The folder of an embedded central: what lies where, and the lock that lets one central at a time serve it."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from central.configuration.settings import Service
from central.trust.certificates import Certificates
from pilot.errors import PilotageError


@dataclass(frozen=True)
class Folder:
    """Where a central keeps everything."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "central.toml"

    @property
    def client(self) -> Path:
        """What `pilotage` reads: address, authority, token. Mode 0600."""
        return self.path / "client.toml"

    @property
    def private(self) -> Path:
        """Keys, mode 0700."""
        return self.path / "private"

    @property
    def key_ring(self) -> Path:
        return self.private / "keys.json"

    @property
    def audit_anchor(self) -> Path:
        """The newest link of the audit's chain, as it was when this central made or saw it."""
        return self.path / "audit.anchor"

    @property
    def workers(self) -> Path:
        """What the processes that serve the folder side by side show each other."""
        return self.path / "workers"

    @property
    def pilots(self) -> Path:
        """The work directories of pilots that were started on this machine."""
        return self.path / "pilots"

    def database(self, service: Service) -> Path:
        return self.path / service.database

    def pilot(self, service: Service) -> Path:
        """The `pilot.pyz` that new pilots get."""
        return self.path / service.pilot

    def objects(self, service: Service) -> str:
        """A folder or a URL of fsspec."""
        return service.objects if "://" in service.objects else str(self.path / service.objects)

    def certificates(self, service: Service) -> Certificates:
        host = urlsplit(service.url).hostname or "localhost"
        return Certificates(self.path, host, (socket.gethostname().lower(),), service.certificate_life)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder. Raises `PilotageError` when another process serves it."""
        descriptor = os.open(self.path / "central.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.read(descriptor, 20).decode(errors="replace").strip()
                raise PilotageError(
                    f"{self.path}: another central (process {holder or 'unknown'}) serves this folder; stop it first"
                ) from error
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(descriptor)
