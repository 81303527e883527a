"""What pilots report, as it comes: the usual ends in one statement, all else in a transaction, at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from central.records import Ended
from central.store.postgres import attempts, successes
from central.store.postgres.attempts import Report
from central.store.postgres.group import Group
from pilot.errors import Refusal

if TYPE_CHECKING:
    from central.store.postgres.transactions import Transactions

#: The end of an attempt, nothing new, or why it was not taken.
Answer: TypeAlias = "Ended | BaseException | None"


class Reports:
    """Reports that come together share transactions; those on one attempt are taken in their order."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._all = Group(self._taken)
        self._odd = Group(self._transacted)

    async def take(self, report: Report) -> Ended | None:
        """The end that it makes of its attempt, once that is durable; None: nothing ended by it."""
        return await self._all.ask(report)

    async def _taken(self, calls: Sequence[Report]) -> Sequence[Answer]:
        usual = successes.usual(calls)
        odd = sorted(set(range(len(calls))) - set(usual))
        answers: list[Answer] = [None] * len(calls)
        ends, others = await asyncio.gather(
            self._ended([calls[number] for number in usual]), self._others([calls[number] for number in odd])
        )
        for number, answer in zip((*usual, *odd), (*ends, *others), strict=True):
            answers[number] = answer
        return answers

    async def _ended(self, calls: Sequence[Report]) -> Sequence[Answer]:
        """The usual way, and the general one for what that leaves alone or cannot do."""
        if not calls:
            return ()
        answers: list[Answer] = [None] * len(calls)
        try:
            answers[:] = await self._transactions.alone(successes.end, calls)
            self._transactions.shared(len(calls) - answers.count(None) - 1)
        except Refusal as refusal:
            if refusal.transient:
                return [refusal] * len(calls)
        left = [number for number, answer in enumerate(answers) if answer is None]
        for number, answer in zip(left, await self._others([calls[number] for number in left]), strict=True):
            answers[number] = answer
        return answers

    async def _others(self, calls: Sequence[Report]) -> Sequence[Answer]:
        return await asyncio.gather(*map(self._odd.ask, calls), return_exceptions=True) if calls else ()

    async def _transacted(self, calls: Sequence[Report]) -> Sequence[Answer]:
        answers = await self._transactions.untimed(attempts.report, calls)
        self._transactions.shared(len(calls) - 1)
        return answers
