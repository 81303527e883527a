"""Divides a node among the agents of one pilot, each of which offers its share by itself."""

from __future__ import annotations

from dataclasses import replace

from commands.context import Capacity, Unfit
from pilot.protocol import Amount


def share(node: Capacity, agent: int, agents: int) -> Capacity:
    """What the agent of that number, from 1, has of the node. Together the shares are the node, and none overlap.

    Cores and GPUs are dealt out evenly, those of the lowest numbers getting what is over; memory and disk go with the
    cores. No share is the whole node, so no job that needs one runs in it. Raises `Unfit` for an agent without a core.
    """
    if agents == 1:
        return node
    first, last = _span(node.cores, agent, agents)
    if first == last:
        raise Unfit(f"no core is left for agent {agent}: {node.cores} cores for {agents} agents")
    gpus = slice(*_span(len(node.gpus), agent, agents))
    return replace(
        node,
        cores=last - first,
        cpus=node.cpus[first:last],
        memory=_part(node.memory, last - first, node.cores),
        disk=_part(node.disk, last - first, node.cores),
        gpus=node.gpus[gpus],
        whole=False,
    )


def _span(count: int, agent: int, agents: int) -> tuple[int, int]:
    """From and up to which of so many things are this agent's."""
    each, over = divmod(count, agents)
    first = each * (agent - 1) + min(agent - 1, over)
    return first, first + each + (1 if agent <= over else 0)


def _part(amount: Amount, cores: int, of: int) -> Amount:
    return amount * cores // of if isinstance(amount, int) else amount
