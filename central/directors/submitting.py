"""Handing pilots over to a computing element: each intent is journalled first, each submission fenced by the epoch.

Whatever happens between two of the steps, the journal has the stamp: the next turn of whoever leads then looks for it
at the computing element, and either adopts it or hands it over again with another secret, never beside the first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from central.directors.plan import QueuePlan
from central.elements.port import ComputingElement, ComputingError, Submission, Trouble
from central.records import PilotRow, Tariff
from central.store.port import Store
from pilot.errors import Refusal
from pilot.states import PilotReason, PilotState

log = logging.getLogger(__name__)

_DEPOSED = "another central leads: it was not submitted"


@dataclass
class Handed:
    """What became of pilots that were handed over."""

    taken: int = 0
    refused: list[tuple[str, ComputingError]] = field(default_factory=list)  # stamps that the element will not have
    trouble: ComputingError | None = None  # the first that was not about one pilot alone, else the first


async def unpriced(now: float) -> None:
    """Nobody has put a price to machines."""


class Submitting:
    """The submissions of one queue. `script`: stamp → the wrapper's text; `tariff`: what a machine costs at a time."""

    def __init__(
        self,
        plan: QueuePlan,
        store: Store,
        computing: ComputingElement,
        duty: str,
        script: Callable[[str], str],
        tariff: Callable[[float], Awaitable[Tariff | None]] = unpriced,
    ) -> None:
        self.plan = plan
        self.store = store
        self.computing = computing
        self.duty = duty
        self.script = script
        self.tariff = tariff
        self._epoch = 0
        self._now = 0.0  # when this turn began
        self.began = 0.0  # when this epoch first looked: what others handed over before may be as young as that
        self._handed: dict[str, float] = {}  # stamp → when this epoch handed it over last

    def leads(self, epoch: int, now: float) -> None:
        """A turn begins, under this epoch."""
        self._now = now
        if epoch != self._epoch:
            self._epoch, self.began, self._handed = epoch, now, {}

    def handed_over(self, row: PilotRow) -> float:
        """When a pilot of the journal may have been handed over last."""
        if row.stamp in self._handed:
            return self._handed[row.stamp]
        return max(self.began, row.created) if row.state is PilotState.SUBMITTING else row.created

    async def hand_over(self, again: Sequence[PilotRow], fresh: int) -> Handed:
        """Submit the pilots of these rows once more, and so many new ones."""
        tariff = await self.tariff(self._now) if fresh else None
        # All at once, so that they share commits.
        found = await asyncio.gather(
            *(self._renewed(row.stamp) for row in again), *(self._planned(tariff) for _ in range(fresh))
        )
        submissions = [submission for submission in found if submission]
        return await self._submit(submissions) if submissions else Handed()

    async def _planned(self, tariff: Tariff | None) -> Submission | None:
        """Journal a new pilot; None when this central does not lead any more."""
        stamp, (secret, digest) = secrets.token_hex(16), _secret()
        await self.store.plan_pilot(self.plan.intent(stamp, digest, tariff))
        if await self.store.submitting(stamp, self.duty, self._epoch):
            return self._submission(stamp, secret)
        log.warning("queue %s: %s", self.plan.name, _DEPOSED)
        await self.store.end_pilot(stamp, PilotState.CANCELLED, PilotReason.CANCELLED, _DEPOSED)
        return None

    async def _renewed(self, stamp: str) -> Submission | None:
        """Give a pilot that is handed over again another secret; None when that is not ours to do, or it has called.

        The fence comes first: another leader's submission keeps its secret.
        """
        if not await self.store.submitting(stamp, self.duty, self._epoch):
            return None
        secret, digest = _secret()
        try:
            await self.store.renew_secret(stamp, digest, self.plan.secret_ttl)
        except Refusal as refusal:  # it has enrolled this moment
            log.info("queue %s: %s", self.plan.name, refusal)
            return None
        return self._submission(stamp, secret)

    def _submission(self, stamp: str, secret: str) -> Submission:
        return Submission(stamp, self.script(stamp), secret, self.plan.request)

    async def _submit(self, submissions: Sequence[Submission]) -> Handed:
        try:
            answers = await self.computing.submit(submissions)
        except ComputingError as error:
            answers = {submission.stamp: error for submission in submissions}
        now = await self.store.now()
        handed = Handed()
        self._handed.update((submission.stamp, now) for submission in submissions)
        silence = ComputingError("it said nothing of this pilot", Trouble.UNREACHABLE)
        told = {submission.stamp: answers.get(submission.stamp, silence) for submission in submissions}
        taken = {stamp: answer for stamp, answer in told.items() if not isinstance(answer, ComputingError)}
        await asyncio.gather(*(self.store.submitted(stamp, reference) for stamp, reference in taken.items()))
        handed.taken = len(taken)
        if taken:
            lines = [self.plan.line("pilot.send", stamp, f"as {reference}") for stamp, reference in taken.items()]
            await self.store.note(lines)
        for stamp, answer in told.items():
            if not isinstance(answer, ComputingError):
                self._handed.pop(stamp)
                continue
            log.warning("queue %s: %s", self.plan.name, answer)
            if not answer.transient:
                handed.refused.append((stamp, answer))
            if handed.trouble is None or (answer.transient and not handed.trouble.transient):
                handed.trouble = answer
        return handed


def _secret() -> tuple[str, str]:
    """A one-time secret, and the digest of it that is kept."""
    secret = secrets.token_urlsafe(32)
    return secret, hashlib.sha256(secret.encode()).hexdigest()
