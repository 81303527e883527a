"""Boolean expressions over tags: ``cvmfs & (avx2 | arm) & ~slow-disk``.

A tag is a name; ``~`` negates, ``&`` binds tighter than ``|``. Expressions are kept with negations at the tags
alone, so that three values fall out by themselves: of a tag whose probe failed, neither the tag nor its negation holds.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Callable, Union

from pilot.errors import InvalidInput

#: More than anybody writes by hand; a bound on what one queue may cost the matcher.
MAX_LENGTH = 16_384
MAX_TERMS = 1000
MAX_DEPTH = 32

_TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-z0-9_][A-Za-z0-9_.:+/-]*)|(?P<sign>[&|~()]))")


@dataclass(frozen=True)
class Tag:
    """A single tag, or its absence."""

    name: str
    wanted: bool = True

    def __str__(self) -> str:
        return self.name if self.wanted else f"~{self.name}"


@dataclass(frozen=True)
class All:
    """Every part holds. Without parts it always holds: the empty expression."""

    parts: tuple[Expression, ...] = ()

    def __str__(self) -> str:
        return " & ".join(f"({part})" if isinstance(part, Any) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Any:
    """At least one part holds."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " | ".join(str(part) for part in self.parts)


Expression = Union[Tag, All, Any]
EVERYTHING = All()


def holds(expression: Expression, tags: Collection[str], unknown: Collection[str] = ()) -> bool:
    """Say whether the expression certainly holds where `tags` are present and of `unknown` nothing is known."""
    if isinstance(expression, Tag):
        if expression.wanted:
            return expression.name in tags
        return expression.name not in tags and expression.name not in unknown
    if isinstance(expression, All):
        return all(holds(part, tags, unknown) for part in expression.parts)
    return any(holds(part, tags, unknown) for part in expression.parts)


def names(expression: Expression) -> frozenset[str]:
    """Every tag that the expression mentions."""
    if isinstance(expression, Tag):
        return frozenset({expression.name})
    return frozenset(name for part in expression.parts for name in names(part))


def demanded(expression: Expression) -> frozenset[str]:
    """The tags without which the expression cannot hold: what a job that may enter a reserved place must name."""
    if isinstance(expression, Tag):
        return frozenset({expression.name}) if expression.wanted else frozenset()
    parts = [demanded(part) for part in expression.parts]
    if isinstance(expression, All):
        return frozenset().union(*parts)
    return frozenset.intersection(*parts)


def parse(text: str, where: str = "tags") -> Expression:
    """Read an expression. Raises `InvalidInput` that points at the character. Blank text is the empty expression."""
    if len(text) > MAX_LENGTH:
        raise InvalidInput(where, f"expected at most {MAX_LENGTH} characters, got {len(text)}")
    return _Parser(text, where).run()


def canonical(text: str, where: str = "tags") -> str:
    """One spelling for expressions that differ only in blanks, brackets, order or repetition; it parses again."""
    spelled = str(parse(text, where))
    if len(spelled) > MAX_LENGTH:
        raise InvalidInput(where, f"expected at most {MAX_LENGTH} characters with blanks between, got {len(spelled)}")
    return spelled


class _Parser:
    """Recursive descent over the tokens of one text; `at` is the character being looked at, `token` what is there."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.at = 0
        self.token = ""  # empty: the end
        self.end = 0  # of the token
        self.terms = 0

    def run(self) -> Expression:
        self.take()
        if not self.token:
            return EVERYTHING
        expression = self.either(True, 0)
        if self.token:
            raise self.wrong("expected & or | or the end")
        return expression

    def take(self) -> None:
        """Go on to the next token."""
        found = _TOKEN.match(self.text, self.end)
        if found:
            self.token = found[found.lastindex or 0]
            self.at = found.start(found.lastindex or 0)
            self.end = found.end()
            return
        self.at = len(self.text)
        self.token = ""
        if rest := self.text[self.end :].lstrip():
            self.at -= len(rest)
            raise self.wrong("this character has no meaning here")

    def either(self, wanted: bool, depth: int) -> Expression:
        return self.series("|", self.both, _any if wanted else _all, wanted, depth)

    def both(self, wanted: bool, depth: int) -> Expression:
        return self.series("&", self.term, _all if wanted else _any, wanted, depth)

    def series(
        self,
        sign: str,
        part: Callable[[bool, int], Expression],
        join: Callable[[list[Expression]], Expression],
        wanted: bool,
        depth: int,
    ) -> Expression:
        parts = [part(wanted, depth)]
        while self.token == sign:
            self.take()
            parts.append(part(wanted, depth))
        return join(parts) if len(parts) > 1 else parts[0]

    def term(self, wanted: bool, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise self.wrong(f"nested deeper than {MAX_DEPTH}")
        token = self.token
        if token == "~":
            self.take()
            return self.term(not wanted, depth + 1)
        if token == "(":
            opened = self.at
            self.take()
            inside = self.either(wanted, depth + 1)
            if self.token != ")":
                raise self.wrong(f"expected ) for the ( at character {opened + 1}")
            self.take()
            return inside
        if token in ("", ")", "&", "|"):
            raise self.wrong("expected a tag" + (f", got {token}" if token else ", got the end"))
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise self.wrong(f"more than {MAX_TERMS} tags")
        self.take()
        return Tag(token, wanted)

    def wrong(self, problem: str) -> InvalidInput:
        shown = self.text[max(0, self.at - 20) : self.at] + "⟨here⟩" + self.text[self.at : self.at + 20]
        return InvalidInput(self.where, f"{problem}, at character {self.at + 1}: {shown}")


def _flat(kind: Callable[[tuple[Expression, ...]], Expression], parts: list[Expression]) -> Expression:
    inner: list[Expression] = []
    for part in parts:
        inner.extend(part.parts if type(part) is kind else (part,))  # type: ignore[union-attr]
    unique = sorted(set(inner), key=str)
    return unique[0] if len(unique) == 1 else kind(tuple(unique))


def _all(parts: list[Expression]) -> Expression:
    return _flat(All, parts)


def _any(parts: list[Expression]) -> Expression:
    return _flat(Any, parts)
