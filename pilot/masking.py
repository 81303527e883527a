"""Secrets are blotted out of logs before they leave, each byte by a star, so that offsets stay what they were."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Optional

from pilot.protocol import SHORTEST_SECRET

#: Times that credentials of an attempt may be renewed before those of the first time are no secret any more.
RENEWALS = 100


def owner(job: int, attempt: int) -> str:
    """An attempt as the owner of secrets and logs."""
    return f"{job}-{attempt}"


def owner_of(stream: str) -> Optional[str]:
    """The attempt that a log stream belongs to, as `protocol.attempt_stream` names it; None: the pilot itself."""
    parts = stream.split("-")
    return f"{parts[1]}-{parts[2]}" if len(parts) == 4 and parts[0] == "job" else None


def mask(data: bytes, secrets: Iterable[bytes]) -> bytes:
    """The same bytes with every secret in them starred out."""
    for secret in secrets:
        if secret in data:
            data = data.replace(secret, b"*" * len(secret))
    return data


def unfinished(data: bytes, secrets: Iterable[bytes]) -> int:
    """How many bytes at the end may be the beginning of a secret, the rest of which is not there yet."""
    longest = 0
    for secret in secrets:
        end = data[max(0, len(data) - len(secret) + 1) :]
        # Only where its first byte is: a secret may have thousands.
        at = end.find(secret[:1])
        while 0 <= at < len(end) - longest:
            if secret.startswith(end[at:]):
                longest = len(end) - at
                break
            at = end.find(secret[:1], at + 1)
    return longest


class Secrets:
    """What must not be seen in logs, each with its owner: an attempt, or the pilot itself (None). For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Optional[str], tuple[bytes, ...]] = {}
        self._renewed: dict[str, deque[tuple[bytes, ...]]] = {}

    def add(self, owner: Optional[str], texts: Iterable[str]) -> None:
        """Keep these secret from now on, until their owner is forgotten."""
        new = set(_fitting(texts))
        with self._lock:
            self._known[owner] = _longest_first(new.union(self._known.get(owner, ())))

    def renew(self, owner: str, texts: Iterable[str]) -> None:
        """Keep these secret too, which came in the place of earlier ones; of very many renewals the newest count."""
        with self._lock:
            self._renewed.setdefault(owner, deque(maxlen=RENEWALS)).append(_fitting(texts))

    def forget(self, owner: str) -> None:
        with self._lock:
            self._known.pop(owner, None)
            self._renewed.pop(owner, None)

    def of(self, owner: Optional[str]) -> Sequence[bytes]:
        """Those that may turn up in a log of this owner: its own and the pilot's; in the pilot's logs, all."""
        with self._lock:
            if owner is None:
                return [secret for each in {*self._known, *self._renewed} for secret in self._all(each)]
            return self._all(owner) + self._known.get(None, ())

    def _all(self, owner: Optional[str]) -> tuple[bytes, ...]:
        known = self._known.get(owner, ())
        renewed = self._renewed.get(owner, ()) if owner is not None else ()
        return _longest_first((*known, *(one for each in renewed for one in each))) if renewed else known


def _fitting(texts: Iterable[str]) -> tuple[bytes, ...]:
    found = (text.encode("utf-8", "replace") for text in texts)
    return tuple(secret for secret in found if len(secret) >= SHORTEST_SECRET)


def _longest_first(secrets: Iterable[bytes]) -> tuple[bytes, ...]:
    """A secret may contain another."""
    return tuple(sorted(set(secrets), key=len, reverse=True))
