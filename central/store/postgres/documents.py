"""Documents remembered by id: they never change, and a claim need not read the same one again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

#: Characters of JSON that a central remembers.
REMEMBERED = 32 * 1024 * 1024

SPECS = "SELECT id, spec FROM documents WHERE id = ANY($1::bigint[])"


class Documents:
    """The latest used, as JSON of `JobSpec`."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, str] = OrderedDict()
        self._size = 0

    async def get(self, db: Database, ids: Iterable[int]) -> dict[int, str]:
        """Those of these documents that there are."""
        wanted = set(ids)
        found = {document: self._known[document] for document in wanted if document in self._known}
        for document in found:
            self._known.move_to_end(document)
        if missing := wanted - found.keys():
            rows = await db.fetch(SPECS, sorted(missing))
            read = {row["id"]: row["spec"] for row in rows}
            found |= read
            self._remember(read)
        return found

    def _remember(self, read: dict[int, str]) -> None:
        for document, spec in read.items():
            if document not in self._known:  # another verb may have read it meanwhile
                self._known[document] = spec
                self._size += len(spec)
        while self._size > REMEMBERED:
            _, spec = self._known.popitem(last=False)
            self._size -= len(spec)
