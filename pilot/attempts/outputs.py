"""Finds what a job wants brought home: globs over its directory, files one by one, and nothing from outside of it."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from pilot.attempts.staged import Look, look
from pilot.errors import PilotageError
from pilot.payloads.rights import acting_as
from pilot.payloads.slot_users import SlotUser
from pilot.protocol import OutputRule

#: Files that one attempt may bring home.
MAX_OUTPUTS = 10_000
#: Names of further ones that are kept in mind: nobody counts beyond that.
MAX_BEYOND = 100_000
#: Sentences about files that are left out; more would only be more of the same.
MAX_REFUSED = 10


class TooDeep(PilotageError):
    """Directories that are nested too deeply to be looked through."""


@dataclass(frozen=True)
class Output:
    """A file to be brought home."""

    name: str  # relative to the job's directory, as it was found
    path: Path  # the file itself, links followed
    to: tuple[str, ...] = ()


@dataclass
class Collected:
    """What was found for all rules."""

    outputs: dict[str, Output] = field(default_factory=dict)  # by name: the first rule that finds a file has it
    beyond: dict[str, None] = field(default_factory=dict)  # names of those that are more than an attempt may bring
    missing: list[str] = field(default_factory=list)  # plain names that must be there, and nothing was found for
    refused: list[str] = field(default_factory=list)  # sentences about what is left out
    inputs: Mapping[str, Look] = field(default_factory=dict)  # how they looked before the payload ran


def is_glob(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")


def collect(
    rules: Sequence[OutputRule],
    directory: Path,
    owner: Optional[SlotUser] = None,
    inputs: Optional[Mapping[str, Look]] = None,
) -> Collected:
    """Find the outputs of a payload that has ended, and that ran as `owner`. `inputs` that still look so are outputs
    only where a plain name says it. Raises `TooDeep`."""
    collected = Collected(inputs=inputs or {})
    try:
        with acting_as(owner):
            root = Path(os.path.realpath(directory))
            for rule in rules:
                _apply(rule, root, collected)
    except RecursionError:
        raise TooDeep("the directories among the outputs are nested too deeply: pack them") from None
    return collected


def _apply(rule: OutputRule, root: Path, collected: Collected) -> None:
    found = False
    for name in _matches(root, "", [part for part in rule.pattern.split("/") if part], set()):
        found = True
        _take(collected, root, name, rule)
    if not found and not is_glob(rule.pattern) and not rule.optional:
        collected.missing.append(rule.pattern)


def _matches(root: Path, name: str, parts: Sequence[str], been: set[tuple[str, int]]) -> Iterator[str]:
    """Names below `name` that fit the parts of a pattern. ``**`` stands for any number of directories.

    `been`: at which of them each directory was looked through; with several, ways to the same one would be countless.
    """
    if not parts:
        yield name
        return
    head, rest = parts[0], parts[1:]
    if head == "**":
        if (name, len(parts)) in been:
            return
        been.add((name, len(parts)))
        yield from _matches(root, name, rest or ["*"], been)
        for directory in _directories(root, name):
            yield from _matches(root, directory, parts, been)
    elif not is_glob(head):
        if os.path.lexists(root / name / head):
            yield from _matches(root, _join(name, head), rest, been)
    else:
        for entry in _entries(root, name):
            if _fits(entry.name, head) and (not rest or entry.is_dir(follow_symlinks=False)):
                yield from _matches(root, _join(name, entry.name), rest, been)


def _fits(name: str, pattern: str) -> bool:
    """As a shell does it: a name that begins with a dot is only found by a pattern that does."""
    return fnmatch.fnmatchcase(name, pattern) and (pattern.startswith(".") or not name.startswith("."))


def _take(collected: Collected, root: Path, name: str, rule: OutputRule) -> None:
    """Add what a name stands for: a file, or the files of a directory."""
    path = Path(os.path.realpath(root / name))
    if path != root and root not in path.parents:
        _refuse(collected, f"{name} leads out of the job's directory")
        return
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        _refuse(collected, f"{name} is a link that leads nowhere")
        return
    if stat.S_ISDIR(mode):
        inside = os.path.relpath(path, root)
        for file in _files(root, "" if inside == "." else inside):
            shown = _join(name, os.path.relpath(file, inside)) if inside != "." else file
            _take_file(collected, root, shown, file, rule)
    else:
        _take_file(collected, root, name, name, rule)


def _take_file(collected: Collected, root: Path, name: str, place: str, rule: OutputRule) -> None:
    path = Path(os.path.realpath(root / place))
    try:
        name.encode()
    except UnicodeEncodeError:
        _refuse(collected, f"the name {os.fsencode(name)!r} is not UTF-8")
        return
    if root not in path.parents:
        _refuse(collected, f"{name} leads out of the job's directory")
    elif not path.is_file():
        if not path.is_dir():  # a link to a directory inside: its files are found where they are
            _refuse(collected, f"{name} is no plain file")
    elif name not in collected.outputs and not (is_glob(rule.pattern) and _unchanged(path, place, collected.inputs)):
        if len(collected.outputs) < MAX_OUTPUTS:
            collected.outputs[name] = Output(name, path, rule.to)
        elif len(collected.beyond) < MAX_BEYOND:
            collected.beyond[name] = None


def _unchanged(path: Path, place: str, inputs: Mapping[str, Look]) -> bool:
    return place in inputs and look(path) == inputs[place]


def _files(root: Path, name: str) -> Iterator[str]:
    """Everything below a directory that is no directory. Links to directories are not entered."""
    for entry in _entries(root, name):
        inside = _join(name, entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield from _files(root, inside)
        else:
            yield inside


def _directories(root: Path, name: str) -> Iterator[str]:
    for entry in _entries(root, name):
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield _join(name, entry.name)


def _entries(root: Path, name: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root / name) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []  # no directory, or none that may be read: nothing is found in it


def _join(name: str, part: str) -> str:
    return f"{name}/{part}" if name else part


def _refuse(collected: Collected, sentence: str) -> None:
    if len(collected.refused) < MAX_REFUSED:
        collected.refused.append(f"not brought home: {sentence}")
