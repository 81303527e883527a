"""The last command, which runs whatever happened before it: nothing is left running, nothing left behind."""

from __future__ import annotations

from commands.context import Context
from commands.registry import command


@command(timeout=120, always=True)
def clean_up(context: Context) -> Context:
    """End what is left of the attempts and remove their directories."""
    context.computing.close()
    return context
