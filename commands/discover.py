"""What this machine has: every probe's answer, told to the central and kept for the commands after it."""

from __future__ import annotations

from commands.context import Context
from commands.registry import command
from pilot.errors import PilotageError
from pilot.protocol import Fact


@command(needs=["checked"], provides=["node"], timeout=60)
def discover(context: Context) -> Context:
    """Look at the machine. What cannot be found out is unknown, and stays so; the power of a core is told later."""
    began = context.clock.now()
    facts = context.node.facts()
    for fact in facts if context.agent == 1 else ():  # the others find out the same
        context.say(_line(fact))
    context.central.facts(facts)
    context.node.measure_power(lambda fact: _tell(context, fact))
    return context.evolve(facts=facts, looked_at=began)


def _tell(context: Context, fact: Fact) -> None:
    context.say(_line(fact))
    try:
        context.central.facts([fact])
    except PilotageError:
        pass  # the pilot is at its end


def _line(fact: Fact) -> str:
    value = "unknown" if fact.value is None else fact.value if fact.value != "" else "none"
    return f"{fact.name} = {value} ({fact.source})"
