"""The keys that communities sign their bundles with: Ed25519, from the package cryptography, which few people need."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pilot import bundles
from pilot.errors import InvalidInput
from pilotage.bundles import Built

_MARK = "ed25519:"


def make_key(path: Path) -> str:
    """A new private key in a file that only its owner reads. Returns the public key, as `bundle_keys` has it."""
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidInput(str(path), f"expected a place for a new key: {error.strerror or error}") from error
    with os.fdopen(handle, "wb") as file:
        file.write(text)
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return _MARK + base64.b64encode(raw).decode()


def sign(key_file: Path, community: str, built: Built) -> bytes:
    """The community's word that these bytes are its bundle. Raises `PilotageError`."""
    try:
        if key_file.stat().st_mode & 0o077:
            raise InvalidInput(str(key_file), "expected a key that only its owner reads: chmod 600, or make a new one")
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(str(key_file), "expected the key that `pilotage bundle keygen` made") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(str(key_file), "expected an Ed25519 key: `pilotage bundle keygen` makes one")
    return key.sign(bundles.signed_text(community, built.manifest.name, built.sha256))
