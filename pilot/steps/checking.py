"""What comes back from a community's command, and what its modules are, checked against what was said of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from commands.changes import check_environment, check_facts, merged
from commands.context import Context
from commands.registry import Command, PipelineError
from pilot.bundles import Manifest
from pilot.errors import PilotageError
from pilot.standard import CommandRecord
from pilot.steps.talk import Told


def returned(before: Context, told: Told) -> Context:
    """The context after the command. Raises `PilotageError` for what it may not change."""
    check_environment(told.environment)
    check_facts(before.facts, told.facts)
    return before.evolve(environment=dict(told.environment), facts=merged(before.facts, told.facts))


def as_written(looked: Iterable[CommandRecord], manifests: Sequence[Manifest]) -> None:
    """What was imported must be what the manifests say, by which the pipeline was checked. Raises `PipelineError`."""
    written = {command.name: command for manifest in manifests for command in manifest.commands}
    for found in looked:
        if written.get(found.name) != found:
            said = written.get(found.name)
            raise PipelineError(f"{found.name} is not as its bundle's manifest says: expected {said}, got {found}")


def not_to_be_run(record: CommandRecord) -> Command:
    """The place of a bundle's command in a pipeline, which is run elsewhere."""

    def refuse(context: Context) -> Context:
        raise PilotageError(f"{record.name} runs in a process of its own, and never here")

    return Command(refuse, record.name, record.needs, record.provides, record.timeout, record.always)
