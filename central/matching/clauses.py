"""What a kind of needs asks of an offer, as clauses: all must hold, each is a choice of plain statements.

Statements repeat from kind to kind far more than needs do, so whoever knows which of them hold knows it for all kinds.
It says the same as `matcher.kind_fits`, but that owners are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from central.matching.looks import Look
from central.matching.matcher import tag_expression
from central.records import TaskQueue
from pilot import tags
from pilot.protocol import Needs

#: Clauses and statements that a tag expression may come to when it is multiplied out; beyond that it stays whole.
MAX_CLAUSES = 32
MAX_STATEMENTS = 1024


class Statement(NamedTuple):
    """Something that an offer is or has, at least so much of, or (not `wanted`) certainly is not."""

    about: Literal["community", "site", "tag", "arch", "microarch", "glibc", "isolation"]
    value: str | int | tuple[int, int]
    wanted: bool = True


class Clauses(NamedTuple):
    """The statements that must hold, each by itself, and the choices of which one must. Not `complete`: the tag
    expression says more than that."""

    needed: frozenset[Statement]
    choices: tuple[frozenset[Statement], ...]
    complete: bool


def holds(statement: Statement, look: Look) -> bool:
    """Whether it is certainly so on offers that look like this."""
    about, value, wanted = statement
    if about == "tag":
        return value in look.tags if wanted else value not in look.tags and value not in look.unknown_tags
    if about == "site":
        return (value == look.site) is wanted
    if about == "community":
        return value in look.communities
    if about == "arch":
        return value == look.arch
    if about == "microarch":
        return look.microarch is not None and look.microarch >= value  # type: ignore[operator]
    if about == "glibc":
        return look.glibc is not None and look.glibc >= value  # type: ignore[operator]
    return look.isolation


def clauses_of(task: TaskQueue) -> Clauses:
    """What jobs of a queue ask of an offer's kind."""
    needs = task.needs
    needed, choices = {Statement("community", task.community), *_plain(needs)}, set()
    if needs.sites is not None:
        choices.add(frozenset(Statement("site", site) for site in needs.sites))
    expression, demanded = tag_expression(needs.tags)
    asked = _multiplied(expression)
    complete = asked is not None and sum(len(clause) > 1 for clause in asked) <= MAX_CLAUSES
    for clause in asked if asked is not None and complete else [frozenset({tags.Tag(name)}) for name in demanded]:
        statements = frozenset(Statement("tag", tag.name, tag.wanted) for tag in clause)
        if len(statements) == 1:
            needed |= statements
        else:
            choices.add(statements)
    return Clauses(frozenset(needed), tuple(choices), complete)


def _plain(needs: Needs) -> Iterable[Statement]:
    """What must hold by itself."""
    platform = needs.platform
    for site in needs.not_sites:
        yield Statement("site", site, wanted=False)
    if needs.isolation:
        yield Statement("isolation", 1)
    if platform.arch is not None:
        yield Statement("arch", platform.arch)
    if platform.microarch is not None:
        yield Statement("microarch", platform.microarch)
    if platform.glibc is not None:
        yield Statement("glibc", platform.glibc)


def _multiplied(expression: tags.Expression) -> set[frozenset[tags.Tag]] | None:
    """The expression as choices of which each must hold; None: there are too many. A tag and its negation are
    statements of their own here, of which neither may hold, so that this is right with three values too."""
    if isinstance(expression, tags.Tag):
        return {frozenset({expression})}
    result: set[frozenset[tags.Tag]]
    if isinstance(expression, tags.All):
        result = set()
        for part in expression.parts:
            clauses = _multiplied(part)
            if clauses is None:
                return None
            result |= clauses
        return result
    result = {frozenset(part for part in expression.parts if isinstance(part, tags.Tag))}
    for part in expression.parts:
        if isinstance(part, tags.Tag):
            continue
        clauses = _multiplied(part)
        if clauses is None or len(clauses) * len(result) > MAX_CLAUSES:
            return None
        result = {one | other for one in result for other in clauses}
        if sum(map(len, result)) > MAX_STATEMENTS:
            return None
    return result
