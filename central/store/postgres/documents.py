"""Documents remembered by id: they never change, and a claim need not read the same one again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from central.store.templates import Template

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

#: Characters of JSON that a central remembers, decoded.
REMEMBERED = 8 * 1024 * 1024

SPECS = "SELECT id, spec FROM documents WHERE id = ANY($1::bigint[])"


class Documents:
    """The latest used, ready to fill in jobs."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Template] = OrderedDict()
        self._size = 0

    async def get(self, db: Database, ids: Iterable[int]) -> dict[int, Template]:
        """Those of these documents that there are."""
        wanted = set(ids)
        found = {document: self._known[document] for document in wanted if document in self._known}
        for document in found:
            self._known.move_to_end(document)
        if missing := wanted - found.keys():
            rows = await db.fetch(SPECS, sorted(missing))
            read = {row["id"]: Template(row["spec"]) for row in rows}
            found |= read
            self._remember(read)
        return found

    def _remember(self, read: dict[int, Template]) -> None:
        for document, template in read.items():
            if document not in self._known:  # another verb may have read it meanwhile
                self._known[document] = template
                self._size += template.length
        while self._size > REMEMBERED:
            _, template = self._known.popitem(last=False)
            self._size -= template.length
