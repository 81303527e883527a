"""The part of the store's port that is about credentials: secrets of people, sealed, and who is given them.

Every change comes with its line for the audit, which is written in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from central.records import CredentialRow, Note, Noted


@dataclass(frozen=True)
class Entitled:
    """An attempt that a pilot holds, whose job names credentials of its owner."""

    job: int
    attempt: int
    community: str
    owner: str
    names: tuple[str, ...]


class VaultStore(Protocol):
    """What people keep here for their jobs, as it was sealed."""

    async def keep_credential(self, row: CredentialRow, note: Note, most: int) -> float:
        """Keep a sealed secret, in the place of the one of that owner and name; returns when that was. Raises
        ``too-large`` when the owner would have more than `most`."""

    async def credentials(
        self, community: str, owner: str | None = None, names: Sequence[str] | None = None
    ) -> tuple[CredentialRow, ...]:
        """By owner and name: all of a community, of one owner, of these names."""

    async def waiting_for(self, queue: int, credential: str, limit: int) -> tuple[int, ...]:
        """Jobs that wait in a task queue and name that credential, the lowest ids first."""

    async def running_with(self, community: str, owner: str, credential: str, limit: int) -> int:
        """How many jobs of an owner are out on pilots and name that credential; of very many, the limit."""

    async def entitled(self, stamp: str) -> tuple[Entitled, ...]:
        """The attempts that a pilot holds, of jobs that are not over and name credentials; by job."""

    async def remove_credential(self, community: str, owner: str, name: str, note: Note) -> None:
        """Raises ``not-found``."""

    async def credentials_under_others(self, keys: Sequence[str], limit: int) -> tuple[CredentialRow, ...]:
        """Some of those that were sealed with none of these keys."""

    async def reseal_credential(self, old: CredentialRow, key_id: str, sealed: bytes) -> bool:
        """Put the same secret under another key. False: it has been changed or removed meanwhile."""

    async def note(self, notes: Sequence[Note]) -> None:
        """Add to the audit, which nothing takes away from."""

    async def notes(self, community: str, owner: str, subject: str, limit: int) -> tuple[Noted, ...]:
        """What was done with one secret, the newest first."""
