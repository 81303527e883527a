"""The socket pair between monitor and agent."""

import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot import link, messages
from pilot.errors import InvalidInput, TransportError
from pilot.link import Lines, Link, LinkedCentral
from pilot.protocol import AttemptReport, Credential, JobSpec, Lease, MatchReply, Offer
from pilot.states import Phase, PilotReason

OFFER = Offer("site", "queue")


@given(lines=st.lists(st.binary(max_size=50).map(lambda line: line.replace(b"\n", b"")), max_size=10), data=st.data())
def test_lines_however_they_arrive(lines: list[bytes], data: Any) -> None:
    """Lines come out whole wherever the stream is cut."""
    stream = b"".join(line + b"\n" for line in lines)
    cutter, found = Lines(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += cutter.feed(stream[:size])
        stream = stream[size:]
    assert found == lines


def test_lines_have_a_bound() -> None:
    """Nobody fills our memory with a line that never ends."""
    cutter = Lines(most=10)
    assert cutter.feed(b"0123456789\n012345") == [b"0123456789"]
    with pytest.raises(InvalidInput, match="at most 10 bytes"):
        cutter.feed(b"678901")


class Monitor:
    """The other end, which reads one message after another."""

    def __init__(self, end: socket.socket) -> None:
        self.link = Link(end)
        self.arrived: list[messages.Message] = []

    def next(self, kind: type) -> Any:
        """The next message, ticks left out."""
        while True:
            while not self.arrived:
                more = self.link.receive()
                assert more is not None
                self.arrived += more
            message = self.arrived.pop(0)
            if not isinstance(message, messages.Tick):
                assert isinstance(message, kind)
                return message


class Receiver:
    """Notes orders."""

    def __init__(self) -> None:
        self.orders: list[tuple[Any, ...]] = []
        self.came = threading.Event()

    def _note(self, *order: Any) -> None:
        self.orders.append(order)
        self.came.set()

    def kill(self, job: int, attempt: int, reason: str) -> None:
        self._note("kill", job, attempt, reason)

    def renew(self, job: int, attempt: int, credentials: Sequence[Credential]) -> None:
        self._note("renew", job, attempt, [one.name for one in credentials])

    def gone(self, job: int, attempt: int) -> None:
        self._note("gone", job, attempt)

    def drain(self, reason: PilotReason, message: str) -> None:
        self._note("drain", reason, message)

    def stop(self, reason: PilotReason, message: str, grace: float, files: float = 0.0) -> None:
        self._note("stop", reason, message, grace)

    def lifetime(self, seconds: int) -> None:
        self._note("lifetime", seconds)

    def beside(self, busy: bool) -> None:
        self._note("beside", busy)


@pytest.fixture
def ends() -> Iterator[tuple[Monitor, LinkedCentral]]:
    ours, theirs = link.pair()
    with ours, theirs:
        central = LinkedCentral(Link(theirs), print)
        central.start()
        yield Monitor(ours), central
        ours.close()
        assert central.monitor_died.wait(10)


class Call(threading.Thread):
    """A call made in a thread, and what came of it."""

    def __init__(self, call: Any) -> None:
        super().__init__(daemon=True)
        self.call = call
        self.result: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.call()
        except TransportError as error:
            self.result = error

    def outcome(self) -> Any:
        self.join(10)
        assert not self.is_alive()
        return self.result


def test_match(ends: tuple[Monitor, LinkedCentral]) -> None:
    """A match is asked, answered, and confirmed before the caller sees its leases."""
    monitor, central = ends
    call = Call(lambda: central.match(OFFER, 2, 30.0))
    question = monitor.next(messages.AskMatch)
    assert (question.offer, question.most, question.wait) == (OFFER, 2, 30.0)
    reply = MatchReply(7, (Lease(1, 1, 600, JobSpec(("true",)), "token", 1),))
    monitor.link.send(messages.Answer(question.id, reply))
    assert call.outcome() == reply
    assert monitor.next(messages.Got) == messages.Got(7)


def test_newer_match_while_one_waits(ends: tuple[Monitor, LinkedCentral]) -> None:
    """Two requests may be out at once; each gets its own answer, in any order."""
    monitor, central = ends
    older = Call(lambda: central.match(OFFER, 1, 30.0))
    first = monitor.next(messages.AskMatch)
    newer = Call(lambda: central.match(OFFER, 2, 30.0))
    second = monitor.next(messages.AskMatch)
    monitor.link.send(messages.Answer(second.id, MatchReply(2)))
    assert newer.outcome().number == 2
    monitor.link.send(messages.Answer(first.id, MatchReply(1, reason="superseded")))
    assert older.outcome().reason == "superseded"


def test_match_without_an_answer(ends: tuple[Monitor, LinkedCentral]) -> None:
    """When no central answers the agent gets nothing, and nothing is confirmed."""
    monitor, central = ends
    call = Call(lambda: central.match(OFFER, 1, 0.0))
    monitor.link.send(messages.Answer(monitor.next(messages.AskMatch).id, problem="away"))
    assert call.outcome() == MatchReply(0, detail="away")


def test_report_returns_once_it_is_safe(ends: tuple[Monitor, LinkedCentral]) -> None:
    """A report returns when the monitor has it, and not before."""
    monitor, central = ends
    call = Call(lambda: central.report(1, 2, AttemptReport(Phase.RUNNING)))
    message = monitor.next(messages.Report)
    assert (message.job, message.attempt, message.report.phase) == (1, 2, Phase.RUNNING)
    assert call.is_alive()
    monitor.link.send(messages.Answer(message.id))
    assert call.outcome() is None


def test_orders_reach_the_receiver(ends: tuple[Monitor, LinkedCentral]) -> None:
    """Orders are handed to the receiver, those that came before it too."""
    monitor, central = ends
    receiver = Receiver()
    monitor.link.send(messages.Kill(1, 2, "because"))
    monitor.link.send(messages.Gone(3, 4))
    # An answered question: both orders have been read by then.
    call = Call(lambda: central.report(1, 1, AttemptReport(Phase.RUNNING)))
    monitor.link.send(messages.Answer(monitor.next(messages.Report).id))
    call.outcome()
    central.orders(receiver)
    assert receiver.orders == [("kill", 1, 2, "because"), ("gone", 3, 4)]
    receiver.came.clear()
    monitor.link.send(messages.Renewed(1, 2, (Credential("eos", "bearer", {"token": "abcdef"}),)))
    assert receiver.came.wait(10)
    assert receiver.orders[-1] == ("renew", 1, 2, ["eos"])
    receiver.came.clear()
    monitor.link.send(messages.Drain(PilotReason.DRAINED, "maintenance"))
    assert receiver.came.wait(10)
    assert receiver.orders[-1] == ("drain", PilotReason.DRAINED, "maintenance")
    receiver.came.clear()
    monitor.link.send(messages.Beside(True))
    assert receiver.came.wait(10)
    assert receiver.orders[-1] == ("beside", True)


def test_monitor_dies(ends: tuple[Monitor, LinkedCentral]) -> None:
    """When the monitor is gone the agent is told to stop, and whoever waits is freed."""
    monitor, central = ends
    receiver = Receiver()
    central.orders(receiver)
    call = Call(lambda: central.match(OFFER, 1, 30.0))
    monitor.next(messages.AskMatch)
    monitor.link.end.shutdown(socket.SHUT_RDWR)
    assert isinstance(call.outcome(), TransportError)
    assert receiver.came.wait(10)
    assert receiver.orders[0][:3] == ("stop", PilotReason.INTERNAL, "the monitor process died")
    with pytest.raises(TransportError):
        central.report(1, 1, AttemptReport(Phase.RUNNING))


def test_connect_waits_for_the_greeting() -> None:
    """An agent whose monitor ends before it says hello is told so."""
    ours, theirs = link.pair()
    ours.close()
    with pytest.raises(TransportError, match="ended before it greeted"):
        link.connect(theirs.detach())


def test_not_a_message() -> None:
    """What is no message of the link is named."""
    for line in (b"{}", b'["Nonsense",{}]', b'["Gone",{"job":1}]', b"\xff"):
        with pytest.raises(InvalidInput):
            messages.unpack(line)
