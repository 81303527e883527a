"""Values that several sections of the settings have: names, shares, amounts, lists of tables.

Each reads one key, and tells a mistake with its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from central.configuration.settings_proxy import NO_PASSWORD
from pilot import units
from pilot.credential import endpoint_problem
from pilot.errors import InvalidInput
from pilot.fields import Fields
from pilot.protocol import UNLIMITED, Amount

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Variables that a queue sets.
MAX_ENVIRONMENT = 100
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY", re.IGNORECASE)
#: Names of variables that say where a secret is.
_WHERE = re.compile(r"(FILE|DIR|DIRECTORY|PATH)$", re.IGNORECASE)
T = TypeVar("T")


def name(fields: Fields, key: str = "name") -> str:
    value = fields.take(key, "")
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        fields.problem(key, f"expected a name of letters, digits, dots, dashes and underscores, got {value!r}")
        return ""
    return value


def share(fields: Fields) -> float:
    value = fields.take("share", 1.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e6:
        fields.problem("share", f"expected a number above 0, got {value!r}")
        return 1.0
    return float(value)


def seconds(fields: Fields, key: str, default: float) -> float:
    """A duration that may be a fraction of a second."""
    value = fields.take(key, default)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0.05 <= value <= units.MAX_SECONDS:
            return float(value)
        fields.problem(key, f"expected 0.05 s or more, got {value!r}")
        return default
    fields.left[key] = value
    return float(fields.duration(key, int(default), least=1))


def amount(fields: Fields, key: str, default: Amount, convert: Callable[[Any, str], int]) -> Amount:
    """A number with a unit, or unlimited."""
    value = fields.take(key, default)
    if value is None:
        return None
    if value == UNLIMITED:
        return UNLIMITED
    try:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise InvalidInput("", f"expected an amount or {UNLIMITED}, got {value!r}")
        return convert(value, "")
    except InvalidInput as problem:
        fields.problem(key, problem.problem)
        return default


def rate(fields: Fields, key: str, default: Amount) -> Amount:
    """A whole number a second, or unlimited."""
    return number(fields, key, default, 1_000_000)


def number(fields: Fields, key: str, default: Amount, most: int) -> Amount:
    """A whole number from 1 on, or unlimited."""
    if fields.left.get(key) != UNLIMITED:
        return fields.whole(key, default if isinstance(default, int) else 1, least=1, most=most)
    return UNLIMITED if fields.take(key, None) else default


def most(fields: Fields, key: str, bound: int) -> int | None:
    """A whole number that limits something; None where nothing is said."""
    return fields.whole(key, 0, least=0, most=bound) if fields.left.get(key) is not None else fields.take(key, None)


def each(fields: Fields, key: str, convert: Callable[[Fields], T]) -> tuple[T, ...]:
    """An array of tables, each through `convert`."""
    entries = fields.listed(key, most=10_000)
    return tuple(
        convert(Fields(entry, fields.path(f"{key}[{index}]"), fields.problems)) for index, entry in enumerate(entries)
    )


def unique(problems: list[InvalidInput], where: str, values: Sequence[str], key: str = "name") -> None:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value and value in seen:
            problems.append(InvalidInput(f"{where}[{index}].{key}", f"expected something new, got {value!r} again"))
        seen.add(value)


def token_url(url: str, where: str) -> str:
    """A token endpoint, or what such lie below. Raises `InvalidInput`."""
    if problem := endpoint_problem(url):
        raise InvalidInput(where, problem)
    return url


def flag(fields: Fields, key: str, default: bool) -> bool:
    value = fields.take(key, default)
    if not isinstance(value, bool):
        fields.problem(key, f"expected true or false, got {value!r}")
    return value is True


def environment(fields: Fields) -> tuple[tuple[str, str], ...]:
    """What the pilots of a queue find in their environment: nothing secret, for other processes may read it."""
    found: list[tuple[str, str]] = []
    for name in list(fields.left):
        value = fields.take(name, "")
        if not _VARIABLE.fullmatch(name) or name.startswith("PILOTAGE_"):
            fields.problem(name, "expected a name of letters, digits and underscores that is not one of PILOTAGE_…")
        elif _SECRET.search(name) and not (_WHERE.search(name) and str(value).startswith("/")):
            fields.problem(
                name, "expected nothing secret: `pilotage credential set` keeps secrets, for jobs that name them"
            )
        elif name.lower().endswith("_proxy") and "@" in str(value):
            fields.problem(name, NO_PASSWORD)
        elif not isinstance(value, str) or not value.isprintable() or len(value) > 4096:
            fields.problem(name, "expected a text of at most 4096 printable characters")
        else:
            found.append((name, value))
    if len(found) > MAX_ENVIRONMENT:
        fields.problem("", f"expected at most {MAX_ENVIRONMENT} names, got {len(found)}")
    return tuple(found)
