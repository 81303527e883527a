"""What this machine has: every probe's answer, told to the central and kept for the commands after it."""

from __future__ import annotations

from commands.context import Context
from commands.registry import command


@command(needs=["checked"], provides=["node"], timeout=60)
def discover(context: Context) -> Context:
    """Look at the machine. What cannot be found out is unknown, and stays so."""
    facts = context.node.facts()
    for fact in facts:
        value = "unknown" if fact.value is None else fact.value if fact.value != "" else "none"
        context.say(f"{fact.name} = {value} ({fact.source})")
    context.central.facts(facts)
    return context.evolve(facts=facts)
