"""Which communities a pilot serves: where payloads share its account one alone, that of the first job it is given.

The store knows to whom a pilot is bound, and a claim for anybody else wins nothing there. What is remembered here
spares asking it, and keeps jobs of others from being chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from central.dispatching.held import Held, HeldRequests
from central.fleet.presence import Presence
from central.matching.task_queues import Choice, TaskQueues, parted
from central.records import PilotRow
from central.store.port import Store
from pilot.protocol import Offer


class Binding:
    """Binds pilots. `together`: whether payloads of several communities may share an account at that queue."""

    def __init__(
        self,
        store: Store,
        queues: TaskQueues,
        held: HeldRequests,
        presence: Presence,
        together: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._queues = queues
        self._held = held
        self._presence = presence
        self._together = together
        self._known: dict[str, str] = {}  # stamp → its community, which stays; rows of pilots are seconds old

    def placed(self, offer: Offer, pilot: PilotRow) -> Offer:
        """The offer with what is known of the pilot; it nearly always says the same, and a copy costs a claim's
        share."""
        bound = pilot.bound or self._known.get(pilot.stamp)
        communities = _narrowed((bound,) if bound else pilot.communities, offer.communities)
        if (offer.site, offer.queue, offer.communities) == (pilot.site, pilot.queue, communities):
            return offer
        return replace(offer, site=pilot.site, queue=pilot.queue, communities=communities)

    def is_due(self, offer: Offer, pilot: PilotRow) -> bool:
        """Whether the pilot is to be bound with its next jobs: it is not as far as is known, and did not prove that
        payloads are kept from each other."""
        return (
            len(pilot.communities) > 1
            and not offer.isolation
            and not pilot.bound
            and pilot.stamp not in self._known
            and not self._together(pilot.queue)
        )

    async def bind(self, held: Held, choice: Choice) -> Choice:
        """Bind the pilot to the community of the first pick: what of the choice is of that community, the rest is given
        back. Where it serves another already nothing is left."""
        communities = {pick.queue: self._community(pick.queue) for pick in choice.picks}
        community = communities[choice.picks[0].queue]
        bound = await self._store.bind(held.stamp, community)
        if bound != community:
            self.keep(held, bound)
            self._held.give_back(choice)
            return Choice((), held.free)
        ours, others = parted(choice, {queue for queue, whose in communities.items() if whose == bound})
        if others.picks:
            self._held.give_back(others)
        return ours

    async def look(self, held: Held) -> None:
        """A claim has found the pilot bound by another central, or under another rule: to whom."""
        if bound := (await self._store.pilot(held.stamp)).bound:
            self.keep(held, bound)

    def keep(self, held: Held, community: str) -> None:
        """The pilot that has asked serves that community alone: neither what it has left nor what its agents ask for is
        for others."""
        self._known[held.stamp] = community
        self._presence.bound(held.stamp, community)
        for one in (held, *self._held.of(held.stamp)):
            one.bind(community)

    def tidy(self, stamps: Collection[str]) -> None:
        """Forget pilots but these."""
        for stamp in self._known.keys() - stamps:
            del self._known[stamp]

    def _community(self, queue: int) -> str:
        task = self._queues.task(queue)
        assert task is not None  # noqa: S101 - a queue of which jobs are reserved stays known
        return task.community


def _narrowed(communities: tuple[str, ...], offered: tuple[str, ...]) -> tuple[str, ...]:
    """Of the pilot's communities those that it has offered to serve; who offers none in particular, serves all."""
    return tuple(name for name in communities if name in offered) if offered else communities
