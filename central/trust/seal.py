"""Sealed tokens: what the central wrote down for somebody to carry, readable and changeable by the central alone.

Authenticated encryption (AES-256-GCM) under a ring of keys: the newest seals, all open, so that keys are replaced
while tokens are under way. Each key follows from the one before, so that centrals which began with one ring have equal
rings at any time. The kind of a token is part of what is authenticated: one is never taken for another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pilot.errors import PilotageError, Refusal

_NONCE_BYTES = 12
#: Opened tokens kept: opening costs some ten microseconds, finding one of these less than one.
CACHED = 20_000
#: AES-GCM with random nonces is good for 2^32 messages a key; a new key each month stays far below.
KEY_AGE = 30 * 86400.0
#: Nothing sealed lives longer than this.
KEEP_AGE = 400 * 86400.0
#: Keys to come that a ring opens already: a central that runs for long understands others which started later.
AHEAD = 24


class PilotToken(msgspec.Struct, frozen=True, tag="pilot", array_like=True):
    """A pilot's right to speak: its epoch and session key."""

    stamp: str
    epoch: int
    key: bytes
    issued: float
    expires: float
    heard_until: float | None = None  # renewal and reports are heard until then; None: no end


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
    secret: bytes
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


class _StoredKey(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    key: bytes
    made: float


class _StoredRing(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[_StoredKey]


def load_ring(path: Path, now: float) -> KeyRing:
    """Open the ring kept in a file of mode 0600, made and given a new key when it is time."""
    keys = renewed(_read(path) if path.exists() else (), now)
    _write(path, keys)
    return _ring(keys)


def read_ring(path: Path, now: float) -> KeyRing:
    """The same without changing the file, for whoever only looks."""
    return _ring(renewed(_read(path), now))


def _ring(keys: tuple[Key, ...]) -> KeyRing:
    coming: list[Key] = []
    while len(coming) < AHEAD:
        coming.append(following((coming or keys)[-1]))
    return KeyRing(keys, tuple(coming))


def add_unrelated(path: Path, now: float) -> Key:
    """Put a key into the ring that follows from none before: what it seals is safe though an older one is known."""
    keys = _read(path)
    key = _random(max(now, keys[-1].made))
    _write(path, (*keys, key))
    return key


def renewed(keys: tuple[Key, ...], now: float) -> tuple[Key, ...]:
    """The ring with new keys when the newest is old, without those that nothing alive was sealed with.

    The newest of before stays once more, however long the central was away: credentials are under it.
    """
    grown = list(keys) or [_random(now)]
    while grown[-1].made <= now - KEY_AGE:
        grown.append(following(grown[-1]))
    return tuple(key for key in grown if key.made > now - KEEP_AGE or key in keys[-1:])


def following(key: Key) -> Key:
    """The key that takes its place after `KEY_AGE`."""
    secret = hmac.new(key.secret, b"pilotage: the next key of the ring", hashlib.sha256).digest()
    return Key(f"k{hashlib.sha256(secret).hexdigest()[:8]}", secret, key.made + KEY_AGE)


def _random(made: float) -> Key:
    return Key(f"k{secrets.token_hex(4)}", AESGCM.generate_key(bit_length=256), made)


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    ring = _StoredRing([_StoredKey(key.id, key.secret, key.made) for key in keys])
    write_secret(path, msgspec.json.format(msgspec.json.encode(ring)) + b"\n")


def _read(path: Path) -> tuple[Key, ...]:
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=_StoredRing)
    except (OSError, msgspec.MsgspecError) as error:
        raise PilotageError(f"{path}: the key ring cannot be read ({error}); restore it from a backup") from error
    return tuple(Key(key.id, key.key, key.made) for key in stored.keys)


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
    except BaseException:  # nothing half-written stays, whatever happened
        temporary.unlink(missing_ok=True)
        raise
