"""The part of the store's port that is about stored files: which community has which, and who brought them."""

from __future__ import annotations

from typing import Protocol

from central.people import NOBODY, Sender


class FileStore(Protocol):
    """What is known of sandboxes; their bytes are objects."""

    async def sandbox(self, community: str, sha256: str) -> int | None:
        """The size of a stored file that this community has, else None."""

    async def add_sandbox(self, community: str, sha256: str, size: int, sender: Sender = NOBODY) -> None:
        """The community has it from now on, and its bytes count for whoever brought it first."""

    async def sandbox_bytes(self, community: str, owner: str) -> int:
        """The bytes of all files that somebody has brought."""
