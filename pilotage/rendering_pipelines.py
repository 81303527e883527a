"""Bundles, their commands and pipelines as tables."""

from __future__ import annotations

from collections.abc import Sequence

from pilot.pipelines import BundleView, PipelineView
from pilot.standard import CommandRecord
from pilotage import words
from pilotage.screen import Table


def commands_table(commands: Sequence[CommandRecord]) -> Table:
    """A row for each command of a bundle."""
    rows = [
        (each.name, ", ".join(each.needs), ", ".join(each.provides), words.seconds(each.timeout or 0.0))
        for each in commands
    ]
    return Table(("COMMAND", "NEEDS", "PROVIDES", "TIME LIMIT"), rows, right=("TIME LIMIT",))


def bundles_table(bundles: Sequence[BundleView]) -> Table:
    """A row for each bundle."""
    rows = [
        (
            each.community,
            each.name,
            each.sha256[:12],
            "in use" if each.in_use else "",
            words.size(each.size),
            words.clock(each.created),
            each.who,
            ", ".join(command.name for command in each.commands),
        )
        for each in bundles
    ]
    columns = ("COMMUNITY", "BUNDLE", "SHA-256", "", "SIZE", "PUBLISHED", "BY", "COMMANDS")
    return Table(columns, rows, right=("SIZE",))


def pipelines_table(pipelines: Sequence[PipelineView]) -> Table:
    """A row for each queue."""
    rows = [
        (
            each.queue,
            each.site,
            each.community or "several",
            " → ".join(step.command for step in each.steps),
            "cannot be run" if each.problems else "",
        )
        for each in pipelines
    ]
    return Table(("QUEUE", "SITE", "COMMUNITY", "COMMANDS", ""), rows)
