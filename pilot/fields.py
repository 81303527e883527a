"""Reading a mapping that somebody wrote: each key is taken once, checked, and what is left over is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from pilot import units
from pilot.errors import InvalidInput

_ADDRESS = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")

_VERSION = re.compile(r"(?P<least>>=\s*)?(?P<major>\d{1,4})\.(?P<minor>\d{1,4})", re.ASCII)


class Fields:
    """One mapping at one path. Problems are collected, so that a person sees all of them at once."""

    def __init__(self, values: Any, where: str, problems: list[InvalidInput]) -> None:
        self.where = where
        self.problems = problems
        self.known: list[str] = []
        self.left: dict[str, Any] = {}
        if isinstance(values, Mapping):
            self.left = {str(key): value for key, value in values.items()}
        elif values is not None:
            self.problem("", f"expected a mapping, got {shown(values)}")

    def path(self, key: str) -> str:
        """The path of a key, as problems name it."""
        return f"{self.where}.{key}" if self.where and key else self.where or key

    def problem(self, key: str, text: str) -> None:
        self.problems.append(InvalidInput(self.path(key), text))

    def take(self, key: str, default: Any) -> Any:
        """The raw value of a key, or the default where it is absent or null."""
        self.known.append(key)
        value = self.left.pop(key, None)
        return default if value is None else value

    def given(self, key: str) -> bool:
        """Whether a key is there and not null; where it is not, there is nothing to take."""
        if self.left.get(key) is not None:
            return True
        self.take(key, None)
        return False

    def text(self, key: str, default: Optional[str], *, most: int = 1024, choices: Sequence[str] = ()) -> Optional[str]:
        value = self.take(key, None)
        if value is None:
            return default
        if is_number(value):
            value = str(value)
        if not isinstance(value, str) or not value or "\0" in value or len(value) > most:
            self.problem(key, f"expected a text of 1 to {most} characters, got {shown(value)}")
            return default
        if choices and value not in choices:
            self.problem(key, f"expected one of {', '.join(choices)}, got {shown(value)}")
            return default
        return value

    def whole(self, key: str, default: int, *, least: int, most: int) -> int:
        return self.check_whole(key, self.take(key, default), least, most)

    def check_whole(self, key: str, value: Any, least: int, most: int, otherwise: str = "") -> int:
        """A whole number within bounds, else a problem and the lower bound."""
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.problem(
                key, f"expected a whole number from {least} to {most} {otherwise}".rstrip() + f", got {shown(value)}"
            )
            return least
        return int(value)

    def size(self, key: str) -> units.Size:
        """A size in bytes, zero where absent."""
        value = self.take(key, 0)
        try:
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                raise InvalidInput("", f"expected a size like 2 GB, got {shown(value)}")
            return units.size(value, "")
        except InvalidInput as problem:
            self.problem(key, problem.problem)
            return units.Size()

    def bytes(self, key: str, default: int, *, least: int = 0) -> int:
        """A size in bytes that is the same whatever the cores."""
        if self.left.get(key) is None:
            return int(self.take(key, default))
        size = self.size(key)
        if size.per_core:
            self.problem(key, "expected a size that is the same whatever the cores, got one per core")
            return default
        if size.fixed < least:
            self.problem(key, f"expected at least {least} bytes, got {size.fixed}")
            return default
        return size.fixed

    def version(self, key: str, *, at_least: bool = False) -> Optional[tuple[int, int]]:
        """A version of two numbers, behind ``>=`` where that is what the key asks for; None where absent."""
        value = self.take(key, None)
        if value is None:
            return None
        example = ">=2.28" if at_least else "2.28"
        if isinstance(value, float) and len(str(value).partition(".")[2]) == 1:
            self.problem(key, f'expected a version in quotes like "{example}": {value} may stand for {value}0')
            return None
        found = _VERSION.fullmatch(str(value))
        if not found or (found["least"] and not at_least):
            self.problem(key, f"expected a version like {example}, got {shown(value)}")
            return None
        return int(found["major"]), int(found["minor"])

    def duration(self, key: str, default: int, *, least: int = 0) -> int:
        """A duration in seconds."""
        value = self.take(key, None)
        if value is None:
            return default
        try:
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                raise InvalidInput("", f"expected a duration like 4h, got {shown(value)}")
            seconds = units.duration(value, "")
            if seconds < least:
                raise InvalidInput("", f"expected at least {least} s, got {shown(value)}")
            return seconds
        except InvalidInput as problem:
            self.problem(key, problem.problem)
            return default

    def section(self, key: str) -> Fields:
        """A mapping inside this one, empty where absent."""
        return Fields(self.take(key, {}), self.path(key), self.problems)

    def listed(self, key: str, *, most: int) -> Sequence[Any]:
        """A list; a single text counts as a list of one."""
        value = self.take(key, ())
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, (list, tuple)):
            self.problem(key, f"expected a list, got {shown(value)}")
            return ()
        if len(value) > most:
            self.problem(key, f"expected at most {most} entries, got {len(value)}")
            return ()
        return value

    def finish(self) -> None:
        """Whatever nobody took is a mistake, most likely of spelling."""
        for key in self.left:
            self.problem(key, f"unknown key; expected one of {', '.join(sorted(self.known))}")


def strings(
    fields: Fields,
    key: str,
    *,
    most: int,
    each: Optional[Callable[[str, str], str]] = None,
    empty_is_wrong: bool = False,
) -> tuple[str, ...]:
    """A list of texts. `each` checks and rewrites one, raising `InvalidInput`."""
    if not fields.given(key):
        return ()
    result: list[str] = []
    values = fields.listed(key, most=most)
    if empty_is_wrong and not values:
        fields.problem(key, "expected at least one entry: an empty list does not mean all; leave it out")
    for index, value in enumerate(values):
        spot = f"{key}[{index}]"
        text = str(value) if is_number(value) else value
        if not isinstance(text, str) or "\0" in text:
            fields.problem(spot, f"expected a text, got {shown(value)}")
            continue
        try:
            result.append(each(text, fields.path(spot)) if each else text)
        except InvalidInput as problem:
            fields.problems.append(problem)
    return tuple(result)


def relative_path(value: str, where: str) -> str:
    """A path inside the job's directory, in its shortest spelling. Raises `InvalidInput`."""
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if value.startswith("/") or ".." in parts or not parts or "\0" in value or len(value) > 1024:
        raise InvalidInput(where, f"expected a path inside the job's directory, got {value!r}")
    return "/".join(parts) + ("/" if value.endswith("/") else "")


def host_and_port(value: str, where: str) -> str:
    """An address to connect to. Raises `InvalidInput`."""
    if not _ADDRESS.fullmatch(value) or int(value.rpartition(":")[2]) > 65535:
        raise InvalidInput(where, f"expected HOST:PORT, got {value!r}")
    return value


def shown(value: Any) -> str:
    """A value as problems name it: in a line, whatever it is."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write out numbers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else text[:77] + "..."


def is_number(value: Any) -> bool:
    """Whether it is a number that can be written out."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
