"""A computing element that is spoken to with a credential of the vault.

Before each turn the credential is looked at anew and laid into a file that only the central reads, so that one that was
set anew is taken up at once. One that is missing, has expired or cannot be opened is why nothing is asked or submitted;
one that will end soon is an alarm before that.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from central.configuration.elements import VaultName
from central.elements.port import ComputingElement, ComputingError, Listed, Submission, Trouble
from central.records import CredentialRow
from central.store.port import Store
from central.trust.delivering import unlocked
from central.trust.expiry import ends_soon
from central.trust.seal import write_secret
from central.trust.vault import Vault
from pilot.credential import OF_CLOUDS
from pilot.units import show_duration

log = logging.getLogger(__name__)

#: What of a credential of one part is laid into the file, by its kind.
PART = {"x509-proxy": "proxy", "bearer": "token"}


@dataclass(frozen=True)
class Held:
    """The file with what the vault holds under a name, looked at by `now`."""

    name: VaultName
    file: Path
    store: Store
    vault: Vault
    alarm: Callable[[str], None]  # told what is wrong or will be, empty when nothing is

    async def lay_out(self, now: float) -> None:
        """Bring the file up to date. Raises `ComputingError` where there is nothing good to put into it."""
        name = self.name
        rows = await self.store.credentials(name.community, name.owner, [name.name])
        row = rows[0] if rows else None
        values = unlocked(self.vault, row, now)
        if row is None:
            self._missing(f"there is no credential {name}")
        elif isinstance(values, str):
            self._missing(f"the credential {name} {values}")
        elif row.kind != name.kind:
            self._missing(f"the credential {name} is of the kind {row.kind}, expected {name.kind}")
        else:
            _write(self.file, laid_out(name.kind, values))
            self.alarm(_soon(row, name, now))

    def _missing(self, sentence: str) -> None:
        self.file.unlink(missing_ok=True)
        sentence = f"{sentence}; `pilotage credential set {self.name.name} --kind {self.name.kind}` sets it"
        self.alarm(sentence)
        raise ComputingError(sentence, Trouble.CREDENTIAL)


class Credentialed:
    """A computing element whose credential is brought up to date before it is asked or given anything."""

    def __init__(self, element: ComputingElement, held: Held, now: Callable[[], float]) -> None:
        self.element = element
        self.held = held
        self.now = now

    @property
    def lag(self) -> float:
        return self.element.lag

    async def submit(self, submissions: Sequence[Submission]) -> Mapping[str, str | ComputingError]:
        try:
            await self._ready()
        except ComputingError as error:
            return {submission.stamp: error for submission in submissions}
        return await self.element.submit(submissions)

    async def listing(self) -> Sequence[Listed]:
        await self._ready()
        return await self.element.listing()

    async def cancel(self, references: Sequence[str]) -> Mapping[str, ComputingError]:
        return await self.element.cancel(references)

    async def output(self, stamp: str, reference: str) -> bytes:
        return await self.element.output(stamp, reference)

    async def forget(self, stamp: str, reference: str) -> None:
        await self.element.forget(stamp, reference)

    async def capacity(self) -> int | None:
        return await self.element.capacity()

    async def close(self) -> None:
        self.held.file.unlink(missing_ok=True)
        await self.element.close()

    def secret_file(self, stamp: str) -> str:
        return self.element.secret_file(stamp)

    def work_base(self, stamp: str) -> str | None:
        return self.element.work_base(stamp)

    def exit_file(self, stamp: str) -> str | None:
        return self.element.exit_file(stamp)

    async def _ready(self) -> None:
        await self.held.lay_out(self.now())


def laid_out(kind: str, values: Mapping[str, str]) -> str:
    """The text of the file: the one thing that programs take, or everything that a cloud is spoken to with, as JSON."""
    return json.dumps(values, sort_keys=True) if kind in OF_CLOUDS else values[PART[kind]]


def _soon(row: CredentialRow, name: VaultName, now: float) -> str:
    """That it will end soon; empty where it will not."""
    if row.expires is None or not ends_soon(row.changed, row.expires, now):
        return ""
    return f"the credential {name} ends in {show_duration(int(row.expires - now))}; set it anew before that"


def _write(path: Path, text: str) -> None:
    """Only where it says something new."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(path, text.encode())
