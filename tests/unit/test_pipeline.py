"""The pipeline: names become commands, a wrong order is refused before anything runs, each step is reported."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from commands import Command, Context, Unfit, command
from commands.registry import STANDARD, PipelineError, assemble, load, resolve
from pilot import pipeline
from pilot.errors import PilotageError
from pilot.protocol import Settings, Step
from pilot.standard import TABLE, order_problems
from pilot.states import PilotReason
from pilot.steps.guest import Interrupted
from pilot.steps.output import StepLog
from tests.pilot_fakes import FakeCentral, FakeNode


class Clock:
    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None: ...


def context_for(central: FakeCentral, say: Callable[[str], None] = lambda line: None) -> Context:
    return Context(
        stamp="0" * 32,
        site="here",
        queue="test",
        work=Path("/nowhere"),
        settings=Settings(),
        clock=Clock(),
        random=lambda: 0.5,
        node=FakeNode(),
        central=central,
        computing=None,  # type: ignore[arg-type]  # no command of these tests runs jobs
        say=say,
    )


def outcomes(central: FakeCentral) -> list[tuple[str, str | None]]:
    return [(step.command, step.outcome) for step in central.steps]


@command(provides=["one"])
def first(context: Context) -> Context:
    context.say("first says this")
    return context.evolve(message="from first")


@command(needs=["one"], provides=["two"])
def second(context: Context) -> Context:
    assert context.provided == ("one",)
    return context


@command(always=True)
def last(context: Context) -> Context:
    context.say("cleaned")
    return context


def failing(error: BaseException) -> Command:
    @command(provides=["broken"])
    def broken(context: Context) -> Context:
        raise error

    return broken


def test_the_standard_pipeline_is_in_order() -> None:
    """The commands that a pilot runs by default fit together."""
    assert tuple(step.name for step in assemble(())) == STANDARD


def test_steps_run_in_order_and_are_reported() -> None:
    """Each step sees what those before it made of the context; its start and its end are told, with its last lines."""
    central, said = FakeCentral(), []
    ended = pipeline.run([first, second, last], context_for(central, said.append))
    assert said == ["first says this", "cleaned"]
    assert ended.provided == ("one", "two")
    assert ended.message == "every command of the pipeline has run"
    assert outcomes(central) == [
        ("first", None),
        ("first", "ok"),
        ("second", None),
        ("second", "ok"),
        ("last", None),
        ("last", "ok"),
    ]
    assert central.steps[1].tail == "first says this"
    assert [step.number for step in central.steps] == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (Unfit("no disk"), PilotReason.UNFIT, "no disk"),
        (PilotageError("it is broken"), PilotReason.COMMAND_FAILED, "it is broken"),
        (ValueError("odd"), PilotReason.COMMAND_FAILED, "broken: ValueError: odd"),
        (SystemExit(3), PilotReason.COMMAND_FAILED, "broken: SystemExit: 3"),
    ],
)
def test_a_step_that_fails_stops_the_rest(error: BaseException, reason: PilotReason, message: str) -> None:
    """After a failed step nothing runs but what always does, and the reason is the first that there was."""
    central = FakeCentral()
    ended = pipeline.run([failing(error), second, failing(PilotageError("later")), last], context_for(central))
    assert (ended.reason, ended.message) == (reason, message)
    assert outcomes(central) == [
        ("broken", None),
        ("broken", "failed"),
        ("second", "skipped"),
        ("broken", "skipped"),
        ("last", None),
        ("last", "ok"),
    ]


def test_an_unexpected_fault_shows_where_it_was() -> None:
    """The last lines of a step that met a fault of its own hold the traceback."""
    central = FakeCentral()
    pipeline.run([failing(ValueError("odd"))], context_for(central))
    assert "test_pipeline.py" in central.steps[-1].tail


def test_a_step_that_takes_too_long_is_given_up() -> None:
    """A step has its time; when it is over the pipeline ends without it."""
    central, never = FakeCentral(), threading.Event()

    @command(timeout=0.05)
    def slow(context: Context) -> Context:
        never.wait()
        return context

    ended = pipeline.run([slow, second, last], context_for(central))
    never.set()
    assert ended.reason is PilotReason.COMMAND_FAILED
    assert "not done after 0.05 s" in ended.message
    assert outcomes(central)[1:3] == [("slow", "timeout"), ("second", "skipped")]
    assert central.ticks > 0


def test_a_step_returns_a_context() -> None:
    """A command that returns something else has failed."""
    central = FakeCentral()

    @command()
    def forgetful(context: Context) -> Context:
        return None  # type: ignore[return-value]

    ended = pipeline.run([forgetful], context_for(central))
    assert ended.message == "forgetful returned NoneType, expected a Context"


def test_the_reason_of_a_command_stands() -> None:
    """A reason that a command has set is not overwritten by what clean_up meets afterwards."""

    @command()
    def ending(context: Context) -> Context:
        return context.evolve(reason=PilotReason.IDLE, message="no job")

    ended = pipeline.run([ending, failing(PilotageError("late"))], context_for(FakeCentral()))
    assert (ended.reason, ended.message) == (PilotReason.IDLE, "no job")


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([second, first], "second needs 'one' from an earlier command: first does, but not before it"),
        ([second], "second needs 'one' from an earlier command: no command in it does"),
        ([first, first], "first is in it twice"),
        ([first, Command(lambda c: c, "rival", provides=("one",))], "first and rival both provide 'one'"),
    ],
)
def test_a_wrong_order_is_told(steps: list[Command], problem: str) -> None:
    """Needs that nobody meets earlier, doubles and rivals are problems of a pipeline."""
    assert problem in order_problems(steps)


def test_nothing_runs_of_a_pipeline_that_is_wrong() -> None:
    """A wrong pipeline is refused as a whole, with every problem."""
    with pytest.raises(PipelineError, match="configure needs 'node'.*configure needs 'software'"):
        assemble(["check_node", "configure", "run_jobs"])


def test_clean_up_is_always_there() -> None:
    """A pipeline that does not name clean_up has it all the same, at its end."""
    assert [step.name for step in assemble(["check_node", "discover"])] == ["check_node", "discover", "clean_up"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_such", "cannot be imported: ModuleNotFoundError"),
        ("nobody:here", "no bundle that came with the settings has it"),
        ("../evil", "expected the name of a command of ours, or module:attribute"),
        ("registry", "cannot be imported: AttributeError"),
    ],
)
def test_names_fail_loudly(name: str, problem: str) -> None:
    """What a name does not lead to is told; nothing ever takes its place."""
    with pytest.raises(PipelineError, match=".*") as caught:
        resolve(name, {})
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("attribute", "problem"),
    [
        ("missing", "cannot be imported: AttributeError"),
        ("plain", "is a function, not a command: decorate it with @command"),
    ],
)
def test_what_is_no_command_is_told(attribute: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attribute of a module that is not there, or is no command, is named with what to do."""
    theirs = types.ModuleType("tests_of_theirs")
    theirs.plain = lambda context: context  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tests_of_theirs", theirs)
    with pytest.raises(PipelineError, match=".*") as caught:
        load("tests_of_theirs", attribute, f"tests_of_theirs:{attribute}")
    assert problem in str(caught.value)


THEIRS = Command(lambda context: context, "lhcb:prepare", needs=("node",), provides=("software",))


def test_a_communitys_command_takes_its_place() -> None:
    """module:attribute is somebody's own command, and takes part like ours; it is never imported here."""
    names = ["check_node", "discover", "lhcb:prepare", "configure", "run_jobs"]
    assert assemble(names, {"lhcb:prepare": THEIRS})[2] is THEIRS
    assert "lhcb" not in sys.modules


def test_a_communitys_command_runs_apart() -> None:
    """What is not the pilot's own is handed to whoever starts processes for it, with its log; without one it fails."""

    class Apart(Bringing):
        def run(self, command: Command, context: Context, log: StepLog) -> Context:
            log.write(b"printed there\n")
            return context.evolve(environment={"RAN": command.name, "AS": context.command})

    central = FakeCentral()
    ended = pipeline.run([THEIRS], context_for(central), pipeline.Surroundings(Apart()))
    assert ended.environment == {"RAN": "lhcb:prepare", "AS": "lhcb:prepare"}
    assert (central.steps[-1].outcome, central.steps[-1].tail) == ("ok", "printed there")
    alone = pipeline.run([THEIRS], context_for(FakeCentral()))
    assert "needs a process of its own" in alone.message


def test_a_step_that_is_interrupted_gives_the_pilots_reason() -> None:
    """When the pilot is told to end while a step runs, that is why it ended, and not the step."""

    class Ending(Bringing):
        def run(self, command: Command, context: Context, log: StepLog) -> Context:
            raise Interrupted(PilotReason.SIGNAL, "the batch system wants the node")

    ended = pipeline.run([THEIRS], context_for(FakeCentral()), pipeline.Surroundings(Ending()))
    assert (ended.reason, ended.message) == (PilotReason.SIGNAL, "the batch system wants the node")


def test_settings_change_the_time_of_a_step() -> None:
    """A time limit of the settings takes the place of the command's own."""
    one, two = pipeline.timed([first, second], [Step("first", timeout=7), Step("second")])
    assert (one.timeout, two.timeout) == (7.0, 300)


def test_steps_say_when_they_began() -> None:
    """Each report of a step has the seconds from the pilot's start to the step's."""
    central = FakeCentral()
    pipeline.run([first], context_for(central), pipeline.Surroundings(started=-2.5))
    assert [step.began for step in central.steps] == [2.5, 2.5]


def test_the_table_says_what_the_commands_are() -> None:
    """The table by which the central checks pipelines is what the pilot's own commands say of themselves."""
    assert tuple(step.record() for step in assemble(())) == TABLE


class Bringing:
    """Brings commands, or a problem."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem

    def prepare(self, context: Context, names: Sequence[str], log: StepLog) -> dict[str, Command]:
        log.say("fetching")
        if self.problem:
            raise self.problem
        return {THEIRS.name: THEIRS}

    def run(self, command: Command, context: Context, log: StepLog) -> Context:
        raise AssertionError("nothing is run here")


WITH_THEIRS = Settings(pipeline=tuple(map(Step, ("check_node", "discover", "lhcb:prepare", "configure", "run_jobs"))))


def test_bringing_bundles_is_a_step_of_its_own() -> None:
    """Where commands of bundles are wanted, step 0 tells how long it took to bring them; without any there is none."""
    central = FakeCentral()
    steps = pipeline.assembled(
        context_for(central).evolve(settings=WITH_THEIRS), pipeline.Surroundings(Bringing(), started=-1.0)
    )
    assert THEIRS in steps
    assert [(step.number, step.command, step.outcome, step.began) for step in central.steps] == [
        (0, "bundles", None, 1.0),
        (0, "bundles", "ok", 1.0),
    ]
    central.steps.clear()
    assert [step.name for step in pipeline.assembled(context_for(central), pipeline.Surroundings())] == list(STANDARD)
    assert central.steps == []


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (PilotageError("the bundle tools cannot be fetched"), "the bundle tools cannot be fetched"),
        (OSError(28, "No space left on device"), "the bundles cannot be brought here: [Errno 28] No space left"),
    ],
)
def test_bundles_that_cannot_be_brought_are_a_failed_step(problem: Exception, message: str) -> None:
    """Whatever is in the way, nothing runs, and the step has the reason and the last lines."""
    central = FakeCentral()
    context = context_for(central).evolve(settings=WITH_THEIRS)
    with pytest.raises(PilotageError) as caught:
        pipeline.assembled(context, pipeline.Surroundings(Bringing(problem)))
    assert str(caught.value).startswith(message)
    assert (central.steps[-1].number, central.steps[-1].outcome) == (0, "failed")
    assert central.steps[-1].tail.startswith("fetching\n")


def test_without_processes_of_their_own_they_do_not_run() -> None:
    """Where nothing can start them, commands of bundles are refused before anything runs."""
    context = context_for(FakeCentral()).evolve(settings=WITH_THEIRS)
    with pytest.raises(PilotageError, match="need processes of their own"):
        pipeline.assembled(context, pipeline.Surroundings())
