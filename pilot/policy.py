"""The site's word: in this file whoever runs a computer says what pilots may do there. docs/site-admin.md shows one.

`/etc/pilotage/policy.yaml` always counts where it exists; a pilot's configuration may name another, for sites that keep
theirs on a shared file system, and then both hold. A key that is not there restricts nothing, an empty list lets nobody
in. A file that cannot be read or understood lets no job in: the pilot ends as unfit and says why.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Optional

from pilot.errors import InvalidInput
from pilot.fields import Fields, strings
from pilot.protocol import UNLIMITED, Amount, Lease

#: Where every pilot looks.
SITES_FILE = Path("/etc/pilotage/policy.yaml")
#: Touched by a person who wants the computer to be emptied.
DRAIN_FILE = Path("/etc/pilotage/drain")
#: Bytes of a policy; one that people write has a few hundred.
MAX_SIZE = 256 * 1024
MAX_ENTRIES = 10_000
#: Who owns what belongs to root, as seen from within a user namespace.
_UNMAPPED = 65534
_PERCENT = re.compile(r"(\d{1,3})\s*%")


@dataclass(frozen=True)
class Share:
    """The most that a pilot may use of something: an amount, or a part of what there is."""

    amount: int = 0
    percent: int = 0

    def of(self, total: Amount) -> Amount:
        """What is left of so much. Of the unknown nothing is known, and of what has no end a part has none either."""
        if total is None:
            return None
        if self.percent:
            return total if total == UNLIMITED else total * self.percent // 100
        return self.amount if total == UNLIMITED else min(total, self.amount)

    def __str__(self) -> str:
        return f"{self.percent} %" if self.percent else f"{self.amount:,}"


@dataclass(frozen=True)
class Policy:
    """What one file says. None: it says nothing about that."""

    source: str
    communities: Optional[tuple[str, ...]] = None
    owners: Optional[tuple[str, ...]] = None  # people whose jobs may run
    images: Optional[tuple[str, ...]] = None  # patterns of container images
    paths: Optional[tuple[str, ...]] = None  # folders that may be bound into containers, with all below them
    cores: Optional[Share] = None
    memory: Optional[Share] = None  # bytes
    drain: Optional[Path] = None  # the file to touch, beside DRAIN_FILE

    def refuses(self, lease: Lease) -> str:
        """Why a job may not run here, as a sentence; empty when it may."""
        if self.communities is not None and lease.community not in self.communities:
            return f"the site's policy lets no job of the community {lease.community!r} in ({self.source})"
        if self.owners is not None and lease.owner not in self.owners:
            return f"the site's policy lets no job of {lease.owner!r} in ({self.source})"
        return ""

    def allows_image(self, image: str) -> bool:
        """Whether a container may be made of this image; patterns are those of the shell, over the whole name."""
        return self.images is None or any(fnmatchcase(image, pattern) for pattern in self.images)

    def allows_path(self, path: str) -> bool:
        """Whether this path of the node may be seen from within a container."""
        if self.paths is None:
            return True
        whole = PurePosixPath(os.path.realpath(path))
        return any(folder == whole or folder in whole.parents for folder in map(PurePosixPath, self.paths))


@dataclass(frozen=True)
class SitesWord:
    """All the policies that hold here. `problem`: one of them could not be read, and nothing may run."""

    policies: tuple[Policy, ...] = ()
    problem: str = ""

    def refuses(self, lease: Lease) -> str:
        """Why a job may not run here, as a sentence; empty when it may."""
        return self.problem or next(filter(None, (policy.refuses(lease) for policy in self.policies)), "")

    def allows_image(self, image: str) -> bool:
        """Whether every policy lets a container be made of it."""
        return not self.problem and all(policy.allows_image(image) for policy in self.policies)

    def allows_path(self, path: str) -> bool:
        """Whether every policy lets it be bound into a container."""
        return not self.problem and all(policy.allows_path(path) for policy in self.policies)

    def served(self, communities: Sequence[str]) -> tuple[str, ...]:
        """Of the communities that a pilot is for, those that may run here. Raises `InvalidInput` when there is none."""
        left = tuple(communities)
        for policy in self.policies:
            if policy.communities is not None:
                left = tuple(name for name in left or policy.communities if name in policy.communities)
                if not left:
                    wanted = ", ".join(communities) or "anybody"
                    allowed = ", ".join(policy.communities) or "nobody"
                    problem = f"the site's policy lets {allowed} in, and this pilot is for {wanted}"
                    raise InvalidInput(policy.source, problem)
        return left

    @property
    def owners(self) -> Optional[tuple[str, ...]]:
        """The people whose jobs may run; None: anybody's."""
        named = [set(policy.owners) for policy in self.policies if policy.owners is not None]
        return tuple(sorted(set.intersection(*named))) if named else None

    @property
    def drain_files(self) -> tuple[Path, ...]:
        """The files that are touched to have this computer emptied."""
        return tuple(dict.fromkeys((DRAIN_FILE, *(policy.drain for policy in self.policies if policy.drain))))

    def alone(self) -> SitesWord:
        """What of it holds for a person who runs a job by hand, without any central: who may, the login has decided."""
        return replace(self, policies=tuple(replace(one, communities=None, owners=None) for one in self.policies))


def heed(named: Optional[Path], sites: Path = SITES_FILE) -> SitesWord:
    """Read the site's policy, and the one that the pilot's configuration names. What is wrong is in `problem`."""
    policies: list[Policy] = []
    try:
        if os.path.lexists(sites):
            policies.append(read(sites))
        if named is not None and named != sites:
            policies.append(read(named))
    except InvalidInput as problem:
        return SitesWord(tuple(policies), f"the site's policy cannot be followed, so nothing runs here: {problem}")
    return SitesWord(tuple(policies))


def read(path: Path) -> Policy:
    """One file. Raises `InvalidInput` with every problem; also when others than its owner could have written it."""
    import yaml

    try:
        values = yaml.safe_load(_content(path))
    except OSError as error:
        raise InvalidInput(str(path), f"it cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(str(path), f"it is not YAML: {' '.join(str(error).split())}") from error
    return parse(values, str(path))


def parse(values: Any, source: str) -> Policy:
    """The document of one file. Raises `InvalidInput` with every problem."""
    problems: list[InvalidInput] = []
    fields = Fields(values, "", problems)
    drain = fields.text("drain", None, most=4096)
    policy = Policy(
        source,
        communities=_listed(fields, "communities"),
        owners=_listed(fields, "owners"),
        images=_listed(fields, "images"),
        paths=_folders(fields, "paths"),
        cores=_share(fields, "cores", sizes=False),
        memory=_share(fields, "memory", sizes=True),
        drain=None if drain is None else Path(_absolute(drain, "drain", problems)),
    )
    fields.finish()
    if problems:
        raise InvalidInput(source, "; ".join(str(problem) for problem in problems))
    return policy


def _content(path: Path) -> bytes:
    """The bytes of a file that nobody but root or this user could have written. Raises `OSError`, `InvalidInput`."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not hold us up
    with open(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise InvalidInput(str(path), "expected a file")
        if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or about.st_uid not in (0, os.geteuid(), _UNMAPPED):
            owner = f"user {about.st_uid}, mode {stat.S_IMODE(about.st_mode):03o}"
            raise InvalidInput(str(path), f"expected a file of root that nobody else can write, got one of {owner}")
        text = file.read(MAX_SIZE + 1)
    if len(text) > MAX_SIZE:
        raise InvalidInput(str(path), f"expected at most {MAX_SIZE} bytes")
    return text


def _listed(fields: Fields, key: str) -> Optional[tuple[str, ...]]:
    """A list that may be empty, None where the key is not there."""
    there = key in fields.left
    found = strings(fields, key, most=MAX_ENTRIES)
    return found if there else None


def _folders(fields: Fields, key: str) -> Optional[tuple[str, ...]]:
    found = _listed(fields, key)
    if found is None:
        return None
    return tuple(_absolute(folder, fields.path(key), fields.problems) for folder in found)


def _absolute(path: str, where: str, problems: list[InvalidInput]) -> str:
    if not path.startswith("/") or ".." in path.split("/"):
        problems.append(InvalidInput(where, f"expected an absolute path without .., got {path!r}"))
    return path


def _share(fields: Fields, key: str, *, sizes: bool) -> Optional[Share]:
    """An amount, or a part as ``50 %``."""
    value = fields.left.get(key)
    if value is None:
        fields.take(key, None)
        return None
    part = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if part:
        fields.take(key, None)
        if not 1 <= int(part[1]) <= 100:
            fields.problem(key, f"expected a part from 1 % to 100 %, got {value}")
        return Share(percent=int(part[1]))
    if sizes:
        return Share(amount=fields.bytes(key, 0, least=1))
    return Share(amount=fields.whole(key, 1, least=1, most=65_536))
