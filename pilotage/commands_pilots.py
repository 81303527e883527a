"""`pilotage pilots`, `pilot`, `drain`, `halt`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import islice

import click

from pilot.errors import PilotageError
from pilot.states import ENROLLED, LIVE_PILOT, OrderVerb, PilotState
from pilotage import places, words
from pilotage.client import Client
from pilotage.rendering_jobs import leases_table
from pilotage.rendering_pilots import pilot_facts, pilots_table
from pilotage.shell import F, Shell, States, common, duration, whole_stamp
from pilotage.timeline import last_lines, steps_table


@click.command()
@click.option(
    "--state", "states", multiple=True, type=States(PilotState), help="In this state, or in these: running,silent."
)
@click.option("--queue", help="Of this queue.")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@click.option("--limit", type=click.IntRange(1), help="How many to show.  [default: all]")
@common
def pilots(
    shell: Shell, states: tuple[tuple[PilotState, ...], ...], queue: str | None, everything: bool, limit: int | None
) -> None:
    """List pilots: those that live, newest first.

    \b
    Examples:
      pilotage pilots --queue local
      pilotage pilots --all --limit 20
    """
    wanted = tuple(state for some in states for state in some) or (() if everything else tuple(LIVE_PILOT))
    with shell.client() as client:
        pages = iter(client.pilots(wanted, queue))
        found = tuple(islice(pages, limit))
        more = limit is not None and next(pages, None) is not None
        unknown = "" if found else places.unknown(client, None, queue)
    if shell.screen.json:
        shell.screen.data({"pilots": found})
        return
    shell.screen.table(pilots_table(found, time.time()))
    if more:
        shell.screen.note("there are more, older ones")
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


def order(
    shell: Shell,
    verb: OrderVerb,
    names: Sequence[str],
    queue: str | None,
    reason: str,
    deadline: str | None,
    *,
    find: Callable[[Client, str], str] = whole_stamp,
) -> None:
    """Drain or halt pilots. `find`: which stamp is meant by a name as it was typed."""
    if bool(names) == bool(queue):
        raise click.UsageError("say which pilots: by their STAMPs, or all that live of one --queue")
    seconds = None if deadline is None else duration("--deadline", deadline)
    with shell.client() as client:
        found = [one.stamp for one in client.pilots(tuple(LIVE_PILOT), queue)] if queue else []
        if queue and not found and (unknown := places.unknown(client, None, queue)):
            raise PilotageError(unknown)
        whole = [*found, *(find(client, name) for name in names)]
        give = client.drain if verb is OrderVerb.DRAIN else client.halt
        orders = [(stamp, give(stamp, reason, deadline=seconds)) for stamp in whole]
    if shell.screen.json:
        shell.screen.data({"orders": [{"pilot": stamp, "order": number} for stamp, number in orders]})
        return
    told = "finishes what it runs and ends" if verb is OrderVerb.DRAIN else "stops everything and ends"
    for stamp, _ in orders:
        shell.screen.line(f"pilot {words.stamp(stamp)} {told} as soon as it hears of it")
    if not orders:
        shell.screen.note(f"no pilot of {queue} lives now")


def order_options(verb: OrderVerb) -> Callable[[F], F]:
    """What `drain` and `halt` are told beside the pilots that are meant."""
    what = {
        OrderVerb.DRAIN: "what still runs is preempted shortly before.",
        OrderVerb.HALT: "payloads get most of it to save their state.",
    }[verb]
    options = (
        click.option(
            "--queue", help="All that live of this queue. New ones may be sent: `pilotage queues pause` first."
        ),
        click.option("--reason", default="", help="Kept with the order."),
        click.option("--deadline", help=f"They must be over after so long; {what}"),
    )
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


@click.command()
@click.argument("stamps", nargs=-1, metavar="STAMP…")
@order_options(OrderVerb.DRAIN)
@common
def drain(shell: Shell, stamps: tuple[str, ...], queue: str | None, reason: str, deadline: str | None) -> None:
    """Let pilots finish what they run, then end. For operators and the admins of their site.

    \b
    Examples:
      pilotage drain 3f9a12bc --reason "kernel update" --deadline 2h
      pilotage drain --queue cluster
    """
    order(shell, OrderVerb.DRAIN, stamps, queue, reason, deadline)


@click.command()
@click.argument("stamps", nargs=-1, metavar="STAMP…")
@order_options(OrderVerb.HALT)
@common
def halt(shell: Shell, stamps: tuple[str, ...], queue: str | None, reason: str, deadline: str | None) -> None:
    """Let pilots end at once; their jobs wait again. For operators and the admins of their site.

    \b
    Example:
      pilotage halt 3f9a12bc
    """
    order(shell, OrderVerb.HALT, stamps, queue, reason, deadline)
