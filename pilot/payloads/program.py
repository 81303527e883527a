"""Looks at a payload's program before it is started, so that what is wrong with it is said in a sentence."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Optional

from pilot.payloads.payload import CannotStart

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
#: Bytes of a first line that the kernel looks at.
_FIRST_LINE = 256


def check_program(name: str, directory: Path, path: str) -> None:
    """Raise `CannotStart` when it cannot be run. `name` is the first word of a command, `path` the payload's PATH."""
    if "/" in name:
        _check_file(name, directory / name)
        return
    if not name:
        raise CannotStart("the command is empty: there is no program to run", _NOT_FOUND)
    tried: Optional[CannotStart] = None
    for place in path.split(":"):
        candidate = directory / place / name
        if os.path.isfile(candidate):  # not Path.is_file, which raises where a folder cannot be looked into
            try:
                _check_file(name, candidate)
                return
            except CannotStart as problem:
                tried = tried or problem
    raise tried or CannotStart(
        f"{name!r} was not found on the PATH ({path}). A file of the job's own is named with its directory: ./{name}",
        _NOT_FOUND,
    )


def _check_file(name: str, file: Path) -> None:
    if not os.path.exists(file):
        hint = "it is not among the files of this job" if not name.startswith("/") else "it does not exist on this node"
        raise CannotStart(f"{name!r} cannot be run: {hint}", _NOT_FOUND)
    if not os.path.isfile(file):
        raise CannotStart(f"{name!r} cannot be run: it is no file", _NOT_EXECUTABLE)
    if not os.access(file, os.X_OK):
        raise CannotStart(f"{name!r} cannot be run: it is not executable (chmod +x, or name its interpreter)", 126)
    interpreter = interpreter_of(_first_line(file))
    if interpreter is not None and not os.path.exists(file.parent / interpreter):
        raise CannotStart(
            f"{name!r} cannot be run: its first line names the interpreter {interpreter!r}, which does not exist here",
            _NOT_FOUND,
        )


def interpreter_of(first_line: bytes) -> Optional[str]:
    """The program that a script's first line names, None for what is no script. Relative ones are kept as they are."""
    if not first_line.startswith(b"#!"):
        return None
    # Blanks and tabs alone end the name: a carriage return is part of it, which is why scripts from Windows fail.
    name = re.split(rb"[ \t]", first_line[2:].strip(b" \t"), maxsplit=1)[0]
    return os.fsdecode(name) if name else None


def _first_line(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_FIRST_LINE).split(b"\n", 1)[0]
    except OSError:
        return b""  # executable and not readable is allowed
