"""The pilot's pipeline, one command a file; what a community needs to write its own: `Context`, `command`, `Unfit`."""

from commands.context import Context, Unfit
from commands.registry import Command, command

__all__ = ["Command", "Context", "Unfit", "command"]
