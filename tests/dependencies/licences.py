"""Under which licence a distribution is, as it says itself, and whether Pilotage may bring it along."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

#: Anybody may pass these on with anything. MPL-2.0 asks for the source of its own files alone, which nobody changed.
ALLOWED = frozenset(
    {
        *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0"),
        *("PSF-2.0", "Python-2.0", "Unlicense", "Zlib"),
    }
)
#: How distributions call them that do not use the names of SPDX.
SPELLED = {
    "mit license": "MIT",
    "bsd license": "BSD",
    "apache software license": "Apache-2.0",
    "apache license (2.0)": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "isc license (iscl)": "ISC",
}
#: Of those whose metadata name none: how the file of the licence begins, in small letters and without commas.
BEGINNINGS = {
    "mozilla public license version 2.0": "MPL-2.0",
    "mit license": "MIT",
    "apache license version 2.0": "Apache-2.0",
    "gnu general public license": "GPL",
    "gnu lesser general public license": "LGPL",
    "gnu affero general public license": "AGPL",
}
_NOTHING = ("", "UNKNOWN", "LICENSE", "DUAL LICENSE")
_WORD = re.compile(r"\(|\)|[A-Za-z0-9.+-]+")
_ROW = re.compile(r"(?m)^\| `(?P<extra>[a-z0-9]+)` \| `(?P<name>[a-z0-9-]+)` \| (?P<licence>[^|]+) \|")


@dataclass(frozen=True)
class Said:
    """What a distribution says of its licence: three fields of its metadata, and the file."""

    expression: str = ""
    licence: str = ""
    classifiers: tuple[str, ...] = ()  # without "License :: OSI Approved :: "
    file: str = ""

    def named(self) -> str:
        """One expression as of SPDX; empty: it says nothing that is known here."""
        if self.expression:
            return self.expression
        if self.licence.strip().upper() not in _NOTHING and "\n" not in self.licence.strip():
            return _spelled(self.licence)
        if self.classifiers:
            return " AND ".join(map(_spelled, self.classifiers))
        first = " ".join(self.file.lower().replace(",", " ").split()[:8])
        return next((name for beginning, name in BEGINNINGS.items() if first.startswith(beginning)), "")


def _spelled(text: str) -> str:
    return SPELLED.get(text.strip().lower(), text.strip())


def allowed(expression: str, names: Collection[str] = ALLOWED) -> bool:
    """Whether an expression leaves a way that uses these alone: of OR one is enough, of AND all are needed."""
    words = _WORD.findall(expression)
    if "".join(words) != re.sub(r"\s+", "", expression) or not words:
        return False  # it is a sentence, or nothing
    reading = iter(words)
    try:
        return _either(reading, names)
    except StopIteration:
        return False


def _either(words: Iterator[str], names: Collection[str]) -> bool:
    """Up to the closing bracket or the end. AND binds closer than OR."""
    good = [_one(words, names)]
    for word in words:
        if word == ")":
            break
        if word.upper() == "OR":
            good.append(_one(words, names))
        elif word.upper() == "AND":
            good[-1] = _one(words, names) and good[-1]
        elif word.upper() == "WITH":
            next(words)  # an exception only allows more
        else:
            return False
    return any(good)


def _one(words: Iterator[str], names: Collection[str]) -> bool:
    word = next(words)
    return _either(words, names) if word == "(" else word in names


def copyleft(page: str) -> Mapping[str, frozenset[str]]:
    """The distributions under other licences that an extra may bring, as the table in CONTRIBUTING.md names them."""
    rows = [(row["extra"], row["name"]) for row in _ROW.finditer(page)]
    return {extra: frozenset(name for other, name in rows if other == extra) for extra, _ in rows}


def unlicensed(
    ways: Mapping[str, Collection[str]], said: Callable[[str], Said | None], named: Mapping[str, Collection[str]]
) -> list[str]:
    """What reaches people under a licence that is not allowed there. `named`: what `copyleft` found."""
    problems: list[str] = []
    for way, names in ways.items():
        for name in sorted(set(names) - set(named.get(way, ()))):
            says = said(name)
            if says is None:
                problems.append(f"{way}: {name} is not installed here, so nobody knows its licence; install dev.lock")
            elif not allowed(licence := says.named()):
                problems.append(f"{way}: {name} is under {licence or 'a licence that it does not name'}")
    return problems


def unused(
    ways: Mapping[str, Collection[str]], named: Mapping[str, Collection[str]], locked: Sequence[str]
) -> list[str]:
    """Rows of that table for what an extra that is locked does not bring any more."""
    rows = [(extra, name) for extra, names in named.items() for name in names]
    return [f"{extra}: {name}" for extra, name in rows if extra in locked and name not in ways.get(extra, ())]
