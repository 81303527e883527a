"""The agents of a pilot as the monitor sees them: their last words, their ends, and what these make of the pilot's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pilot import messages
from pilot.endings import Ending
from pilot.link import Link, pair
from pilot.monitor.books import Books
from pilot.monitor.crew import Crew, Member, ending_of
from pilot.monitor.desk import STEPS, Desk
from pilot.monitor.holdings import Holdings
from pilot.protocol import Fact, Spool, StepReport
from pilot.states import PilotReason

IDLE = Ending(PilotReason.IDLE, "no job for 300 s")
DIED = Ending(PilotReason.AGENT_DIED, "agent 2 process ended with signal SIGKILL")


class Stub:
    """Stands in for what a desk passes messages on to, and for a process."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.kept: list[object] = []
        self.killed = 0

    def put(self, item: object) -> None:
        self.kept.append(item)

    def stop(self) -> None: ...

    def kill(self) -> None:
        self.killed += 1


class Scene:
    """One member, and the agent's end of its link."""

    def __init__(self, number: int = 2) -> None:
        ours, theirs = pair()
        self.agent = Link(theirs)
        self.stub = Stub(Link(ours))
        self.said: list[str] = []
        self.holdings = Holdings(lambda: None)
        self.member = Member(number, f"agent {number}", 0.0, self.said.append)
        self.member.process = self.stub  # type: ignore[assignment]
        self.member.matching = self.stub  # type: ignore[assignment]
        self.member.desk = Desk(
            number, self.member.tell, self.holdings, self.stub, self.stub, self.stub, self.stub, self.stub,  # type: ignore[arg-type]
            Books(0.0, 1, lambda: 0.0, 10.0), self.stub,  # type: ignore[arg-type]
        )  # fmt: skip


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.agent.end.close()
    scene.stub.link.end.close()


def test_last_words_are_heard(scene: Scene) -> None:
    """What an agent said before its process ended counts: it ended as it said, though it is heard later."""
    scene.agent.send(messages.Finished(PilotReason.NO_TIME, "20 s are left"))
    scene.agent.shut()
    ending = scene.member.part("exit code 0", None, lambda: 1.0)
    assert ending == Ending(PilotReason.NO_TIME, "20 s are left")
    assert scene.member.ending == ending


def test_an_agent_without_last_words_has_died(scene: Scene) -> None:
    """How its process ended and why it was killed are told; when the pilot was being stopped, that is the reason."""
    scene.agent.shut()
    scene.member.kill("it hung")
    assert scene.stub.killed == 1
    ending = scene.member.part("signal SIGKILL", None, lambda: 1.0)
    assert ending == Ending(PilotReason.AGENT_DIED, "agent 2 process ended with signal SIGKILL since it hung")
    stopped = scene.member.part("signal SIGKILL", Ending(PilotReason.HALTED, "ordered"), lambda: 1.0)
    assert stopped.reason is PilotReason.HALTED
    assert stopped.message.startswith("ordered; agent 2 process ended")


def test_nonsense_ends_an_agent(scene: Scene) -> None:
    """An agent that says what is no message is killed, and silent from then on."""
    scene.agent.end.sendall(b"nonsense\n")
    scene.member.listen(7.0)
    assert scene.stub.killed == 1
    assert scene.member.silent
    assert scene.said[0].startswith("agent 2 is killed: what it said is no message")


def test_steps_and_facts_of_several_agents(scene: Scene) -> None:
    """Steps carry the agent's number, and facts about the node are taken from the first alone."""
    scene.member.desk.take(messages.Step(1, StepReport(3, "discover", "ok")))
    scene.member.desk.take(messages.Facts((Fact("cores", 2, "here"),)))
    [step] = [item for item in scene.stub.kept if isinstance(item, messages.Step)]
    assert (step.report.number, step.report.command) == (STEPS + 3, "2/discover")
    assert scene.holdings.compose(1, 1, Spool()).facts == ()
    first = Scene(1)
    first.member.desk.take(messages.Step(1, StepReport(3, "discover", "ok")))
    first.member.desk.take(messages.Facts((Fact("cores", 2, "here"),)))
    assert first.stub.kept[0].report.command == "discover"  # type: ignore[attr-defined]
    assert [fact.name for fact in first.holdings.compose(1, 1, Spool()).facts] == ["cores"]
    first.agent.end.close()
    first.stub.link.end.close()


def test_all_are_told_but_those_that_have_ended(scene: Scene) -> None:
    """An order goes to every agent that lives."""
    crew = Crew()
    crew.members = [scene.member]
    crew.tell(messages.Kill(7, 1, "enough"))
    assert scene.agent.receive() == [messages.Kill(7, 1, "enough")]
    scene.member.ending = IDLE
    crew.tell(messages.Kill(8, 1, "enough"))
    scene.stub.link.shut()
    assert scene.agent.receive() is None
    assert crew.living() == []


def test_a_machine_that_lets_few_processes_start() -> None:
    """A pilot goes on with the agents that could be started, and says so; without any it cannot go on."""
    crew = Crew()
    said: list[str] = []
    crew.members = [Member(number, f"agent {number}", 0.0, said.append) for number in (1, 2, 3)]
    results = iter([object(), object(), BlockingIOError(11, "Resource temporarily unavailable")])

    def start() -> Any:
        result = next(results, OSError(12, "Cannot allocate memory"))
        if isinstance(result, OSError):
            raise result
        return result

    crew.start(start, said.append)
    assert [member.number for member in crew.members] == [1, 2]
    assert said == ["only 2 of 3 agents can be started: [Errno 11] Resource temporarily unavailable"]
    with pytest.raises(OSError, match="Cannot allocate"):
        crew.start(start, said.append)


def test_an_agent_that_hangs_is_killed_alone(scene: Scene) -> None:
    """An agent whose main loop has not turned for a minute is killed, once, with the reason: a tick is life, and what
    its other threads report is none."""
    scene.agent.send(messages.Tick())
    scene.member.listen(10.0)
    for second in range(0, 80, 2):
        scene.agent.send(messages.Progress(()))
        scene.member.listen(float(second))
        scene.member.look(float(second))
    assert scene.stub.killed == 1
    assert scene.said == ["agent 2 is killed: it hung: its main loop has not turned for 62 s"]


def test_the_end_of_a_pilot_is_that_of_its_last_agent() -> None:
    """The last agent's reason is the pilot's, unless one died."""
    late = Ending(PilotReason.NO_TIME, "20 s are left")
    assert ending_of([IDLE, late]) == late
    assert ending_of([IDLE, DIED, late]).reason is PilotReason.AGENT_DIED
    assert ending_of([IDLE]) == IDLE


def test_each_knows_whether_the_others_have_work() -> None:
    """Who works is told to the others, once, and that nobody does any more; one that works alone has nobody beside."""
    scenes = [Scene(1), Scene(2), Scene(3)]
    crew = Crew()
    crew.members = [scene.member for scene in scenes]
    told: list[list[bool]] = []
    for busy in ({2}, {2}, {2, 3}, set(), set()):
        crew.tell_who_works(busy)
        told.append([scene.member.beside for scene in scenes])
    assert told == [[True, False, True], [True, False, True], [True, True, True], [False] * 3, [False] * 3]
    for scene in scenes:
        assert scene.agent.receive() == [messages.Beside(True), messages.Beside(False)]
        scene.agent.end.close()
        scene.stub.link.end.close()
