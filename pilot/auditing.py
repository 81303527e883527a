"""Walking the chain of the audit, link by link, and saying what is not as it was noted. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Optional

from pilot.audit import BEGINNING, AuditLine, AuditLink, AuditStart, digest, link_hash

#: Problems that are told in full; of more, how many.
MOST = 100
GOOD, BAD, UNKNOWN = "good", "bad", "unknown"
#: Seconds after which a line is linked where a central leads.
LATE = 60.0


@dataclass(frozen=True)
class Anchor:
    """A link that somebody wrote down outside the database."""

    number: int
    hash: str


@dataclass(frozen=True)
class Verdict:
    """What a walk has found. `since`: when what is wrong was noted at the earliest, seconds since the epoch."""

    links: int
    lines: int
    unlinked: int
    newest: Optional[Anchor]
    problems: tuple[str, ...]
    more: int  # problems that are not told
    since: Optional[float]
    sealed_through: int  # the newest link with a seal that is good: nobody without the keys made it or what is before
    remarks: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        return not self.problems


@dataclass
class Walk:
    """Takes a chain from its start on: `begin`, `take` for every link, `tail`, and then `verdict`.

    `sealed` are words about seals: ``good``, ``bad``, ``unknown`` (their key is gone), empty where nobody could look.
    """

    anchors: Sequence[Anchor] = ()
    _number: int = 0
    _hash: str = BEGINNING
    _last: int = 0
    _time: Optional[float] = None  # of the link before
    _links: int = 0
    _lines: int = 0
    _unlinked: int = 0
    _sealed: int = 0
    _unknown: int = 0  # the newest link whose key is gone
    _problems: list[str] = field(default_factory=list)
    _more: int = 0
    _since: Optional[float] = None
    _remarks: list[str] = field(default_factory=list)
    _met: set[int] = field(default_factory=set)  # numbers of anchors

    def begin(self, start: Optional[AuditStart], sealed: str) -> None:
        """What was let go of before the first link, if anything was."""
        if start is None:
            return
        self._number, self._hash, self._last, self._time = start.through, start.hash, start.last, start.time
        self._met.update(one.number for one in self.anchors if one.number < start.through)
        self._compare(start.through, start.hash, None)
        said = f"what is older than {_when(start.time)} was let go of (links to {start.through}, lines to {start.last})"
        self._remarks.append(said)
        if sealed in (BAD, UNKNOWN):
            why = "its seal is not the central's" if sealed == BAD else "the key of its seal is gone"
            self._found(f"nothing proves that the central let go of the links to {start.through}: {why}", None)
        self._time = None

    def take(self, link: AuditLink, sealed: str, lines: Sequence[AuditLine]) -> None:
        """The next link, and the lines that are there with ids from the end of the link before to its own."""
        since = self._time
        if link.number != self._number + 1:
            self._found(self._gap(link), since)
        elif link.previous != self._hash:
            self._found(f"link {link.number} does not follow from link {self._number}: one of them was changed", since)
        if link.hash != link_hash(link):
            self._found(f"link {link.number} is not as it was made: its hash is not that of what it says", since)
        if sealed == BAD:
            self._found(f"link {link.number} was made by somebody without the central's key", since)
        elif sealed == GOOD:
            self._sealed = link.number
        elif sealed == UNKNOWN:
            self._unknown = link.number
        self._compare(link.number, link.hash, since)
        self._hold(link, lines)
        self._number, self._hash, self._last, self._time = link.number, link.hash, link.last, link.time
        self._links += 1

    def _gap(self, link: AuditLink) -> str:
        if link.number <= self._number:
            return f"link {link.number} is there again after link {self._number}"
        gone = f"link {self._number + 1}" if link.number == self._number + 2 else ""
        gone = gone or f"links {self._number + 1} to {link.number - 1}"
        return f"{gone} missing, and nothing says that the central let go of it"

    def _hold(self, link: AuditLink, lines: Sequence[AuditLine]) -> None:
        """Hold lines against what their link holds of them."""
        there = {line.id: line for line in lines}
        for noted in link.digests:
            line = there.pop(noted.id, None)
            if line is None:
                self._found(f"line {noted.id} is missing (link {link.number})", self._time)
            elif digest(line) != noted:
                self._found(f"line {noted.id} was changed (link {link.number}): {_shown(line)}", self._time)
        for line in there.values():
            self._found(f"line {line.id} was put in later (link {link.number}): {_shown(line)}", self._time)
        self._lines += len(link.digests)

    def _compare(self, number: int, hash: str, since: Optional[float]) -> None:
        for anchor in self.anchors:
            if anchor.number == number:
                self._met.add(number)
                if anchor.hash != hash:
                    said = f"link {number} is not the one that was written down: expected {anchor.hash}, got {hash}"
                    self._found(said, since)

    def tail(self, lines: Iterable[AuditLine], now: float) -> None:
        """Lines after the last link. `now`: when they were read."""
        for line in lines:
            self._unlinked += 1
            if line.time < now - LATE and self._unlinked == 1:
                self._remarks.append(f"line {line.id} has waited for a link since {_when(line.time)}")

    def verdict(self) -> Verdict:
        """What was found. Call it once, at the end."""
        for anchor in sorted(self.anchors, key=lambda one: one.number):
            if anchor.number > self._number:
                said = f"the end is cut off: the newest link is {self._number}, and link {anchor.number} was written"
                self._found(f"{said} down", self._time)
            elif anchor.number not in self._met:
                self._found(f"link {anchor.number}, which was written down, is not there", None)
        if self._unknown > self._sealed:
            self._found(
                f"nothing proves who made link {self._unknown}: its key is gone, and no later seal is good", None
            )
        newest = Anchor(self._number, self._hash) if self._number else None
        return Verdict(
            links=self._links,
            lines=self._lines,
            unlinked=self._unlinked,
            newest=newest,
            problems=tuple(self._problems),
            more=self._more,
            since=self._since,
            sealed_through=self._sealed,
            remarks=tuple(self._remarks),
        )

    def _found(self, problem: str, since: Optional[float]) -> None:
        """`since`: the time of the last link before it that was good."""
        if not self._problems:
            self._since = since
        if len(self._problems) < MOST:
            self._problems.append(problem)
        else:
            self._more += 1


def sentences(verdict: Verdict) -> tuple[str, ...]:
    """What a walk has found, for people."""
    problems = [*verdict.problems, *([f"and {verdict.more} problems more"] if verdict.more else [])]
    if verdict.since is not None:
        problems.append(f"all that was noted until {_when(verdict.since)} is as it was noted")
    end = f"; the newest link is {verdict.newest.number}:{verdict.newest.hash}" if verdict.newest else ""
    waiting = f", and {verdict.unlinked:,} lines that wait for a link" if verdict.unlinked else ""
    counted = f"{verdict.lines:,} lines in {verdict.links:,} links{waiting}{end}"
    if problems:
        return (f"the audit is not as it was noted ({counted}):", *problems, *verdict.remarks)
    unsealed = verdict.links and not verdict.sealed_through
    sealed = "; the seals were not looked at, which takes the keys" if unsealed else ""
    return (f"the audit is as it was noted: {counted}{sealed}", *verdict.remarks)


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def _shown(line: AuditLine) -> str:
    return f"{_when(line.time)} {line.who} {line.what} {line.subject}"[:200]
