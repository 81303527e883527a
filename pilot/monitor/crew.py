"""The agents of one pilot, as its monitor sees them: their processes, what they were asked, and how each ended."""

from __future__ import annotations

import select
from collections.abc import Collection, Sequence
from typing import Callable, Optional

from pilot import messages
from pilot.endings import Ending
from pilot.errors import InvalidInput, TransportError
from pilot.monitor.agent_process import AgentProcess
from pilot.monitor.desk import Desk
from pilot.monitor.matching import Matching
from pilot.monitor.vigil import Vigil
from pilot.states import PilotReason

#: Seconds for what an agent said last to arrive.
LAST_WORDS = 1.0


class Member:
    """One agent, from its start to its end. For the main thread, but for `tell` and `answer`."""

    def __init__(self, number: int, name: str, now: float, say: Callable[[str], None]) -> None:
        self.number = number
        self.name = name
        self.say = say
        self.vigil = Vigil(now)
        self.desk: Desk  # these three once they are there
        self.matching: Matching
        self.process: AgentProcess
        self.killed_why = ""
        self.beside = False  # whether others of the crew have work, as it was told
        self.ending: Optional[Ending] = None  # once its process has ended

    def tell(self, message: messages.Message) -> None:
        try:
            self.process.link.send(message)
        except TransportError:
            pass  # its end is seen elsewhere

    def answer(self, answer: messages.Answer) -> None:
        """Raises `TransportError`."""
        self.process.link.send(answer)

    @property
    def silent(self) -> bool:
        """Whether nothing more can come over its link."""
        return self.vigil.silent_since is not None

    def listen(self, now: float) -> None:
        """Take what it says; to be called when there is something, or it has fallen silent."""
        try:
            arrived = self.process.link.receive()
        except InvalidInput as error:
            self.kill(f"what it said is no message: {error}")
            arrived = None
        if arrived is None:
            self.vigil.silent_since = self.vigil.silent_since or now
            return
        for message in arrived:
            if isinstance(message, messages.Tick):
                self.vigil.heard = now
            self.desk.take(message)

    def kill(self, why: str) -> None:
        self.killed_why = why
        self.say(f"{self.name} is killed: {why}")
        self.process.kill()

    def look(self, now: float) -> None:
        """Kill it when time says so."""
        why = self.vigil.look(now)
        if why and not self.killed_why:
            self.kill(why)

    def part(self, how: str, stopping: Optional[Ending], now: Callable[[], float]) -> Ending:
        """Its process has ended: hear what it said before, and conclude. `stopping` is why the pilot ends, if so."""
        while self.vigil.silent_since is None and select.select([self.process.link.end], [], [], LAST_WORDS)[0]:
            self.listen(now())
        last = self.desk.finished
        if last is not None:
            self.ending = Ending(last.reason, last.message)
            return self.ending
        what = f"{self.name} process ended with {how}" + (f" since {self.killed_why}" if self.killed_why else "")
        self.say(what)
        if stopping is not None:
            self.ending = Ending(stopping.reason, f"{stopping.message}; {what}")
        else:
            self.ending = Ending(PilotReason.AGENT_DIED, what)
        return self.ending


class Crew:
    """All of them, numbered from 1. `members` is set before they are started."""

    def __init__(self) -> None:
        self.members: Sequence[Member] = ()

    def start(self, start: Callable[[], AgentProcess], say: Callable[[str], None]) -> None:
        """Start as many as the machine lets us. Raises `OSError` when that is not even one."""
        started = 0
        try:
            for member in self.members:
                member.process = start()
                started += 1
        except OSError as error:
            if not started:
                raise
            say(f"only {started} of {len(self.members)} agents can be started: {error}")
            self.members = self.members[:started]

    def living(self) -> list[Member]:
        """Those whose processes have not ended, as far as was seen."""
        return [member for member in self.members if member.ending is None]

    def tell(self, message: messages.Message) -> None:
        """Tell all of them: who does not hold an attempt makes nothing of an order about it."""
        for member in self.living():
            member.tell(message)

    def tell_who_works(self, busy: Collection[int]) -> None:
        """Tell those who do not know it yet whether others have work, or none has any more."""
        for member in self.living():
            beside = any(number != member.number for number in busy)
            if beside != member.beside:
                member.beside = beside
                member.tell(messages.Beside(beside))

    def take_no_more(self) -> None:
        """No match requests from now on."""
        for member in self.members:
            member.matching.stop()

    def over(self, job: int, attempt: int) -> None:
        """The lease is no longer ours to speak of. Any desk sees to that, whoever had it."""
        self.members[0].desk.over(job, attempt)

    def pids(self) -> list[int]:
        """The processes for which somebody waits."""
        return [member.process.pid for member in self.living()]


def ending_of(endings: Sequence[Ending]) -> Ending:
    """How a pilot ended whose agents ended so, the last of them last: as one that died if any did, else as the last."""
    died = [ending for ending in endings if ending.reason is PilotReason.AGENT_DIED]
    return died[0] if died else endings[-1]
