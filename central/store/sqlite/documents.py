"""What jobs are filled in from: their documents, which many jobs share."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping

from central.store import codec
from pilot.protocol import JobSpec

TEXTS = "SELECT id, spec FROM documents WHERE id IN (SELECT value FROM json_each(?))"
TEXT = "SELECT id, spec FROM documents WHERE id = ?"

#: Templates that are kept decoded, and characters of the longest one that is.
TEMPLATES = 4096
LONGEST = 16_384


class Templates:
    """Decoded documents by their ids, those that were used last; the writer looks into it, and its callers add to it.

    A document's id is the id of its first job, which is never given again, but for one whose transaction was undone.
    So only what was committed may be kept here, and nothing of it ever becomes wrong.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[int, JobSpec] = OrderedDict()
        self._lock = threading.Lock()

    def some(self, ids: Collection[int]) -> dict[int, JobSpec]:
        """Those of them that are here."""
        with self._lock:
            found = {one: template for one in ids if (template := self._kept.get(one)) is not None}
            for one in found:
                self._kept.move_to_end(one)
        return found

    def keep(self, texts: Mapping[int, str]) -> dict[int, JobSpec]:
        """Decode documents that were read, and that are known to be committed."""
        decoded = {one: codec.spec(text) for one, text in texts.items()}
        with self._lock:
            for one, text in texts.items():
                if len(text) <= LONGEST:
                    self._kept[one] = decoded[one]
                    self._kept.move_to_end(one)
            while len(self._kept) > TEMPLATES:
                self._kept.popitem(last=False)
        return decoded


def texts(db: sqlite3.Connection, ids: Collection[int]) -> dict[int, str]:
    """The documents with these ids, as they are kept."""
    if not ids:
        return {}
    if len(ids) == 1:
        return dict(db.execute(TEXT, tuple(ids)).fetchall())
    return dict(db.execute(TEXTS, (codec.text(sorted(ids)),)).fetchall())
