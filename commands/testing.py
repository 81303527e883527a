"""Trying a command without a pilot, for the tests of whoever writes one.

    from commands.testing import attempt
    from my_commands import greet

    def test_it_greets():
        tried = attempt(greet, facts={"host": "node1"}, options={"text": "hi"}, programs={"uname -r": "6.1"})
        assert tried.environment["GREETING"] == "hi"
        assert tried.tags == {"greeted": True}

What a command gets and what it may change is as in a pilot; programs are those that the test gives.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Optional, Union

from commands.changes import TAG, check_environment, check_facts, merged, news
from commands.context import Context
from commands.programs import Programs, Ran, RealPrograms
from commands.registry import Command
from pilot.errors import PilotageError
from pilot.protocol import Fact, Settings

Value = Union[str, int, float, bool, None]
#: For `programs`: those of this machine.
REAL = "real"


@dataclass(frozen=True)
class Tried:
    """What came of a command."""

    context: Context
    said: Sequence[str]  # lines
    ran: Sequence[tuple[str, ...]]  # programs, with their arguments
    told: tuple[Fact, ...]  # facts that are new

    @property
    def environment(self) -> Mapping[str, str]:
        """What payloads would find, besides what they always do."""
        return self.context.environment

    @property
    def facts(self) -> Mapping[str, Value]:
        """Facts that are new, without tags."""
        return {fact.name: fact.value for fact in self.told if not fact.name.startswith(TAG)}

    @property
    def tags(self) -> Mapping[str, Value]:
        """Tags that were told: True holds, False does not, None is unknown."""
        return {fact.name[len(TAG) :]: fact.value for fact in self.told if fact.name.startswith(TAG)}


@dataclass
class ScriptedPrograms:
    """Programs as a test has them: ``words with blanks`` → what it prints, or a `Ran` with its exit code."""

    answers: Mapping[str, Union[str, Ran]]
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, words: Sequence[str], seconds: Optional[float], environment: Optional[Mapping[str, str]]) -> Ran:
        self.ran.append(tuple(words))
        line = " ".join(words)
        if line not in self.answers:
            known = ", ".join(map(repr, self.answers)) or "nothing"
            raise PilotageError(f"the test has no answer for {line!r}; it has one for {known}")
        answer = self.answers[line]
        return answer if isinstance(answer, Ran) else Ran(0, answer)


@dataclass
class _Watched:
    """Real programs, written down."""

    real: RealPrograms
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, words: Sequence[str], seconds: Optional[float], environment: Optional[Mapping[str, str]]) -> Ran:
        self.ran.append(tuple(words))
        return self.real.run(words, seconds, environment)


class _NoPort:
    """In the place of what commands in a process of their own do not have."""

    def __getattr__(self, name: str) -> NoReturn:
        raise PilotageError(f"a command in a process of its own has no {name!r}, neither here nor in a pilot")

    def __call__(self, *given: object) -> NoReturn:
        raise PilotageError("a command in a process of its own has no such port, neither here nor in a pilot")


def attempt(
    command: Command,
    *,
    facts: Optional[Mapping[str, Value]] = None,
    options: Optional[Mapping[str, str]] = None,
    environment: Optional[Mapping[str, str]] = None,
    provided: Sequence[str] = (),
    programs: Union[Mapping[str, Union[str, Ran]], str] = "",
    work: Optional[Path] = None,
    community: str = "testers",
) -> Tried:
    """Run a command once. Raises what it raises, and `PilotageError` for a change that no pilot would accept.

    `facts`: what is known of the node. `options`: those of this command. `provided`: what it needs is taken for
    provided. `programs`: answers, or `REAL`. `work`: the folder that it may write to, else one that goes away.
    """
    watched = _Watched(RealPrograms(lambda block: None)) if programs == REAL else ScriptedPrograms(_answers(programs))
    with tempfile.TemporaryDirectory(prefix="command-") as passing:
        said: list[str] = []
        context = _context(command, work or Path(passing), said, watched, community)
        context = context.evolve(
            options={context.command: dict(options or {})},
            environment=dict(environment or {}),
            facts=tuple(Fact(name, value, "the test") for name, value in (facts or {}).items()),
            provided=(*command.needs, *provided),
        )
        after: Any = command.run(context)
        if not isinstance(after, Context):
            raise PilotageError(f"{command.name} returned {type(after).__name__}, expected a Context")
        told = news(context.facts, after.facts)
        check_environment(after.environment)
        check_facts(context.facts, told)
        after = after.evolve(facts=merged(context.facts, told))
        return Tried(after, said, watched.ran, told)


def _answers(programs: Union[Mapping[str, Union[str, Ran]], str]) -> Mapping[str, Union[str, Ran]]:
    return {} if isinstance(programs, str) else programs


def _context(command: Command, work: Path, said: list[str], programs: Programs, community: str) -> Context:
    nothing: Any = _NoPort()
    return Context(
        stamp="0" * 32,
        site="a-site",
        queue="a-queue",
        work=work,
        settings=Settings(communities=(community,)),
        clock=nothing,
        random=nothing,
        node=nothing,
        central=nothing,
        computing=nothing,
        say=said.append,
        communities=(community,),
        command=f"{command.run.__module__}:{command.name}",
        programs=programs,
    )
