"""Verifying the audit of a folder beside the central that serves it, or without: its store, its keys, its anchor."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence

from central.configuration import settings_file
from central.configuration.settings import is_postgresql
from central.databases import open_database
from central.folder import Folder
from central.trust.chain import AnchorFile, Seals, verify
from central.trust.ring_source import ring_source
from pilot.auditing import Anchor, Verdict, sentences
from pilot.errors import PilotageError


def look_back(folder: Folder, expected: Sequence[Anchor], key_ring: str | None = None) -> Verdict:
    """Walk the chain. `expected`: links that somebody has written down; `key_ring`: what the environment had.

    Raises `PilotageError`.
    """
    service = settings_file.load(folder.settings).service
    database = folder.database(service)
    if not is_postgresql(service.database) and not database.exists():
        raise PilotageError(f"{database}: there is no database yet; it is made by the first `serve`")
    seals = Seals.of(ring_source(folder, service, os.environ, key_ring).look(time.time()))
    kept = AnchorFile(folder.audit_anchor).read()

    async def walk() -> Verdict:
        store = open_database(folder, service, time.time)
        await store.open()
        try:
            return await verify(store, seals, [*expected, *([kept] if kept else [])])
        finally:
            await store.close()

    return asyncio.run(walk())


def told(verdict: Verdict) -> str:
    """For people."""
    return "\n".join(sentences(verdict))
