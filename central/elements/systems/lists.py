"""What the lists of batch systems have in common: stamps in names, one entry for each, numbers that may be missing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from xml.etree import ElementTree

from central.elements import places
from central.elements.host import Ran, crowded
from central.elements.port import ComputingError, Listed, Standing, Trouble

#: Before the stamp in a job's name, which in some systems must not begin with a digit.
PREFIX = "p"
#: Characters of what a system says of a job.
_WORDS = 1000
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:\[\]-]{0,199}")


def name(stamp: str) -> str:
    """What a pilot is called in a list."""
    return PREFIX + stamp


def stamp(text: object) -> str | None:
    """The stamp in a job's name; None for a job that is no pilot of ours."""
    found = text.removeprefix(PREFIX) if isinstance(text, str) else ""
    return found if places.STAMP.fullmatch(found) else None


def one_each(entries: Iterable[Listed | None]) -> Sequence[Listed]:
    """One entry for each stamp: of several jobs, as after a repeated submission, one that is not over.

    None is for a job that is none of ours. What could be no name of a job is none: it would be an option to the program
    that is to end it.
    """
    found: dict[str, Listed] = {}
    for entry in filter(None, entries):
        before = found.get(entry.stamp)
        if before is None or before.standing is Standing.ENDED:
            found[entry.stamp] = entry if _REFERENCE.fullmatch(entry.reference) else replace(entry, reference="")
    return list(found.values())


def ours(entries: Iterable[tuple[Listed, object]]) -> Iterator[Listed]:
    """Of a list of all users' jobs, each with its owner, those that are pilots of ours.

    What another user's job claims to be, it has read of ours in such a list: its number is the greater one.
    """
    found = list(entries)
    first: dict[str, object] = {}
    for entry, owner in sorted(found, key=lambda pair: _number(pair[0].reference)):
        first.setdefault(entry.stamp, owner)
    return (entry for entry, owner in found if owner == first[entry.stamp])


def _number(reference: str) -> float:
    """The number with which it begins; without one it comes last."""
    found = re.match(r"[0-9]{1,18}", reference)
    return int(found[0]) if found else math.inf


def answer(ran: Ran, program: str) -> bytes:
    """What a program printed that must have succeeded. Raises `ComputingError`."""
    if ran.code:
        raise ComputingError(f"{program} failed with code {ran.code}: {ran.said}", Trouble.UNREACHABLE)
    return ran.output


def parsed(output: bytes, program: str) -> object:
    """The JSON that a program printed. Raises `ComputingError`."""
    if crowded(output):
        raise nonsense(output, program)
    try:
        return json.loads(output.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError) as error:
        raise nonsense(output, program) from error


def document(output: bytes, program: str) -> dict[str, object]:
    """A JSON object that a program printed. Raises `ComputingError`."""
    found = parsed(output, program)
    if not isinstance(found, dict):
        raise nonsense(output, program)
    return found


def tree(output: bytes, program: str, root: str) -> ElementTree.Element:
    """An XML document that a program printed, whose outermost element is `root`. Raises `ComputingError`."""
    text = output.decode("utf-8", "replace")
    if crowded(output) or "<!" in text:  # declarations make a huge text of a short one: no batch system has any
        raise nonsense(output, program)
    try:
        found = ElementTree.fromstring(text)  # noqa: S314 - see above
    except ElementTree.ParseError as error:
        raise nonsense(output, program) from error
    if found.tag != root:
        raise nonsense(output, program)
    return found


def nonsense(output: bytes, program: str) -> ComputingError:
    """For an answer that cannot be understood."""
    return ComputingError(f"{program} gave no list of jobs: {output[:200]!r}", Trouble.UNREACHABLE)


def why(state: str, words: str) -> str:
    """A job's state, with what the system has to say of it."""
    return (f"{state} ({words})" if words else state)[:_WORDS]


def whole(value: object) -> int | None:
    """A number, however it was written; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value).strip()
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 19 else None


def exit_code(status: int) -> int:
    """The exit code, or 128 + N for signal N, of a status as the system call `wait` gives it."""
    return 128 + (status & 0x7F) if status & 0x7F else (status >> 8) & 0xFF
