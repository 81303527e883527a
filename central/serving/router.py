"""Finds the route of a request: one compiled pattern for each method, whatever the number of routes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

#: What parts of paths look like: ``{stamp:stamp}``. A part without a pattern is anything but a slash.
PATTERNS = {
    "stamp": "[0-9a-f]{32}",
    "sha256": "[0-9a-f]{64}",
    "number": "[1-9][0-9]{0,14}",
    "name": "[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    "verb": "[a-z]{1,20}",
}
PART = re.compile(r"\{(?P<name>\w+)(?::(?P<pattern>\w+))?\}")


class Found(NamedTuple, Generic[T]):
    """Where a request goes, and the parts of its path."""

    target: T
    parts: Mapping[str, str]


@dataclass(frozen=True)
class _Entry(Generic[T]):
    target: T
    names: tuple[str, ...]
    first: int  # number of the group of its first part; the one before is the whole path


class Router(Generic[T]):
    """Paths to targets. Of routes that would both take a path, the earlier one has it."""

    def __init__(self, routes: Sequence[tuple[str, str, T]]) -> None:
        """`routes`: method, path with its parts in braces, target."""
        self._methods = {
            method: _compiled([(path, target) for other, path, target in routes if other == method])
            for method in dict.fromkeys(method for method, _, _ in routes)
        }

    def find(self, method: str, path: str) -> Found[T] | None:
        """The target of a request; a HEAD for which there is no route goes where a GET would."""
        found = self._find(method, path)
        return self._find("GET", path) if found is None and method == "HEAD" else found

    def _find(self, method: str, path: str) -> Found[T] | None:
        compiled = self._methods.get(method)
        if compiled is None:
            return None
        pattern, entries = compiled
        match = pattern.fullmatch(path)
        if match is None or match.lastindex is None:
            return None
        entry = entries[match.lastindex]
        parts = {name: match[entry.first + at] for at, name in enumerate(entry.names)}
        return Found(entry.target, parts)

    def methods(self, path: str) -> tuple[str, ...]:
        """The methods that a path takes; none when there is nothing."""
        return tuple(method for method, (pattern, _) in self._methods.items() if pattern.fullmatch(path))


def _compiled(routes: Sequence[tuple[str, T]]) -> tuple[re.Pattern[str], dict[int, _Entry[T]]]:
    """All paths as alternatives of one pattern, each a group, which `lastindex` names, around groups for its parts."""
    alternatives: list[str] = []
    entries: dict[int, _Entry[T]] = {}
    group = 1
    for path, target in routes:
        names = tuple(part["name"] for part in PART.finditer(path))
        entries[group] = _Entry(target, names, group + 1)
        group += 1 + len(names)
        alternatives.append(f"({_expression(path)})")
    return re.compile("|".join(alternatives)), entries


def _expression(path: str) -> str:
    """A path as a regular expression with a group for each part."""
    pieces: list[str] = []
    at = 0
    for part in PART.finditer(path):
        pieces += (re.escape(path[at : part.start()]), f"({PATTERNS.get(part['pattern'] or '', '[^/]+')})")
        at = part.end()
    return "".join(pieces) + re.escape(path[at:])
