"""What a community's command may change: the environment of payloads and facts about the node, within bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pilot import imagename
from pilot.errors import PilotageError
from pilot.protocol import Fact
from pilot.standard import OURS

#: Bounds: variables, characters of one, and of all together; facts, and characters of one.
MOST_VARIABLES, LONGEST_VARIABLE, ALL_VARIABLES = 4096, 128 * 1024, 1024 * 1024
MOST_FACTS, LONGEST_FACT = 500, 1000
TAG = "tag:"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|BASH_FUNC_[^=\0]{1,200}")
_FACT = re.compile(r"(tag:)?[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


def check_environment(environment: Mapping[Any, Any]) -> None:
    """Raises `PilotageError` for what payloads cannot get."""
    for name, value in environment.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise PilotageError(f"it gave payloads the variable {name!r}, and expected are texts: got {value!r}")
        if not _VARIABLE.fullmatch(name) or name.startswith(OURS) or "\0" in value or len(value) > LONGEST_VARIABLE:
            raise PilotageError(f"it gave payloads the variable {name[:100]!r}, which cannot be one of theirs")
    size = sum(len(name) + len(value) for name, value in environment.items())
    if len(environment) > MOST_VARIABLES or size > ALL_VARIABLES:
        raise PilotageError(
            f"it gave payloads {len(environment)} variables of {size} characters together, at most {MOST_VARIABLES} and"
            f" {ALL_VARIABLES} are expected"
        )


def check_facts(known: Sequence[Fact], new: Sequence[Fact]) -> None:
    """Tags may be told anew, but for those that only the pilot proves: of all else what is known stands.

    Raises `PilotageError`.
    """
    names = {fact.name for fact in known if not fact.name.startswith(TAG)} | {TAG + tag for tag in imagename.PROVED}
    if len(new) > MOST_FACTS:
        raise PilotageError(f"it told {len(new)} facts, at most {MOST_FACTS} are expected")
    for fact in new:
        if fact.name in names:
            raise PilotageError(f"it told the fact {fact.name} anew: what is known of the node stands")
        if fact.value is not None and not isinstance(fact.value, (str, int, float)):
            raise PilotageError(f"it told the fact {fact.name} with {fact.value!r}: expected a text or a number")
        if not _FACT.fullmatch(fact.name) or len(str(fact.value)) > LONGEST_FACT or len(fact.source) > LONGEST_FACT:
            raise PilotageError(f"it told a fact that cannot be one: {fact.name[:100]!r}")
        if fact.name.startswith(TAG) and fact.value not in (True, False, None):
            raise PilotageError(f"expected the tag {fact.name[len(TAG) :]} to hold, not to hold, or to be unknown")
        names.add(fact.name)


def news(before: Sequence[Fact], after: Sequence[Fact]) -> tuple[Fact, ...]:
    """The facts that a command has added or told anew."""
    return tuple(fact for fact in after if fact not in before)


def merged(known: Sequence[Fact], new: Sequence[Fact]) -> tuple[Fact, ...]:
    """What is known after it."""
    names = {fact.name for fact in new}
    return (*(fact for fact in known if fact.name not in names), *new)
