"""What all commands share: their common options, the client, job ids and stamps as people type them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from pilot import units
from pilot.errors import InvalidInput, PilotageError
from pilotage.client import Client
from pilotage.screen import Screen
from pilotage.transport import Trouble

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
#: Seconds for which a command tries again while the central is away: a question, a transfer, and one who watches.
ASKING, SENDING, WATCHING = 5.0, 30.0, 600.0
#: Seconds of trouble after which it is told, and until it is told again.
FIRST_NOTICE, BETWEEN_NOTICES = 3.0, 60.0
MAX_IDS = 100_000
_IDS = re.compile(r"(\d{1,15})(?:-(\d{1,15}))?")
_STAMP = re.compile(r"[0-9a-f]{4,32}")


@dataclass(frozen=True)
class Shell:
    """What a command works with. `connect` makes a client for a folder (None: as configured)."""

    connect: Callable[[Path | None, float, Trouble], Client]
    screen: Screen
    folder: Path | None = None

    @contextmanager
    def client(self, patience: float = ASKING) -> Iterator[Client]:
        """A client for as long as the block lasts."""
        with self.connect(self.folder, patience, _Notice(self.screen)) as client:
            yield client


class _Notice:
    """Says that the central is away, soon and then now and again."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._next = FIRST_NOTICE

    def __call__(self, error: PilotageError, seconds: float) -> None:
        if seconds < FIRST_NOTICE:
            self._next = FIRST_NOTICE
        elif seconds >= self._next:
            self._next = seconds + BETWEEN_NOTICES
            self._screen.note(f"still trying after {seconds:.0f} s: {error}")


def common(command: F) -> F:
    """Add the options that every command has, and hand it a `Shell`."""

    @functools.wraps(command)
    def wrapped(as_json: bool, folder: Path | None, **arguments: Any) -> Any:
        base: Shell = click.get_current_context().obj
        folder = folder.expanduser().absolute() if folder else base.folder
        return command(Shell(base.connect, Screen(as_json, base.screen.out, base.screen.err), folder), **arguments)

    with_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document for programs.")
    with_folder = click.option(
        "--folder",
        type=click.Path(path_type=Path, file_okay=False),
        help="The folder with client.toml.  [default: $PILOTAGE_FOLDER, else ~/.pilotage]",
    )
    return cast(F, with_json(with_folder(wrapped)))


class States(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click
    """States as they are typed: ``failed`` or ``failed,killed``. For `type=` of an option that may be repeated."""

    def __init__(self, kind: type[Enum]) -> None:
        self.name = "state"
        self._known = {str(state.value): state for state in kind}

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(self._known)}],…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Enum, ...]:
        words = [word.strip() for word in str(value).split(",") if word.strip()]
        for word in words:
            if word not in self._known:
                self.fail(f"expected some of {', '.join(self._known)}, with commas, got {word!r}", param, ctx)
        if not words:
            self.fail(f"expected some of {', '.join(self._known)}, with commas", param, ctx)
        return tuple(self._known[word] for word in words)


def read(option: str, convert: Callable[[str], T], text: str) -> T:
    """What an option says. Raises the error of a wrong command line."""
    try:
        return convert(text)
    except InvalidInput as problem:
        raise click.BadParameter(problem.problem, param_hint=option) from problem


def duration(option: str, text: str) -> int:
    """The seconds that an option says, as `read`."""
    return read(option, lambda typed: units.duration(typed, ""), text)


def id_range(text: str) -> range:
    """Job ids as they are typed: ``7`` or ``9-12``. For `type=` of an argument."""
    found = _IDS.fullmatch(text)
    if not found:
        raise click.BadParameter(f"expected a job id like 7 or a range like 9-12, got {text!r}")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= last or last - first >= MAX_IDS:
        raise click.BadParameter(f"expected 1 to {MAX_IDS:,} ids from 1 on, in order, got {text!r}")
    return range(first, last + 1)


def flat(ranges: Sequence[range]) -> tuple[int, ...]:
    """The ids of all words, each once."""
    return tuple(dict.fromkeys(job for each in ranges for job in each))


def whole_stamp(client: Client, text: str) -> str:
    """The stamp that begins so. Raises `PilotageError` unless exactly one of the pilots does."""
    if not _STAMP.fullmatch(text):
        raise PilotageError(f"Expected a pilot's stamp, or at least 4 of its first hex digits, got {text!r}.")
    if len(text) == 32:
        return text
    found = [pilot.stamp for pilot in client.pilots() if pilot.stamp.startswith(text)]
    if len(found) != 1:
        what = "No pilot has" if not found else f"{len(found)} pilots have"
        raise PilotageError(f"{what} a stamp that begins with {text}: `pilotage pilots --all` lists them.")
    return found[0]
