"""Kinds: what needs ask apart from amounts, numbered, so that a set of kinds is the bits of one integer.

For each statement (see `clauses`) there is the set of kinds that make it. Whether an offer is right is then found out
for all kinds at once: as many operations on integers as there are different statements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from central.matching.clauses import Clauses, Statement, clauses_of, holds
from central.matching.looks import Look
from central.records import TaskQueue
from pilot.protocol import Platform

FAILS, FITS, UNASKED = 0, 1, 2
#: A set has a mask when at least one kind in so many is in it: then that takes 128 bytes a member at most.
FEW = 1024
#: Changes that are remembered for those who know what was before.
MAX_CHANGES = 256
_DIGITS = bytes.maketrans(b"01", bytes((FAILS, FITS)))

Key = tuple[str, str, tuple[str, ...] | None, tuple[str, ...], Platform, bool]


class Bits:
    """A set of numbers below `size`: bits of `mask`, and some that are not in there yet."""

    __slots__ = ("count", "few", "mask")

    def __init__(self) -> None:
        self.count = 0
        self.mask = 0
        self.few: list[int] = []

    def add(self, number: int, size: int) -> None:
        self.count += 1
        self.few.append(number)
        if len(self.few) * FEW > size:
            self._gather()

    def strike(self, numbers: Collection[int], mask: int) -> None:
        """These numbers, which are also those of the mask, are not in it any more."""
        before = len(self.few)
        self.few = [number for number in self.few if number not in numbers]
        struck = self.mask & mask
        self.mask ^= struck
        self.count -= struck.bit_count() + before - len(self.few)

    def settle(self, size: int) -> None:
        """To be said before it is read: as much as pays is in the mask."""
        if self.few and self.count * FEW > size:
            self._gather()

    def _gather(self) -> None:
        self.mask |= mask_of(self.few)
        self.few = []


Sets = dict[Statement, Bits]


class Kinds:
    """The kinds of the queues that are known; a number that nobody has any more is given to another."""

    def __init__(self) -> None:
        self.samples: list[TaskQueue] = []  # one of each kind, by number
        self._users: list[int] = []  # queues of each kind
        self._numbers: dict[Key, int] = {}
        self._unused: list[int] = []
        self._needed: Sets = {}
        self._choices: list[tuple[Bits, Sets]] = []  # the n-th choice: who has one, and who could do with what
        self._whole: set[int] = set()  # kinds of which clauses say too little
        self._changes: list[int] = []
        self._old_changes = 0  # how many went before these

    def __len__(self) -> int:
        return len(self.samples)

    def enter(self, task: TaskQueue) -> int:
        """A queue has come; returns the number of its kind."""
        key = _key(task)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._number(task)
            self._write(number, clauses_of(task))
            self._changed(number)
        self._users[number] += 1
        return number

    def leave(self, tasks: Iterable[TaskQueue]) -> None:
        """Queues have gone."""
        unused = []
        for task in tasks:
            key = _key(task)
            number = self._numbers[key]
            self._users[number] -= 1
            if not self._users[number]:
                del self._numbers[key]
                unused.append(number)
        if unused:
            self._wipe(frozenset(unused), mask_of(unused))
            self._unused += unused

    # -- asking -----------------------------------------------------------------------------------------------------
    @property
    def version(self) -> int:
        return self._old_changes + len(self._changes)

    def changes(self, version: int) -> Sequence[int] | None:
        """The numbers that have stood for other kinds since that version; None: for too many to tell."""
        return self._changes[version - self._old_changes :] if version >= self._old_changes else None

    def right(self, look: Look) -> int:
        """A bit for each kind that is right for such offers, as far as clauses tell."""
        truth: dict[Statement, bool] = {}
        size = len(self.samples)
        wrong = _union((bits for statement, bits in self._needed.items() if not _known(truth, statement, look)), size)
        for having, sets in self._choices:
            met = _union((bits for statement, bits in sets.items() if _known(truth, statement, look)), size)
            wrong |= _union((having,), size) & ~met
        every = (1 << size) - 1
        for tag in look.required_tags:
            wrong |= every ^ _union((self._needed.get(Statement("tag", tag), Bits()),), size)
        return every & ~wrong

    def verdicts(self, right: int) -> bytearray:
        """The same as a byte for each kind; those that clauses do not tell are still to be asked."""
        size = len(self.samples)
        found = bytearray(f"{right:0{size}b}".encode().translate(_DIGITS)) if size else bytearray()
        found.reverse()
        for number in self._whole:
            if found[number]:
                found[number] = UNASKED
        return found

    # -- inside -----------------------------------------------------------------------------------------------------
    def _number(self, task: TaskQueue) -> int:
        if self._unused:
            number = self._unused.pop()
            self.samples[number] = task
            return number
        self.samples.append(task)
        self._users.append(0)
        return len(self.samples) - 1

    def _changed(self, number: int) -> None:
        self._changes.append(number)
        if len(self._changes) > 2 * MAX_CHANGES:
            del self._changes[:MAX_CHANGES]
            self._old_changes += MAX_CHANGES

    def _write(self, number: int, clauses: Clauses) -> None:
        size = len(self.samples)
        for statement in clauses.needed:
            self._needed.setdefault(statement, Bits()).add(number, size)
        for place, choice in enumerate(clauses.choices):
            if place == len(self._choices):
                self._choices.append((Bits(), {}))
            having, sets = self._choices[place]
            having.add(number, size)
            for statement in choice:
                sets.setdefault(statement, Bits()).add(number, size)
        if not clauses.complete:
            self._whole.add(number)

    def _wipe(self, numbers: frozenset[int], mask: int) -> None:
        for having, sets in (*self._choices, (Bits(), self._needed)):
            having.strike(numbers, mask)
            for statement, bits in list(sets.items()):
                bits.strike(numbers, mask)
                if not bits.count:
                    del sets[statement]
        self._whole -= numbers


def mask_of(numbers: Sequence[int]) -> int:
    """The integer that has these bits."""
    if len(numbers) == 1:
        return 1 << numbers[0]
    marks = bytearray(max(numbers, default=0) // 8 + 1)
    for number in numbers:
        marks[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(marks, "little")


def _union(sets: Iterable[Bits], size: int) -> int:
    mask = 0
    few: list[int] = []
    for bits in sets:
        bits.settle(size)
        mask |= bits.mask
        few += bits.few
    return mask | mask_of(few)


def _known(truth: dict[Statement, bool], statement: Statement, look: Look) -> bool:
    """Whether it holds; each is looked at once."""
    known = truth.get(statement)
    if known is None:
        known = truth[statement] = holds(statement, look)
    return known


def _key(task: TaskQueue) -> Key:
    """What tells kinds apart."""
    needs = task.needs
    return (task.community, needs.tags, needs.sites, needs.not_sites, needs.platform, needs.isolation)
