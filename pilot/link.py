"""The socket pair between monitor and agent: one message a line, both ends, and the agent's view of the central."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Callable, Optional

from commands.context import Orders
from pilot import messages
from pilot.errors import InvalidInput, TransportError
from pilot.ledger import Happened
from pilot.messages import Answer, Hello, Message
from pilot.protocol import AttemptId, AttemptReport, Fact, Lease, LeaseReport, MatchReply, Offer, StepReport
from pilot.states import PilotReason

#: Bytes of one message: a match reply with many large jobs, and some.
MAX_LINE = 32 * 1024 * 1024
#: Bytes read at once: below what malloc would ask the kernel for each time.
CHUNK = 64 * 1024
#: Seconds after which the other side, which reads nothing, counts as gone.
SEND_TIMEOUT = 60
#: Seconds between two looks of who waits for an answer, and the least between two ticks.
SLICE = 1.0
#: Seconds that payloads get to end when the monitor has died.
ORPHAN_GRACE = 10.0


class Lines:
    """Cuts a stream of bytes into lines."""

    def __init__(self, most: int = MAX_LINE) -> None:
        self.most = most
        self.kept = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now. Raises `InvalidInput` when one grows beyond the bound."""
        *complete, rest = chunk.split(b"\n")
        if complete:
            complete[0] = bytes(self.kept) + complete[0]
            self.kept.clear()
        self.kept += rest
        if len(self.kept) > self.most:
            raise InvalidInput("link", f"expected messages of at most {self.most} bytes")
        return complete


class Link:
    """One end. `send` may be called from any thread, `receive` from one."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.lines = Lines()
        self.sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Raises `TransportError` when the other side is gone or has read nothing for long."""
        line = messages.pack(message)
        try:
            with self.sending:
                self.end.sendall(line)
        except OSError as error:
            # Half a line may be out: nothing sensible can follow it.
            self.shut()
            raise TransportError(f"the other end of the link does not listen: {error}") from error

    def receive(self) -> Optional[list[Message]]:
        """What has arrived, after waiting for something; None at the end. Raises `InvalidInput`."""
        try:
            chunk = self.end.recv(CHUNK)
        except OSError:
            return None
        if not chunk:
            return None
        return [messages.unpack(line) for line in self.lines.feed(chunk)]

    def shut(self) -> None:
        """End the conversation; both sides see the end."""
        try:
            self.end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def bounded(end: socket.socket) -> socket.socket:
    """The same end, whose sends give up after SEND_TIMEOUT while its receives wait without end."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_TIMEOUT, 0))
    return end


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new link: the monitor's, and the agent's to inherit."""
    ours, theirs = socket.socketpair()
    return bounded(ours), bounded(theirs)


def connect(fd: int) -> tuple[Link, Hello, list[Message]]:
    """The agent's end of an inherited link, the monitor's greeting, and what came with it.

    Raises `TransportError` when the monitor is gone already, `InvalidInput` when it is something else.
    """
    end = socket.socket(fileno=fd)
    end.set_inheritable(False)  # no payload is to speak with the monitor
    link = Link(bounded(end))
    arrived: list[Message] = []
    while not arrived:
        more = link.receive()
        if more is None:
            end.close()
            raise TransportError("the monitor ended before it greeted the agent")
        arrived += more
    hello = arrived.pop(0)
    if not isinstance(hello, Hello):
        end.close()
        raise InvalidInput("link", f"expected the monitor's greeting, got {type(hello).__name__}")
    return link, hello, arrived


class LinkedCentral:
    """The central as commands see it (`commands.context.Central`), through the monitor; and `finished`, for the agent.

    Every call may come from any thread. Once the monitor has died, `monitor_died` is set, the receiver of orders is
    told to stop, and calls raise `TransportError`.
    """

    def __init__(self, link: Link, say: Callable[[str], None]) -> None:
        self.link = link
        self.say = say
        self.monitor_died = threading.Event()
        self._ids = itertools.count(1)
        self._changed = threading.Condition()
        self._answers: dict[int, Optional[Answer]] = {}  # id → the answer, once it is there
        self._receiver: Optional[Orders] = None
        self._early: list[Message] = []  # orders that came before there was a receiver
        self._ticked = 0.0

    def start(self, arrived: Sequence[Message] = ()) -> None:
        """Begin to listen; `arrived` is what `connect` had read already."""
        for message in arrived:
            self._take(message)
        threading.Thread(target=self._listen, name="link", daemon=True).start()

    # -- commands.context.Central -----------------------------------------------------------------------------------

    def match(self, offer: Offer, most: int, wait: float) -> MatchReply:
        answer = self._ask(lambda id: messages.AskMatch(id, offer, most, wait))
        if answer.match is None:
            return MatchReply(0, detail=answer.problem)
        # Told before the caller sees the leases: what was never counted was never started.
        if answer.match.number:
            self.link.send(messages.Got(answer.match.number))
        return answer.match

    def report(self, job: int, attempt: int, report: AttemptReport) -> None:
        self._done(lambda id: messages.Report(id, job, attempt, report))

    def release(self, leases: Sequence[Lease], why: str) -> None:
        ids = tuple(AttemptId(lease.job, lease.attempt) for lease in leases)
        self._done(lambda id: messages.Release(id, ids, why))

    def progress(self, leases: Sequence[LeaseReport]) -> None:
        self.link.send(messages.Progress(tuple(leases)))

    def stream(self, name: str, path: Path) -> None:
        self.link.send(messages.Stream(name, path))

    def close_stream(self, name: str) -> None:
        self.link.send(messages.CloseStream(name))

    def orders(self, receiver: Orders) -> None:
        with self._changed:
            self._receiver = receiver
            early, self._early = self._early, []
        for message in early:
            _hand(message, receiver)

    def step(self, report: StepReport) -> None:
        """A command has started or ended."""
        self._done(lambda id: messages.Step(id, report))

    def facts(self, facts: Sequence[Fact]) -> None:
        """What was found out about the node, for the next heartbeat."""
        self.link.send(messages.Facts(tuple(facts)))

    def lifetime(self, seconds: int) -> None:
        self.link.send(messages.Lifetime(seconds))

    def tick(self) -> None:
        """Say that the agent's main loop turns; without it for a minute the monitor takes the agent for hung.

        Only the main loop says so: that other threads still wait, measure and report proves nothing about it.
        """
        now = time.monotonic()
        if now - self._ticked >= SLICE and not self.monitor_died.is_set():
            self._ticked = now
            self.link.send(messages.Tick())

    # -- for the agent itself ---------------------------------------------------------------------------------------

    def happened(self, what: Happened) -> None:
        """Something for the books. Without a monitor there are none."""
        with suppress(TransportError):
            self.link.send(what)

    def finished(self, reason: PilotReason, message: str) -> None:
        """The last word: nothing runs any more, and the agent is about to exit."""
        self.link.send(messages.Finished(reason, message))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _done(self, question: Callable[[int], Message]) -> None:
        answer = self._ask(question)
        if answer.problem:
            raise TransportError(f"the monitor could not take this over: {answer.problem}")

    def _ask(self, question: Callable[[int], Message]) -> Answer:
        with self._changed:
            id = next(self._ids)
            self._answers[id] = None
        try:
            self.link.send(question(id))
            while True:
                with self._changed:
                    answer = self._answers[id]
                    if answer is None and not self.monitor_died.is_set():
                        self._changed.wait(SLICE)
                        answer = self._answers[id]
                if answer is not None:
                    return answer
                if self.monitor_died.is_set():
                    raise TransportError("the monitor process has died")
        finally:
            with self._changed:
                del self._answers[id]

    def _listen(self) -> None:
        try:
            while True:
                arrived = self.link.receive()
                if arrived is None:
                    break
                for message in arrived:
                    self._take(message)
        except InvalidInput as error:
            self.say(f"what came over the link was no message: {error}")
        self.link.shut()
        with self._changed:
            self.monitor_died.set()
            self._changed.notify_all()
        self._take(messages.Stop(PilotReason.INTERNAL, "the monitor process died", ORPHAN_GRACE))

    def _take(self, message: Message) -> None:
        with self._changed:
            if isinstance(message, Answer):
                if message.id in self._answers:
                    self._answers[message.id] = message
                    self._changed.notify_all()
                return
            receiver = self._receiver
            if receiver is None:
                self._early.append(message)
                return
        try:
            _hand(message, receiver)
        except Exception as error:  # noqa: BLE001 - the receiver's fault must not end the listening
            self.say(f"an order was not carried out: {type(message).__name__}: {error!r}")


def _hand(message: Message, receiver: Orders) -> None:
    """Call the receiver's method for an order."""
    if isinstance(message, messages.Kill):
        receiver.kill(message.job, message.attempt, message.reason)
    elif isinstance(message, messages.Show):
        receiver.show(message.job, message.attempt, message.order, message.argument)
    elif isinstance(message, messages.Renewed):
        receiver.renew(message.job, message.attempt, message.credentials)
    elif isinstance(message, messages.Gone):
        receiver.gone(message.job, message.attempt)
    elif isinstance(message, messages.Drain):
        receiver.drain(message.reason, message.message)
    elif isinstance(message, messages.Stop):
        receiver.stop(message.reason, message.message, message.grace, message.files)
    elif isinstance(message, messages.Lifetime):
        receiver.lifetime(message.seconds)
    elif isinstance(message, messages.Beside):
        receiver.beside(message.busy)
