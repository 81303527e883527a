"""Older versions of the protocol: what a message of theirs means in ours, and what our answer is in theirs.

Pilots that wait in a batch queue outlive an upgrade of the central, so the version before is spoken as well. A version
changes here and nowhere else: for each message that changed, one function each way between plain JSON values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pilot.errors import Refusal
from pilot.protocol import VERSION

Plain = dict[str, Any]


@dataclass(frozen=True)
class Older:
    """One older version. A message that is not listed has not changed."""

    requests: Mapping[type, Callable[[Plain], Plain]] = field(default_factory=dict)  # theirs to ours
    replies: Mapping[type, Callable[[Plain], Plain]] = field(default_factory=dict)  # ours to theirs


#: By number. Version 1 is the first, so there is nothing older yet.
OLDER: dict[int, Older] = {}


def spoken() -> str:
    """The versions that are understood here, for people and for the refusal."""
    return ", ".join(str(version) for version in (*sorted(OLDER), VERSION))


def older(version: int) -> Older | None:
    """How to translate; None for the present version. Raises the refusal ``version``."""
    if version == VERSION:
        return None
    if version not in OLDER:
        raise Refusal("version", f"protocol version {version} is not spoken here", expected=spoken(), got=str(version))
    return OLDER[version]


def upgrade(version: int, kind: type, plain: Plain) -> Plain:
    """A message of an older version as one of ours."""
    translation = older(version)
    change = translation.requests.get(kind) if translation else None
    return {**(change(plain) if change else plain), "version": VERSION}


def downgrade(version: int, kind: type, plain: Plain) -> Plain:
    """Our answer as one of an older version."""
    translation = older(version)
    change = translation.replies.get(kind) if translation else None
    return {**(change(plain) if change else plain), "version": version}
