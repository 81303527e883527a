"""The credentials of an attempt on its node: files for the payload's eyes alone, gone with the attempt.

A text and a bearer token are a file under the credential's name; a user with a password is a folder with two. Of s3
there is none: the central signs what is asked of it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Optional

from pilot.attempts.directory import AttemptDirectory, owner_of, remove, write_private
from pilot.credential import NAME
from pilot.destinations.port import open_plain
from pilot.errors import InvalidInput
from pilot.protocol import Credential

#: The value that is a file by itself, by kind; and the files in the folder of a user with a password.
_ALONE = {"text": "text", "bearer": "token"}
_PARTS = ("user", "password")
#: More bytes than any secret has.
MAX_SECRET = 1024 * 1024


def lay_out(place: AttemptDirectory, credentials: Sequence[Credential]) -> None:
    """Write them, where there are any. Before the payload runs. Raises `InvalidInput` for a name that is none."""
    if not credentials:
        return
    place.credentials.mkdir(mode=0o700)
    for credential in credentials:
        if not NAME.fullmatch(credential.name):
            raise InvalidInput("credentials", f"expected a plain name, got {credential.name[:100]!r}")
        file = place.credentials / credential.name
        if credential.kind == "basic":
            file.mkdir(mode=0o700)
            for part in _PARTS:
                write_private(file / part, credential.values.get(part, ""), place.owner)
            place.give(file)
        elif credential.kind in _ALONE and _ALONE[credential.kind] in credential.values:
            write_private(file, credential.values[_ALONE[credential.kind]], place.owner)
    place.give(place.credentials)  # last: until now nobody could put a link there


def values_of(place: AttemptDirectory, credential: Credential) -> dict[str, str]:
    """What was laid out of a credential; empty texts where it cannot be read any more."""
    file = place.credentials / credential.name
    if credential.kind == "basic":
        return {part: _text(file / part) for part in _PARTS}
    return {_ALONE[credential.kind]: _text(file)} if credential.kind in _ALONE else {}


def token_of(place: AttemptDirectory) -> str:
    """The job's token, empty where it is not there any more."""
    return _text(place.token).strip()


def secrets_in(root: Path) -> list[str]:
    """What is secret about an attempt, as far as it lies in its directory: its token, and its credentials."""
    place = AttemptDirectory(root)
    found = [token_of(place)]
    for name, folder in _entries(place.credentials):
        credential = Credential(name, "basic" if folder else "text")
        found += replace(credential, values=values_of(place, credential)).secrets
    return [secret for secret in found if secret]


def wipe(place: AttemptDirectory) -> None:
    """Nothing of them stays, also where the attempt's directory is kept for somebody to look at."""
    remove(place.credentials)


def forget(attempts: Path, only: Optional[Collection[tuple[int, int]]] = None) -> None:
    """Wipe what attempts have left whose agent was killed: their credentials and tokens. Without `only`, of all."""
    names = None if only is None else {f"{job}.{attempt}" for job, attempt in only}
    for root in attempts.iterdir() if attempts.is_dir() else ():
        if names is None or root.name in names:
            wipe(AttemptDirectory(root))
            with suppress(OSError):
                AttemptDirectory(root).token.unlink()


def _entries(folder: Path) -> Sequence[tuple[str, bool]]:
    """Names, and which of them are folders. Nothing where a payload has closed it to us: it is the payload's own."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError:
        return ()


def _text(path: Path) -> str:
    try:
        with open_plain(path, owner_of(path.parent)) as file:
            return file.read(MAX_SECRET).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
