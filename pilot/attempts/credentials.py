"""The credentials of an attempt on its node: files for the payload's eyes alone, gone with the attempt.

A text and a bearer token are a file under the credential's name; a user with a password is a folder with two. Of s3
there is none: the central signs what is asked of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Optional

from pilot.attempts.directory import AttemptDirectory, remove, write_private
from pilot.credential import NAME
from pilot.errors import InvalidInput
from pilot.protocol import Credential


def lay_out(place: AttemptDirectory, credentials: Sequence[Credential]) -> None:
    """Write them, where there are any. Before the payload runs. Raises `InvalidInput` for a name that is none."""
    if not credentials:
        return
    place.credentials.mkdir(mode=0o700)
    for credential in credentials:
        if not NAME.fullmatch(credential.name):
            raise InvalidInput("credentials", f"expected a plain name, got {credential.name[:100]!r}")
        file = place.credentials / credential.name
        content = _content(credential)
        if content is not None:
            write_private(file, content, place.owner)
        elif credential.kind == "basic":
            file.mkdir(mode=0o700)
            for part in ("user", "password"):
                write_private(file / part, credential.values.get(part, ""), place.owner)
            place.give(file)
    place.give(place.credentials)  # last: until now nobody could put a link there


def _content(credential: Credential) -> Optional[str]:
    """What a credential of one file holds."""
    return credential.values.get({"text": "text", "bearer": "token"}.get(credential.kind, ""))


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
