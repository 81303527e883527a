"""Whatever batch systems, kernels and clouds say: no probe breaks, and no more is found than there is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.node.machine import Machine
from pilot.node.outside import Request
from pilot.protocol import UNLIMITED, Fact
from tests.captured import CASES, Captured, load

#: Pieces that parsers look for, and odd ones.
PIECES = (" ", "\n", "\t", ":", "=", ",", "-", "0", "7", "999999999999999999999", "-1", "(x", ")", "GPU-", "node1", "é")
PIECES += (
    "UNLIMITED",
    "INFINITY",
    "undefined",
    '"',
    "{",
    "]",
    "1:2:3",
    "4gb",
    "null",
    "nan",
    "1e400",
    "\0",
    "[",
    "x2",
    "²",
    "٣",
)


@dataclass(frozen=True)
class Liar(Machine):
    """A captured machine, some of whose words are changed."""

    dice: random.Random = field(default_factory=random.Random)

    def read(self, path: str) -> str | None:
        return self.twist(super().read(path))

    def twist(self, text: str | None) -> str | None:
        if text is None or self.dice.random() < 0.5:
            return text
        at = self.dice.randrange(len(text) + 1)
        upto = at + self.dice.choice((0, 1, 5, len(text)))
        return text[:at] + "".join(self.dice.choices(PIECES, k=self.dice.randrange(4))) + text[upto:]


def lying(case: Captured, dice: random.Random) -> Captured:
    honest = case.machine

    def run(words: Sequence[str]) -> str | None:
        return liar.twist(honest.run(words))

    def fetch(request: Request) -> str | None:
        return liar.twist(honest.fetch(request))

    liar = Liar(honest.system, honest.root, honest.environment, run, fetch, honest.now, dice)
    told = {name: liar.twist(value) or "" for name, value in honest.environment.items()}
    return replace(case, machine=replace(liar, environment=told))


def amount(fact: Fact) -> bool:
    return fact.value in (None, UNLIMITED) or (isinstance(fact.value, int) and fact.value >= 0)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(CASES.iterdir())), st.randoms(use_true_random=False))
def test_nobody_is_believed_beyond_what_there_is(path: Path, dice: random.Random) -> None:
    """Of every captured machine, with whatever words changed: the probes answer, in amounts that can be, within it."""
    case = load(path)
    facts = {fact.name: fact for fact in lying(case, dice).facts()}
    cores = facts["cores"].value
    assert cores is None or (isinstance(cores, int) and 1 <= cores <= len(case.machine.system.affinity))
    assert all(amount(facts[name]) for name in ("memory", "seconds_left"))
    gpus = facts["gpus"].value
    assert isinstance(gpus, int)
    assert all(isinstance(facts[f"gpu{number}_model"].value, str) for number in range(gpus))
    assert all(fact.source for fact in facts.values())
