"""Match requests of the agent, passed on to the central: each under a number, repeated until it is answered."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Callable, Optional

from pilot import messages
from pilot.backoff import Backoff
from pilot.errors import Refusal, TransportError
from pilot.monitor.central_client import CentralClient
from pilot.monitor.holdings import Holdings
from pilot.protocol import AttemptId, Lease, MatchReply, MatchRequest, Offer

#: Seconds beyond its wait after which the agent gets an empty answer, when no central gives any.
PATIENCE = 60.0
#: Refusals after which the same number may be sent again.
AGAIN = frozenset({"busy", "too-many", "internal", "clock-skew", "token-expired", "bad-signature"})


class Matching:
    """The requests of one agent. A newer one may be sent while an older one is held at the central.

    `answer` hands an answer to the agent and may raise `TransportError`; `leased` hears of leases before the agent
    does; `give_back` takes leases that nobody wants any more.
    """

    def __init__(
        self,
        client: CentralClient,
        holdings: Holdings,
        *,
        agent: int,
        answer: Callable[[messages.Answer], None],
        leased: Callable[[tuple[Lease, ...]], None],
        give_back: Callable[[messages.Release], None],
        refused: Callable[[Refusal], None],
        steady: Callable[[], float],
        rng: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self.client = client
        self.holdings = holdings
        self.agent = agent
        self.answer = answer
        self.leased = leased
        self.give_back = give_back
        self.refused = refused
        self.steady = steady
        self.rng = rng
        self.say = say
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._waiting: set[int] = set()  # questions without an answer yet
        self._said = 0  # the last number of which the log says that it is repeated

    def ask(self, question: messages.AskMatch) -> None:
        """Pass a request on; its answer follows from another thread."""
        with self._lock:
            self._waiting.add(question.id)
        if self._stopped.is_set():
            self._tell(question.id, None, "the pilot takes no new jobs")
            return
        number = self.holdings.ask(self.agent)
        try:
            threading.Thread(target=self._ask, args=(question, number), name=f"match {number}", daemon=True).start()
        except RuntimeError as error:  # a payload may have used up what processes this user may have
            self.holdings.give_up(self.agent, number)
            self._tell(question.id, None, f"no thread for a match request: {error}")

    def stop(self) -> None:
        """No new jobs: whoever waits gets an empty answer, and leases that come nevertheless are given back."""
        self._stopped.set()
        with self._lock:
            waiting = sorted(self._waiting)
        for id in waiting:
            self._tell(id, None, "the pilot takes no new jobs")

    def retire(self, nothing: Offer, then: Callable[[], None]) -> None:
        """The agent has gone, others of the pilot go on. An offer of nothing takes the place of what it last asked.

        `then` is called from another thread when the central knows, or does not answer.
        """
        self.stop()
        try:
            threading.Thread(target=self._retire, args=(nothing, then), name="retire", daemon=True).start()
        except RuntimeError:
            then()  # no thread to be had: then the central hears of it with the pilot's end

    def _retire(self, nothing: Offer, then: Callable[[], None]) -> None:
        try:
            self._offer_nothing(nothing)
        finally:
            then()

    def _offer_nothing(self, nothing: Offer) -> None:
        number = self.holdings.ask(self.agent)
        try:
            reply = self.client.match(MatchRequest(number, nothing, self.agent))
        except (TransportError, Refusal):
            self.holdings.give_up(self.agent, number)
            return  # then the central hears of it with the pilot's end
        self.holdings.hand(self.agent, number, reply.leases)
        self._give_back(number, "the agent has ended")

    def _give_back(self, number: int, why: str) -> None:
        late = self.holdings.settle(self.agent, number)
        if late:
            self.give_back(messages.Release(0, tuple(AttemptId(lease.job, lease.attempt) for lease in late), why))

    def _ask(self, question: messages.AskMatch, number: int) -> None:
        backoff = Backoff(self.rng)
        deadline = self.steady() + question.wait + PATIENCE
        while True:
            problem, retry_after = "", None
            try:
                request = MatchRequest(number, question.offer, self.agent, question.most, question.wait)
                reply = self.client.match(request)
            except TransportError as error:
                problem = f"no central answers: {error}"
            except Refusal as refusal:
                self.refused(refusal)
                if refusal.type not in AGAIN:
                    self._hand(question, _empty(number, refusal))
                    return
                problem, retry_after = f"{refusal.type}: {refusal}", refusal.retry_after
            else:
                self._hand(question, replace(reply, number=number))
                return
            if self._said != number:
                self._said = number
                self.say(f"match request {number} is repeated until it is answered: {problem}")
            wait = backoff.failed(retry_after)
            if self.steady() + wait > deadline or self._stopped.wait(wait):
                self.holdings.give_up(self.agent, number)
                self._tell(question.id, None, problem)
                return

    def _hand(self, question: messages.AskMatch, reply: MatchReply) -> None:
        self.leased(reply.leases)
        self.holdings.hand(self.agent, reply.number, reply.leases)
        if not self._tell(question.id, reply, ""):
            self._give_back(reply.number, "the pilot takes no new jobs")

    def _tell(self, id: int, reply: Optional[MatchReply], problem: str) -> bool:
        """Answer a question once. Whether this was the answer that the agent gets."""
        with self._lock:
            if id not in self._waiting:
                return False
            self._waiting.discard(id)
        try:
            self.answer(messages.Answer(id, reply, problem))
        except TransportError:
            pass  # the agent has gone: what it never had is given back when its end is seen
        return True


def _empty(number: int, refusal: Refusal) -> MatchReply:
    """A refusal as the agent sees it: nothing, and why."""
    reason = refusal.type if refusal.type in ("draining", "superseded") else None
    return MatchReply(
        number,
        reason=reason,  # type: ignore[arg-type]
        detail=str(refusal),
        retry_after=refusal.retry_after or 0.0,
    )
