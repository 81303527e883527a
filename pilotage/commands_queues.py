"""`pilotage queues`, and what an operator does to one: `pause`, `resume`."""

from __future__ import annotations

import click

from pilot.queues import QueueView
from pilotage.rendering_pilots import queue_facts, queues_table
from pilotage.shell import Shell, common, duration


@click.group(invoke_without_command=True)
@common
def queues(shell: Shell) -> None:
    """List the queues: pilots, demand, the director's last decision.

    \b
    Examples:
      pilotage queues
      pilotage queues pause local --reason "new disks"
    """
    if click.get_current_context().invoked_subcommand:
        return
    with shell.client() as client:
        found = client.queues()
    if shell.screen.json:
        shell.screen.data({"queues": found})
    else:
        shell.screen.table(queues_table(found))


@queues.command()
@click.argument("name")
@click.option("--reason", required=True, help="Told to whoever asks why the queue gets no pilots.")
@click.option("--for", "lasts", metavar="TIME", help="As 2h or 30m; without it until `queues resume`.")
@common
def pause(shell: Shell, name: str, reason: str, lasts: str | None) -> None:
    """Send no new pilots to a queue, for a time or until it is resumed. For operators and the admins of its site.

    Pilots that are there go on, and take jobs; `pilotage drain` sends them home.

    \b
    Examples:
      pilotage queues pause local --reason "new disks"
      pilotage queues pause local --reason "new kernel" --for 2h
    """
    seconds = None if lasts is None else duration("--for", lasts)
    with shell.client() as client:
        _show(shell, client.pause_queue(name, reason, seconds))


@queues.command()
@click.argument("name")
@common
def resume(shell: Shell, name: str) -> None:
    """Send pilots to a queue again that was paused. For operators and the admins of its site.

    \b
    Example:
      pilotage queues resume local
    """
    with shell.client() as client:
        _show(shell, client.resume_queue(name))


def _show(shell: Shell, queue: QueueView) -> None:
    if shell.screen.json:
        shell.screen.data(queue)
    else:
        shell.screen.facts(queue_facts(queue))
