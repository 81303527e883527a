"""Match requests of pilots whose machine fails jobs: they wait for it to be tried again, or to be trusted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from central.clock import Clock
from central.dispatching.held import Answer, Held, HeldRequests
from central.explanations.explain import suspected
from central.matching.task_queues import Choice
from central.store.port import Store

#: Seconds after which a machine is looked at again, whatever was heard: another central may have heard what matters.
LOOK = 5.0

#: Lets a request wait for so many seconds, and then take the choice or the answer that the callable gives.
Hold = Callable[[float, Callable[[], Choice | Answer]], Awaitable[Choice | Answer]]


class Doubts:
    """Holds such requests. `later` says when to ask again of what is over in so many seconds."""

    def __init__(
        self,
        store: Store,
        held: HeldRequests,
        clock: Clock,
        jitter: Callable[[], float],
        later: Callable[[float], float],
    ) -> None:
        self._store = store
        self._held = held
        self._clock = clock
        self._jitter = jitter
        self._later = later

    async def settled(self, held: Held, most: int, hold: Hold) -> Answer | None:
        """Wait until the machine may have a job: `most` of them when nothing is held against it any more, else one.

        Returns the answer when it may have none before the deadline, or the request is over for another reason.
        """
        self._held.bar(held)
        while True:
            held.stirred = False
            suspicion = (await self._store.pilot(held.stamp)).suspect
            now = await self._store.now()
            why = suspected(suspicion, now)
            if suspicion is None or not why:
                self._held.unbar(held)
                held.most = 1 if suspicion else most
                return None
            if held.stirred:  # an attempt has ended there while the store was asked
                continue
            left = suspicion.next - now
            outcome = await hold(min(left, LOOK) if left > 0 else LOOK, self._after(held, why, left))
            if isinstance(outcome, Answer):
                return outcome

    def _after(self, held: Held, why: str, left: float) -> Callable[[], Choice | Answer]:
        """What becomes of a request that has waited: another look, or its answer."""
        banned = Answer((), "banned", f"the machine is {why}", self._later(left))

        def after() -> Choice | Answer:
            if self._clock.now() < held.deadline:
                return Choice((), held.free)
            return banned._replace(retry_after=self._jitter()) if held.turn is not None else banned

        return after
