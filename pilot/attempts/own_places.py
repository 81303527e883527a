"""What of the node belongs to the pilot's account. Where containers keep payloads from each other no job may name it as
its image: the payload would see what others of the account have there."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Where every account has something: what runs, what is written in passing.
EVERYBODYS = ("/proc", "/dev/shm", "/run", "/tmp", "/var/tmp")  # noqa: S108 - named to be refused


def own_places(work: Path, host: Mapping[str, str], caches: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The folders where this account's files are, as far as is known. `host`: the pilot's own environment; `caches`:
    where it keeps images and inputs of all whom it serves."""
    found = [str(work), host.get("HOME", ""), *map(str, caches), *EVERYBODYS]
    try:
        found.append(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # an account without a name has no other home
        pass
    whole = {os.path.realpath(place) for place in found if place.startswith("/")}
    return tuple(Path(place) for place in sorted(whole - {"/"}))


def belongs(image: Path, places: Sequence[Path], user: int) -> bool:
    """Whether this folder or file, links followed already, would show something of the account: it is in one of its
    places, or holds one, or is a folder of its own. Of root's own folders not all are: nearly everything is root's."""
    if any(place in (image, *image.parents) or image in place.parents for place in places):
        return True
    about = image.stat()
    return user != 0 and stat.S_ISDIR(about.st_mode) and about.st_uid == user
