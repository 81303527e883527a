"""What people trust the central with: sealed under the keys of its ring, each row with the name of its key.

AES-256-GCM. All that stands beside the secret in its row is authenticated with it: a row that somebody changed in the
database, or copied to another owner, opens no more. The keys follow from those of the ring and are not the same, so
that nothing sealed for one use is ever opened in another.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from central.records import CredentialRow
from central.store.port import Store
from central.trust.seal import Key, KeyRing
from pilot.credential import Kind
from pilot.errors import PilotageError

log = logging.getLogger(__name__)
_NONCE_BYTES = 12
_PURPOSE = b"pilotage: the key of the vault"
_VALUES = msgspec.json.Decoder(dict[str, str])
#: Rows that are put under the newest key in one step, and seconds between two looks for such: short, because the first
#: is taken before this central leads.
STEP = 100
INTERVAL = 15.0


class Unopened(PilotageError):
    """A secret that is kept and cannot be read: its key is gone, or its row was changed."""


class Vault:
    """Seals and opens secrets. `keys` from oldest to newest; those in `coming` open only."""

    def __init__(self, keys: Sequence[Key], coming: Sequence[Key] = ()) -> None:
        self._newest = keys[-1].id
        self._ciphers = {key.id: AESGCM(_of_the_vault(key.secret)) for key in (*keys, *coming)}
        #: Keys under which a secret may stay: the newest, and those that other centrals may seal with by now.
        self.current = (self._newest, *(key.id for key in coming))

    @classmethod
    def of(cls, ring: KeyRing) -> Vault:
        """The vault of a central, by its ring."""
        return cls(ring.keys, ring.coming)

    def seal(self, row: CredentialRow, values: Mapping[str, str]) -> CredentialRow:
        """The row with these values in it, under the newest key."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        plain = msgspec.json.encode(values, order="deterministic")
        sealed = nonce + self._ciphers[self._newest].encrypt(nonce, plain, _beside(row))
        return replace(row, key_id=self._newest, sealed=sealed)

    def open(self, row: CredentialRow) -> dict[str, str]:
        """The values of a row. Raises `Unopened`."""
        cipher = self._ciphers.get(row.key_id)
        if cipher is None:
            raise Unopened(f"the credential {row.name} of {row.owner} is under a key that this central does not have")
        if row.kind not in get_args(Kind):
            raise Unopened(f"the credential {row.name} of {row.owner} is of a kind that this central does not know")
        try:
            return _VALUES.decode(cipher.decrypt(row.sealed[:_NONCE_BYTES], row.sealed[_NONCE_BYTES:], _beside(row)))
        except (InvalidTag, ValueError, msgspec.MsgspecError):
            # Without the cause: a decoder's complaint could quote what it read.
            raise Unopened(f"the credential {row.name} of {row.owner} is not as it was sealed") from None


def _of_the_vault(secret: bytes) -> bytes:
    return hmac.new(secret, _PURPOSE, hashlib.sha256).digest()


def _beside(row: CredentialRow) -> bytes:
    """All of a row that is not secret, so that no two rows are the same text."""
    return msgspec.json.encode((row.community, row.owner, row.name, row.kind, row.urls, row.expires))


def version_of(row: CredentialRow, more: str = "") -> str:
    """What tells one setting of a credential from another: made of when and whose it was, not of what it holds.

    `more`: what is made of it changes while it stays.
    """
    said = "\0".join((row.community, row.owner, row.name, repr(row.changed), more))
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:16]


async def reseal_old(store: Store, vault: Vault, lost: set[bytes]) -> int:
    """Put every secret under the newest key that is under an older one; returns how many.

    `lost`: what could not be opened, as it is sealed. It is added to, and passed over: once told is enough.
    """
    done = 0
    while rows := await store.credentials_under_others(vault.current, STEP + len(lost)):
        changed = 0
        for row in rows:
            if row.sealed in lost:
                continue
            try:
                new = vault.seal(row, vault.open(row))
            except Unopened as error:
                log.error("%s: put that key back into the ring, or have its owner set it anew", error)
                lost.add(row.sealed)
                continue
            changed += await store.reseal_credential(row, new.key_id, new.sealed)
        done += changed
        if not changed:  # what is left cannot be opened
            break
    return done
