"""`pilotage vms` and `vm`: pilots that are on virtual machines."""

from __future__ import annotations

import time
from typing import Any

import click

from pilot.errors import PilotageError
from pilot.states import LIVE_PILOT, OrderVerb, PilotState
from pilotage import places
from pilotage.client import Client
from pilotage.commands_pilots import order, order_options
from pilotage.rendering_vms import SHOWN, loads_table, vm_facts, vms_table
from pilotage.shell import ASKING, SENDING, Shell, States, common


@click.command()
@click.option(
    "--state", "states", multiple=True, type=States(PilotState), help="In this state, or in these: running,silent."
)
@click.option("--queue", help="Of this queue.")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@common
def vms(shell: Shell, states: tuple[tuple[PilotState, ...], ...], queue: str | None, everything: bool) -> None:
    """List virtual machines: those whose pilots live, of each queue the newest first.

    \b
    Example:
      pilotage vms --queue large
    """
    wanted = tuple(state for some in states for state in some) or (() if everything else tuple(LIVE_PILOT))
    with shell.client() as client:
        found = tuple(client.vms(wanted, queue))
        unknown = "" if found else places.unknown(client, None, queue)
    if shell.screen.json:
        shell.screen.data({"vms": found})
        return
    shell.screen.table(vms_table(found))
    if not found:
        more = "" if everything or states else " live now; --all shows those that have ended"
        shell.screen.note(unknown or f"no virtual machines{more}")


class _OneOf(click.Group):
    """A group whose first word may be the name of a machine, which is shown then."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_OneOf, subcommand_metavar="NAME | COMMAND [ARGS]...")
def vm() -> None:
    """Show one virtual machine, drain it, halt it.

    NAME is what its cloud calls it, or the first digits of its pilot's stamp.

    \b
    Examples:
      pilotage vm 3f9a12bc
      pilotage vm drain 3f9a12bc
    """


@vm.command()
@click.argument("name")
@click.option(
    "--samples", type=click.IntRange(2), default=SHOWN, show_default=True, help="Moments of its history to show."
)
@click.option("--ask", is_flag=True, help="Ask its cloud how it stands there, too. For operators and site admins.")
@common
def show(shell: Shell, name: str, samples: int, ask: bool) -> None:
    """Show one virtual machine: its state, what it is, and what it has had to do. `pilotage pilot` shows its pilot.

    \b
    Examples:
      pilotage vm show 3f9a12bc
      pilotage vm show 3f9a12bc --ask
    """
    with shell.client(SENDING if ask else ASKING) as client:
        stamp = stamp_of(client, name)
        detail = client.pilot(stamp)
        asked = client.canary(detail.pilot.queue, stamp) if ask else None
    if shell.screen.json:
        shell.screen.data({"vm": detail, "asked": asked})
        return
    shell.screen.facts(vm_facts(detail, asked, time.time()))
    if detail.loads:
        shell.screen.line()
        shell.screen.table(loads_table(detail, samples))


@vm.command()
@click.argument("names", nargs=-1, metavar="NAME…")
@order_options(OrderVerb.DRAIN)
@common
def drain(shell: Shell, names: tuple[str, ...], **options: Any) -> None:
    """Let machines finish what they run, then end. For operators and the admins of their site.

    \b
    Examples:
      pilotage vm drain 3f9a12bc --reason "new image" --deadline 2h
      pilotage vm drain --queue large
    """
    order(shell, OrderVerb.DRAIN, names, **options, find=stamp_of)


@vm.command()
@click.argument("names", nargs=-1, metavar="NAME…")
@order_options(OrderVerb.HALT)
@common
def halt(shell: Shell, names: tuple[str, ...], **options: Any) -> None:
    """Let machines end at once; their jobs wait again. For operators and the admins of their site.

    \b
    Example:
      pilotage vm halt 3f9a12bc
    """
    order(shell, OrderVerb.HALT, names, **options, find=stamp_of)


def stamp_of(client: Client, name: str) -> str:
    """The stamp of the machine's pilot. Raises `PilotageError` unless exactly one machine is called so."""
    found = client.vms_called(name)
    stamps = {one.stamp for one in found if one.state in LIVE_PILOT} or {one.stamp for one in found}
    if not stamps:  # some know by what they found out alone what their cloud calls them
        stamps = {one.stamp for one in client.vms(LIVE_PILOT) if one.machine and one.machine.instance == name}
    if not stamps:
        raise PilotageError(f"No virtual machine is called {name}: `pilotage vms --all` lists them.")
    if len(stamps) > 1:
        raise PilotageError(f"{len(stamps)} virtual machines are called {name}: `pilotage vms` lists them.")
    return stamps.pop()
