"""Sealed tokens: what the central wrote down for somebody to carry, readable and changeable by the central alone.

Authenticated encryption (AES-256-GCM) under a ring of keys: the newest seals, all open, so that keys are replaced
while tokens are under way. The kind of a token is part of what is authenticated: one is never taken for another. Where
the keys come from is `central/trust/keys.py` and `central/trust/ring_source.py`.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pilot.errors import Refusal

_NONCE_BYTES = 12
#: Opened tokens kept: opening costs some ten microseconds, finding one of these less than one.
CACHED = 20_000


class PilotToken(msgspec.Struct, frozen=True, tag="pilot", array_like=True):
    """A pilot's right to speak: its epoch and session key."""

    stamp: str
    epoch: int
    key: bytes
    issued: float
    expires: float
    heard_until: float | None = None  # renewal and reports are heard until then; None: no end

    def __repr__(self) -> str:
        return f"PilotToken({self.stamp!r}, {self.epoch!r})"  # what shows it in a log shows no key


class JobToken(msgspec.Struct, frozen=True, tag="job", array_like=True):
    """A payload's right to its own job's sandbox."""

    job: int
    attempt: int
    stamp: str
    community: str
    expires: float


class Ticket(msgspec.Struct, frozen=True, tag="ticket", array_like=True):
    """The right to append to the boot log of one pilot."""

    stamp: str


Payload = PilotToken | JobToken | Ticket
P = TypeVar("P", PilotToken, JobToken, Ticket)


@dataclass(frozen=True)
class Key:
    """One key of the ring, with its name and age."""

    id: str
    secret: bytes = field(repr=False)
    made: float  # seconds since the epoch


class KeyRing:
    """Seals and opens. `keys` from oldest to newest; those in `coming` open only."""

    def __init__(self, keys: tuple[Key, ...], coming: tuple[Key, ...] = ()) -> None:
        self.keys = keys
        self.coming = coming
        self._newest = keys[-1]
        self._ciphers = {key.id: AESGCM(key.secret) for key in (*keys, *coming)}
        self._opened: OrderedDict[str, Payload] = OrderedDict()

    def seal(self, payload: Payload) -> str:
        """Return the text to carry: the key's name and the sealed bytes, fit for a header."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        kind = type(payload).__name__.encode()
        sealed = self._ciphers[self._newest.id].encrypt(nonce, msgspec.msgpack.encode(payload), kind)
        return f"{self._newest.id}.{base64.urlsafe_b64encode(nonce + sealed).decode().rstrip('=')}"

    def open(self, kind: type[P], text: str) -> P:
        """Return what was sealed as this kind. Raises the refusal ``unauthorized``."""
        payload = self._opened.get(text)
        if payload is None:
            payload = self._decrypt(kind, text)
            self._opened[text] = payload
            if len(self._opened) > CACHED:
                self._opened.popitem(last=False)
        else:
            self._opened.move_to_end(text)
        if not isinstance(payload, kind):
            raise Refusal("unauthorized", "this token is of another kind than this request needs")
        return payload

    def _decrypt(self, kind: type[P], text: str) -> P:
        name, _, sealed = text.partition(".")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise Refusal("unauthorized", "the token was sealed with a key that this central does not have")
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            plain = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], kind.__name__.encode())
            return msgspec.msgpack.decode(plain, type=kind)
        except (ValueError, InvalidTag, msgspec.MsgspecError) as error:
            raise Refusal("unauthorized", "the token is not one that this central sealed for this use") from error


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _settle(path.parent)
    except BaseException:  # nothing half-written stays, whatever happened
        temporary.unlink(missing_ok=True)
        raise


def _settle(folder: Path) -> None:
    """What was moved there is there after a power failure too: it is the only one to open what it will have sealed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
