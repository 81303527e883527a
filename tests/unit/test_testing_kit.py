"""The kit for a community's own tests: a command is tried as a pilot would run it."""

from __future__ import annotations

import pytest

from commands import Command, Context, Unfit, command
from commands.testing import attempt
from pilot.errors import PilotageError


@command(needs=["node"], provides=["greeting"])
def greet(context: Context) -> Context:
    context.say(f"hello {context.fact('host')}")
    ran = context.run("uname", "-r")
    (context.work / "made").write_text("x")
    found = context.found("kernel", ran.output.strip()).tagged("ready")
    return found.evolve(environment={**context.environment, "GREETING": context.option("text", "hi")})


def test_what_a_command_did_is_seen() -> None:
    """What it said and ran, and which facts, tags and variables came of it."""
    tried = attempt(
        greet, facts={"host": "node1"}, options={"text": "hey"}, environment={"A": "1"}, programs={"uname -r": "6.1\n"}
    )
    assert (list(tried.said), list(tried.ran)) == (["hello node1"], [("uname", "-r")])
    assert (tried.facts, tried.tags) == ({"kernel": "6.1"}, {"ready": True})
    assert tried.environment == {"A": "1", "GREETING": "hey"}
    assert "node" in tried.context.provided


def test_a_program_without_an_answer_is_told() -> None:
    """A test says what programs answer; another is no silent nothing."""
    with pytest.raises(PilotageError, match="the test has no answer for 'uname -r'; it has one for 'uname -a'"):
        attempt(greet, programs={"uname -a": "x"})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda context: context.found("host", "x"), "it told the fact host anew"),
        (lambda context: context.found("odd", ["list"]), "expected a text or a number"),
        (lambda context: context.evolve(environment={"A": 1}), "expected are texts: got 1"),
        (lambda context: context.evolve(environment={"PILOTAGE_JOB": "1"}), "cannot be one of theirs"),
        (lambda context: None, "returned NoneType, expected a Context"),
        (lambda context: context.central.match(), "has no 'match', neither here nor in a pilot"),
        (lambda context: context.random(), "has no such port, neither here nor in a pilot"),
    ],
)
def test_what_no_pilot_accepts_fails_here_too(change, problem: str) -> None:  # type: ignore[no-untyped-def]
    """The bounds of a pilot hold in tests."""
    wrong = Command(change, "wrong")
    with pytest.raises(PilotageError, match=".*") as caught:
        attempt(wrong, facts={"host": "node1"})
    assert problem in str(caught.value)


def test_unfit_is_raised_as_it_is() -> None:
    """What a command raises comes out of the kit."""

    @command()
    def unfit(context: Context) -> Context:
        raise Unfit("no")

    with pytest.raises(Unfit, match="no"):
        attempt(unfit)
