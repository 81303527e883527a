"""Which commands a pilot runs: layers of the settings, one over the other, decided without any effect.

From the weakest: what all pilots do, those of a site, of a queue, of a community, of that community at a site, of that
community at a queue. Layers of the same strength count in the order of the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pilot.errors import InvalidInput
from pilot.protocol import Step
from pilot.standard import LAST, ORDER, CommandRecord, is_theirs, pipeline_problems


@dataclass(frozen=True)
class Addition:
    """A command that is put before or after another."""

    command: str
    after: str = ""
    before: str = ""


@dataclass(frozen=True)
class Layer:
    """A table ``[[pipelines]]``: for whom, and what it changes. Empty: for all, nothing."""

    where: str = ""  # as problems name it
    community: str = ""
    site: str = ""
    queue: str = ""
    order: tuple[str, ...] = ()
    replace: Mapping[str, str] = field(default_factory=dict)
    add: tuple[Addition, ...] = ()
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    timeouts: Mapping[str, int] = field(default_factory=dict)  # seconds

    @property
    def strength(self) -> int:
        """Those that say more of whom they are for count more."""
        return 3 * bool(self.community) + (2 if self.queue else 1 if self.site else 0)

    def names(self) -> tuple[str, ...]:
        """Every command that it puts into a pipeline."""
        return (*self.order, *self.replace.values(), *(addition.command for addition in self.add))


@dataclass(frozen=True)
class Place:
    """For whose pilots. `community`: the one that they are bound to; empty: a pilot for several runs nobody's code."""

    site: str
    queue: str
    community: str = ""


@dataclass(frozen=True)
class Resolved:
    """The pipeline of a place, and what is wrong with it."""

    steps: tuple[Step, ...]
    problems: tuple[InvalidInput, ...] = ()

    @property
    def theirs(self) -> tuple[str, ...]:
        """The commands of bundles in it."""
        return tuple(step.command for step in self.steps if is_theirs(step.command))

    def check(self, bundled: Sequence[CommandRecord]) -> list[str]:
        """All that is wrong with it, given the commands of the bundles in use."""
        found = [str(problem) for problem in self.problems]
        return found + pipeline_problems([step.command for step in self.steps], bundled)

    def told(self) -> tuple[Step, ...]:
        """What pilots are told: nothing where it is the standard pipeline."""
        return () if self.steps == tuple(Step(name) for name in ORDER) else self.steps


def resolve(layers: Sequence[Layer], place: Place) -> Resolved:
    """Lay one over the other what counts for a place."""
    names = list(ORDER)
    options: dict[str, dict[str, str]] = {}
    timeouts: dict[str, int] = {}
    problems: list[InvalidInput] = []
    for layer in sorted((layer for layer in layers if _counts(layer, place)), key=lambda layer: layer.strength):
        names = _arranged(layer, names, problems)
        for command, values in layer.options.items():
            options[command] = {**options.get(command, {}), **values}
        timeouts.update(layer.timeouts)
    if LAST not in names:
        names.append(LAST)
    steps = tuple(Step(name, options.get(name, {}), timeouts.get(name)) for name in names)
    return Resolved(steps, tuple(problems))


def _counts(layer: Layer, place: Place) -> bool:
    return (
        layer.community in ("", place.community) and layer.site in ("", place.site) and layer.queue in ("", place.queue)
    )


def _arranged(layer: Layer, names: list[str], problems: list[InvalidInput]) -> list[str]:
    """The names after the order, the replacements and the additions of a layer."""
    names = list(layer.order) or list(names)
    for old, new in layer.replace.items():
        if old not in names:
            problems.append(InvalidInput(f"{layer.where}.replace", f"{old} is not in the pipeline: {', '.join(names)}"))
            continue
        names[names.index(old)] = new
    for number, addition in enumerate(layer.add):
        beside = addition.after or addition.before
        if beside not in names:
            where = f"{layer.where}.add[{number}]"
            problems.append(InvalidInput(where, f"{beside} is not in the pipeline: {', '.join(names)}"))
            continue
        names.insert(names.index(beside) + bool(addition.after), addition.command)
    return names
