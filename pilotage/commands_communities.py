"""`pilotage community` and `pilotage group`: who is due how much, and which of them are added later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from pilot.people import CommunityView, GroupView
from pilotage.client import Client
from pilotage.screen import Table
from pilotage.shell import Shell, common
from pilotage.words import clock

_share = click.option(
    "--share", type=click.FloatRange(0, 1e6, min_open=True), default=1.0, show_default=True, help="Beside the others'."
)
_SHARE = click.FloatRange(0, 1e6, min_open=True)
_community = click.option("--community", default="", help="Its community.  [default: your own]")


@click.group()
def community() -> None:
    """Communities, which work belongs to: list, show, add, share, remove.

    Those of central.toml are changed there; groups and members may be added to them here.

    \b
    Examples:
      pilotage community list
      pilotage community show
      pilotage community add biology --share 2
    """


@community.command("list")
@common
def list_communities(shell: Shell) -> None:
    """List the communities that you may see, and their groups.

    \b
    Example:
      pilotage community list
    """
    with shell.client() as client:
        found = client.communities()
    if shell.screen.json:
        shell.screen.data({"communities": found})
    else:
        shell.screen.table(communities_table(found))


@community.command("show")
@click.argument("name", default="")
@common
def show_community(shell: Shell, name: str) -> None:
    """Show a community, your own unless you name another: its share, its groups and theirs.

    \b
    Example:
      pilotage community show
    """
    with shell.client() as client:
        found = client.community(own(client, name))
    if shell.screen.json:
        shell.screen.data(found)
    else:
        shell.screen.table(communities_table((found,)))


@community.command("add")
@click.argument("name")
@_share
@common
def add_community(shell: Shell, name: str, share: float) -> None:
    """Add a community. For operators.

    It needs a group before anybody can be let in, and a queue that serves it before its jobs can run.

    \b
    Example:
      pilotage community add biology --share 2
    """
    with shell.client() as client:
        _tell_community(shell, client.add_community(name, share), "is added")


@community.command("share")
@click.argument("name")
@click.argument("share", type=_SHARE)
@common
def share_community(shell: Shell, name: str, share: float) -> None:
    """Say what share of all capacity a community is due, beside the others. For operators.

    \b
    Example:
      pilotage community share biology 3
    """
    with shell.client() as client:
        _tell_community(shell, client.share_community(name, share), "is changed")


@community.command("remove")
@click.argument("name")
@common
def remove_community(shell: Shell, name: str) -> None:
    """Take away a community that was added, and has no groups, members or queues. For operators.

    \b
    Example:
      pilotage community remove biology
    """
    with shell.client() as client:
        _tell_community(shell, client.remove_community(name), "is removed")


@click.group()
def group() -> None:
    """Groups of a community: add, share, remove. For community-admins.

    `pilotage community show` lists them.

    \b
    Examples:
      pilotage group add muons --share 2
      pilotage group share muons 3
    """


@group.command("add")
@click.argument("name")
@_share
@_community
@common
def add_group(shell: Shell, name: str, share: float, community: str) -> None:
    """Add a group. `pilotage member add` lets people in.

    \b
    Example:
      pilotage group add muons --share 2
    """
    with shell.client() as client:
        whose = own(client, community)
        _tell_group(shell, whose, client.add_group(whose, name, share), "is added")


@group.command("share")
@click.argument("name")
@click.argument("share", type=_SHARE)
@_community
@common
def share_group(shell: Shell, name: str, share: float, community: str) -> None:
    """Say what share of its community a group is due, beside the other groups. It counts at once.

    \b
    Example:
      pilotage group share muons 3
    """
    with shell.client() as client:
        whose = own(client, community)
        _tell_group(shell, whose, client.share_group(whose, name, share), "is changed")


@group.command("remove")
@click.argument("name")
@_community
@common
def remove_group(shell: Shell, name: str, community: str) -> None:
    """Take away a group that was added and has no members.

    \b
    Example:
      pilotage group remove muons
    """
    with shell.client() as client:
        whose = own(client, community)
        _tell_group(shell, whose, client.remove_group(whose, name), "is removed")


def own(client: Client, community: str) -> str:
    """The community that is named, else one's own."""
    return community or client.whoami().community


def _tell_community(shell: Shell, found: CommunityView, done: str) -> None:
    if shell.screen.json:
        shell.screen.data(found)
    else:
        shell.screen.line(f"the community {found.name} {done}, share {found.share:g}")


def _tell_group(shell: Shell, community: str, found: GroupView, done: str) -> None:
    if shell.screen.json:
        shell.screen.data(found)
    else:
        shell.screen.line(f"the group {found.name} of {community} {done}, share {found.share:g}")


def communities_table(found: Sequence[CommunityView]) -> Table:
    """A row for each community, and one for each of its groups."""
    columns = ("COMMUNITY", "GROUP", "SHARE", "MEMBERS", "ADDED BY", "CHANGED")
    return Table(columns, [row for one in found for row in _rows(one)], right=("SHARE", "MEMBERS"))


def _rows(one: CommunityView) -> Iterator[tuple[str, ...]]:
    yield (one.name, "", f"{one.share:g}", "", one.who or "central.toml", clock(one.changed))
    for group in one.groups:
        added = (group.who or "central.toml", clock(group.changed))
        yield (one.name, group.name, f"{group.share:g}", str(group.members), *added)
