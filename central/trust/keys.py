"""The keys of a ring: how each follows from the one before, how long each is kept, and how they are written down.

Since each key follows from the one before, centrals which began with one ring have equal rings at any time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Sequence
from itertools import pairwise

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from central.trust.seal import Key, KeyRing
from pilot.errors import PilotageError

#: AES-GCM with random nonces is good for 2^32 messages a key; a new key each month stays far below.
KEY_AGE = 30 * 86400.0
#: Nothing sealed lives longer than this.
KEEP_AGE = 400 * 86400.0
#: Keys to come that a ring opens already: a central that runs for long understands others which started later.
AHEAD = 24
#: Ten years: nobody was away for longer. It bounds how many keys are made one from the other.
LONGEST = 3660 * 86400.0
#: Of what is read: bytes, and keys. A ring that has grown for ten years has 123 keys of some 110 bytes.
MOST_BYTES, MOST_KEYS = 65536, 256
_KEY_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_FORM = 'expected {"keys": [{"id": TEXT, "key": 32 BYTES IN BASE64, "made": SECONDS SINCE 1970}, ...]}'


class _StoredKey(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    key: str
    made: float

    def __repr__(self) -> str:
        return f"_StoredKey({self.id!r})"  # what shows it in a log shows no key


class _StoredRing(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[_StoredKey]


def ring_of(keys: tuple[Key, ...]) -> KeyRing:
    """The ring of these keys, which opens what is sealed under those to come as well."""
    coming: list[Key] = []
    while len(coming) < AHEAD:
        coming.append(following((coming or keys)[-1]))
    return KeyRing(keys, tuple(coming))


def renewed(keys: tuple[Key, ...], now: float, *, written: bool = True) -> tuple[Key, ...]:
    """The ring with new keys when the newest is old, without those under which nothing was sealed for `KEEP_AGE`.

    The newest of before stays for another month at least, however long the central was away: credentials are under it,
    and the ring is looked at several times (by `init`, by each worker) until they are under a newer one. `written` is
    false where nobody writes down what was made: then all that follow from the newest of before stay, since a central
    that was away for long may have sealed under any of them.
    """
    if keys[-1].made <= now - LONGEST:
        raise PilotageError(
            "the newest key of the key ring is more than ten years old; `python -m central new-key` adds one of today"
        )
    grown = list(keys)
    while grown[-1].made <= now - KEY_AGE:
        grown.append(following(grown[-1]))
    made = grown if written else keys
    over = _over(made, now - KEEP_AGE)
    if keys[-1].id in over:
        # The first that is kept of those after it is so young that the next look does not let go of it.
        over = _over(made, now - KEEP_AGE + 2 * KEY_AGE) - {keys[-1].id}
    return tuple(key for key in grown if key.id not in over)


def _over(keys: Sequence[Key], before: float) -> set[str]:
    """The names of those under which nothing was sealed since then, the next having come by that time."""
    return {key.id for key, next in pairwise(keys) if next.made <= before}


def following(key: Key) -> Key:
    """The key that takes its place after `KEY_AGE`."""
    secret = hmac.new(key.secret, b"pilotage: the next key of the ring", hashlib.sha256).digest()
    return Key(f"k{hashlib.sha256(secret).hexdigest()[:8]}", secret, key.made + KEY_AGE)


def unrelated(made: float) -> Key:
    """A key that follows from none."""
    return Key(f"k{secrets.token_hex(4)}", AESGCM.generate_key(bit_length=256), made)


def written(keys: Sequence[Key]) -> bytes:
    """A ring as it is kept. Raises `PilotageError` rather than write down one that could not be read."""
    if len(keys) > MOST_KEYS:
        raise PilotageError(
            f"the key ring would have {len(keys)} keys, expected at most {MOST_KEYS}: take out of it those that nothing"
            " is sealed under any more"
        )
    ring = _StoredRing([_StoredKey(key.id, base64.b64encode(key.secret).decode(), key.made) for key in keys])
    return msgspec.json.format(msgspec.json.encode(ring)) + b"\n"


def read(content: bytes, where: str) -> tuple[Key, ...]:
    """The keys of a ring as it is kept, from oldest to newest.

    Raises `PilotageError` that names `where`, and nothing of the content: not even what was taken for a name.
    """
    if len(content) > MOST_BYTES:
        raise PilotageError(f"{where}: the key ring cannot be read: expected at most {MOST_BYTES} bytes")
    try:
        stored = msgspec.json.decode(content, type=_StoredRing).keys
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Without the cause, which could quote what it read.
        raise PilotageError(f"{where}: the key ring cannot be read: {_FORM}") from None
    if problem := _problem(stored):
        raise PilotageError(f"{where}: the key ring cannot be used: {problem}")
    return tuple(sorted((Key(one.id, _secret(one.key), one.made) for one in stored), key=lambda key: key.made))


def _problem(stored: Sequence[_StoredKey]) -> str:
    """What is wrong with what is there; empty: nothing is."""
    if not 1 <= len(stored) <= MOST_KEYS:
        return f"expected 1 to {MOST_KEYS} keys, got {len(stored)}"
    for number, one in enumerate(stored, 1):
        if not _ID.fullmatch(one.id):
            return f"the id of key {number} is not 1 to 64 letters, digits, - or _"
        if not math.isfinite(one.made):
            return f"key {number} was made at no time that there is"
        secret = _secret(one.key)
        if not secret:
            return f"key {number} is not base64"
        if len(secret) != _KEY_BYTES:
            return f"key {number}: expected {_KEY_BYTES} bytes, got {len(secret)}"
    if len({one.id for one in stored}) < len(stored):
        return "two keys have one id"
    if len({one.key for one in stored}) < len(stored):
        return "one key is there twice"
    return ""


def _secret(text: str) -> bytes:
    """Out of base64; empty where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
