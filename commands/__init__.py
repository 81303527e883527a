"""The pilot's pipeline, one command a file, and what a community needs to write its own: `Context` and `command`."""

from commands.context import Context, Unfit
from commands.registry import Command, command

__all__ = ["Command", "Context", "Unfit", "command"]
