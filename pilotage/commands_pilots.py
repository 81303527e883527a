"""`pilotage pilots`, `pilot`, `drain`, `halt`."""

from __future__ import annotations

import time

import click

from pilot.errors import PilotageError
from pilot.states import ENROLLED, LIVE_PILOT, PilotState
from pilotage import places, words
from pilotage.rendering_jobs import leases_table
from pilotage.rendering_pilots import pilot_facts, pilots_table
from pilotage.shell import Shell, States, common, duration, whole_stamp
from pilotage.timeline import last_lines, steps_table


@click.command()
@click.option(
    "--state", "states", multiple=True, type=States(PilotState), help="In this state, or in these: running,silent."
)
@click.option("--queue", help="Of this queue.")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@common
def pilots(shell: Shell, states: tuple[tuple[PilotState, ...], ...], queue: str | None, everything: bool) -> None:
    """List pilots: those that live, newest first.

    \b
    Example:
      pilotage pilots --all --queue local
    """
    wanted = tuple(state for some in states for state in some) or (() if everything else tuple(LIVE_PILOT))
    with shell.client() as client:
        found = tuple(client.pilots(wanted, queue))
        unknown = "" if found else places.unknown(client, None, queue)
    if shell.screen.json:
        shell.screen.data({"pilots": found})
        return
    shell.screen.table(pilots_table(found, time.time()))
    if not found:
        shell.screen.note(
            unknown or "no pilots" + ("" if everything or states else " live now; --all shows those that have ended")
        )


@click.command()
@click.argument("stamp")
@common
def pilot(shell: Shell, stamp: str) -> None:
    """Show one pilot: its steps, what it found out, its jobs.

    The first digits of its stamp are enough.

    \b
    Example:
      pilotage pilot 3f9a12bc
    """
    with shell.client() as client:
        detail = client.pilot(whole_stamp(client, stamp))
    if shell.screen.json:
        shell.screen.data(detail)
        return
    shell.screen.facts(pilot_facts(detail, time.time()))
    if detail.steps:
        shell.screen.line()
        enrolled = detail.pilot.enrolled if detail.pilot.state in ENROLLED else None
        age = None if enrolled is None else time.time() - enrolled
        shell.screen.table(steps_table(detail.steps, age))
        for line in last_lines(detail.steps):
            shell.screen.line(line)
    if detail.leases:
        shell.screen.line()
        shell.screen.table(leases_table(detail.leases))


def _order(
    shell: Shell, stamps: tuple[str, ...], queue: str | None, reason: str, deadline: str | None, verb: str
) -> None:
    if bool(stamps) == bool(queue):
        raise click.UsageError("say which pilots: by their STAMPs, or all that live of one --queue")
    seconds = None if deadline is None else duration("--deadline", deadline)
    with shell.client() as client:
        found = [one.stamp for one in client.pilots(tuple(LIVE_PILOT), queue)] if queue else []
        if queue and not found and (unknown := places.unknown(client, None, queue)):
            raise PilotageError(unknown)
        whole = [*found, *(whole_stamp(client, stamp) for stamp in stamps)]
        give = client.drain if verb == "drain" else client.halt
        orders = [(stamp, give(stamp, reason, deadline=seconds)) for stamp in whole]
    if shell.screen.json:
        shell.screen.data({"orders": [{"pilot": stamp, "order": order} for stamp, order in orders]})
        return
    told = "finishes what it runs and ends" if verb == "drain" else "stops everything and ends"
    for stamp, _ in orders:
        shell.screen.line(f"pilot {words.stamp(stamp)} {told} as soon as it hears of it")
    if not orders:
        shell.screen.note(f"no pilot of {queue} lives now")


@click.command()
@click.argument("stamps", nargs=-1, metavar="STAMP…")
@click.option("--queue", help="All that live of this queue. New ones may be sent: `pilotage queues pause` first.")
@click.option("--reason", default="", help="Kept with the order.")
@click.option("--deadline", help="They must be over after so long; what still runs is preempted shortly before.")
@common
def drain(shell: Shell, stamps: tuple[str, ...], queue: str | None, reason: str, deadline: str | None) -> None:
    """Let pilots finish what they run, then end. For operators.

    \b
    Examples:
      pilotage drain 3f9a12bc --reason "kernel update" --deadline 2h
      pilotage drain --queue cluster
    """
    _order(shell, stamps, queue, reason, deadline, "drain")


@click.command()
@click.argument("stamps", nargs=-1, metavar="STAMP…")
@click.option("--queue", help="All that live of this queue. New ones may be sent: `pilotage queues pause` first.")
@click.option("--reason", default="", help="Kept with the order.")
@click.option("--deadline", help="They must be over after so long; payloads get most of it to save their state.")
@common
def halt(shell: Shell, stamps: tuple[str, ...], queue: str | None, reason: str, deadline: str | None) -> None:
    """Let pilots end at once; their jobs wait again. For operators.

    \b
    Example:
      pilotage halt 3f9a12bc
    """
    _order(shell, stamps, queue, reason, deadline, "halt")
