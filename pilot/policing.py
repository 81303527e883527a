"""The node as far as the site lets a pilot use it: what was found, cut to the policy's share, with the reason said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Optional, cast

from commands.context import Context, Node
from pilot.errors import InvalidInput
from pilot.policy import Policy, SitesWord
from pilot.protocol import UNLIMITED, Amount, Fact
from pilot.states import PilotReason


@dataclass(frozen=True)
class PolicedNode:
    """A `commands.context.Node` under the site's word."""

    node: Node
    word: SitesWord

    def facts(self) -> tuple[Fact, ...]:
        found = self.node.facts()
        for policy in self.word.policies:
            found = tuple(_cut(fact, policy) for fact in found)
        if not self.word.policies:
            return found
        return (*found, Fact("policy", ", ".join(policy.source for policy in self.word.policies), "the site's word"))

    def free_disk(self, path: Path) -> Optional[int]:
        return self.node.free_disk(path)

    def power(self) -> Optional[float]:
        return self.node.power()

    def measure_power(self, tell: Callable[[Fact], None]) -> None:
        self.node.measure_power(tell)


def _cut(fact: Fact, policy: Policy) -> Fact:
    share = {"cores": policy.cores, "memory": policy.memory}.get(fact.name)
    found = fact.value
    if share is None or isinstance(found, bool) or not (isinstance(found, int) or found == UNLIMITED):
        return fact
    left = share.of(cast("Amount", found))
    if left == found:
        return fact
    if fact.name == "cores" and isinstance(left, int):
        left = max(1, left)  # of one core half is none, and who wants no pilots here can say so
    return replace(fact, value=left, source=f"{fact.source}; of it {share} by the site's policy {policy.source}")


def heeded(context: Context, word: SitesWord) -> Context:
    """The context under the site's word; where that leaves nothing to do, it ends as unfit before it has begun."""
    if word.problem:
        return context.evolve(reason=PilotReason.UNFIT, message=word.problem)
    try:
        communities = word.served(context.communities)
    except InvalidInput as problem:
        return context.evolve(reason=PilotReason.UNFIT, message=str(problem))
    return context.evolve(communities=communities, node=PolicedNode(context.node, word))
