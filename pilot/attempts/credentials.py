"""The credentials of an attempt on its node: files for the payload's eyes alone, gone with the attempt.

A text and a bearer token are a file under the credential's name; a user with a password is a folder with two. Of s3
there is none: the central signs what is asked of it.
"""

from __future__ import annotations

import os
import stat
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
#: Times that a credential may be set anew before the first of its secrets is no secret of the attempt's any more.
EARLIER = 100
#: A file with these, a line each, and more bytes than it has.
_EARLIER = ".earlier"
MAX_EARLIER = 16 * 1024 * 1024


def lay_out(place: AttemptDirectory, credentials: Sequence[Credential]) -> None:
    """Write them, where there are any. Before the payload runs. Raises `InvalidInput` for a name that is none."""
    if not credentials:
        return
    place.credentials.mkdir(mode=0o700)
    for credential in credentials:
        if not NAME.fullmatch(credential.name):
            raise InvalidInput("credentials", f"expected a plain name, got {credential.name[:100]!r}")
        _write(place, place.credentials / credential.name, credential)
    place.give(place.credentials)  # last: until now nobody could put a link there


def _write(place: AttemptDirectory, file: Path, credential: Credential) -> bool:
    """Write one where there is nothing yet, and nobody can put anything. Whether there is something to write."""
    if credential.kind == "basic":
        file.mkdir(mode=0o700)
        for part in _PARTS:
            write_private(file / part, credential.values.get(part, ""), place.owner)
        place.give(file)
        return True
    if credential.kind not in _ALONE or _ALONE[credential.kind] not in credential.values:
        return False
    write_private(file, credential.values[_ALONE[credential.kind]], place.owner)
    return True


def replace_file(place: AttemptDirectory, credential: Credential) -> None:
    """Put one in the place of what has its name, while the payload runs, whose folder it is by now. Raises `OSError`.

    It is made aside, where the payload cannot write, and moved: no link that the payload has put there is followed.
    """
    aside, gone = place.root / ".newer", place.root / ".older"
    for left in (aside, gone):
        _clear(left)
    folder = _open_folder(place.credentials)
    try:
        if _write(place, aside, credential):
            _move_in(place, aside, gone, credential, folder)
        elif _kind_of(credential.name, folder):  # of another kind before, with files
            os.rename(credential.name, gone, src_dir_fd=folder)
    finally:
        os.close(folder)
        for left in (aside, gone):
            _clear(left)


def _move_in(place: AttemptDirectory, aside: Path, gone: Path, credential: Credential, folder: int) -> None:
    there = _kind_of(credential.name, folder)
    if there == "folder" and credential.kind == "basic":
        # Each file for itself: the folder is always there.
        inner = _open_folder(Path(credential.name), folder)
        try:
            if os.fstat(inner).st_uid == place.credentials.lstat().st_uid:
                for part in _PARTS:
                    os.rename(aside / part, part, dst_dir_fd=inner)
                return
        finally:
            os.close(inner)
    if there == "folder" or (there and credential.kind == "basic"):
        os.rename(credential.name, gone, src_dir_fd=folder)
    os.rename(aside, credential.name, dst_dir_fd=folder)


def _open_folder(path: Path, inside: Optional[int] = None) -> int:
    """A folder, and no link to one."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=inside)


def _kind_of(name: str, folder: int) -> str:
    """What has that name: a folder, something else, or (empty) nothing."""
    try:
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return ""
    return "folder" if stat.S_ISDIR(about.st_mode) else "file"


def _clear(path: Path) -> None:
    """Remove a file, a folder or a link, where there is one."""
    if path.is_dir() and not path.is_symlink():
        remove(path)
    else:
        path.unlink(missing_ok=True)


def write_earlier(place: AttemptDirectory, secrets: Sequence[str]) -> None:
    """Keep what was secret in credentials that are replaced: logs that are not pushed yet may show it."""
    write_private(place.root / _EARLIER, "".join(f"{secret}\n" for secret in secrets))


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
    found += _text(root / _EARLIER, MAX_EARLIER).splitlines()
    return [secret for secret in found if secret]


def wipe(place: AttemptDirectory) -> None:
    """Nothing of them stays, also where the attempt's directory is kept for somebody to look at."""
    remove(place.credentials)
    for name in (_EARLIER, ".newer", ".older"):
        _clear(place.root / name)


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


def _text(path: Path, most: int = MAX_SECRET) -> str:
    try:
        with open_plain(path, owner_of(path.parent)) as file:
            return file.read(most).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
