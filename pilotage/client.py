"""The Python client: everything that a person can ask of a central.

    from pilotage import Client

    with Client.from_environment() as client:
        submission = client.submit({"command": ["echo", "{word}"], "sweep": {"word": ["hello", "world"]}})
        for job in client.wait(submission.ids):
            print(job.id, job.state.value, client.logs(job.id).decode())

Answers are the frozen records of `pilot.views`. What the central refuses is raised as `pilot.errors.Refusal`, whose
`type` says which; a central that cannot be reached is a `pilot.errors.TransportError`. Both are a `PilotageError` whose
message is a sentence for people.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import requests

from pilot.views import Health, WhoAmI
from pilotage import connection as connections
from pilotage.audit import AuditPart
from pilotage.capacity import CapacityPart
from pilotage.connection import Connection
from pilotage.credentials import CredentialsPart
from pilotage.jobs import JobsPart
from pilotage.people import PeoplePart
from pilotage.pilots import PilotsPart
from pilotage.pipelines import PipelinesPart
from pilotage.results import ResultsPart
from pilotage.transport import SYSTEM_CLOCK, Clock, Transport, Trouble, open_session
from pilotage.usage import UsagePart


class Client(
    JobsPart, ResultsPart, PilotsPart, UsagePart, CredentialsPart, PipelinesPart, CapacityPart, PeoplePart, AuditPart
):
    """Talks to one central as one person. A context manager; not to be shared between threads."""

    def __init__(
        self,
        url: str,
        token: str,
        ca: str | Path | None = None,
        *,
        patience: float = 30.0,
        trouble: Trouble | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`ca` is the file of the authority that signed the central's certificate; None: whatever the system trusts.

        `patience`: seconds for which a request is tried again while the central is away or busy; `trouble` is told why,
        each time, and for how many seconds already.
        """
        self.connection = Connection(url.rstrip("/"), token, Path(ca) if ca else None)
        self._session: requests.Session = open_session(self.connection)
        super().__init__(Transport(self._session, self.connection, patience, clock, trouble), clock)

    @classmethod
    def connected(cls, connection: Connection, *, patience: float = 30.0, trouble: Trouble | None = None) -> Client:
        """A client for a connection that was found somewhere."""
        return cls(connection.url, connection.token, connection.ca, patience=patience, trouble=trouble)

    @classmethod
    def from_folder(cls, folder: str | Path | None = None, *, patience: float = 30.0) -> Client:
        """As the ``client.toml`` of a folder says; without one, of ``$PILOTAGE_FOLDER`` or ``~/.pilotage``."""
        where = Path(folder) if folder is not None else connections.default_folder(os.environ)
        return cls.connected(connections.from_folder(where), patience=patience)

    @classmethod
    def from_environment(cls, *, patience: float = 30.0) -> Client:
        """As ``PILOTAGE_URL``, ``PILOTAGE_TOKEN`` and ``PILOTAGE_CA`` say, else as `from_folder`."""
        return cls.connected(connections.find(os.environ), patience=patience)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def whoami(self) -> WhoAmI:
        """Whom the token speaks for."""
        return self._get(WhoAmI, "/v1/whoami")

    def health(self) -> Health:
        """Whether the central works, its version, and for how many seconds it has been up."""
        return self._get(Health, "/healthz")
