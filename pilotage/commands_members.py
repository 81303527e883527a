"""`pilotage member`: who may work in which group, and as what, and who is the admin of a site."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pilot.people import MemberView, RevokeReply
from pilotage.screen import Table
from pilotage.shell import Shell, common
from pilotage.words import clock, plural

_ROLES = click.Choice(("member", "group-admin", "community-admin", "operator"))
_site = click.option("--site", default="", help="As an admin of this site, which is no group's. For operators.")
_group = click.option("--group", default="", help="Of your community.  [default: your own group]")
_community = click.option("--community", default="", help="For operators.  [default: your own]")


@click.group()
def member() -> None:
    """Members of groups: list, add, role, revoke. For group-admins and community-admins.

    A group-admin lets members into the own group, a community-admin gives roles in all groups of the own community. Who
    is declared by a token in central.toml is changed there. Operators say who is the admin of a site.

    \b
    Examples:
      pilotage member add ben --group muons
      pilotage member add kim --site desy
      pilotage member list
      pilotage member revoke ben --reason "has left"
    """


@member.command("list")
@click.option("--group", default="", help="Of this group alone.")
@click.option("--user", default="", help="This user alone.")
@click.option("--community", default="", help="Of this community, for operators.")
@click.option("--site", default="", help="The admins of this site, for operators.")
@click.option("--all", "everybody", is_flag=True, help="Also those who may not work there any more, and why.")
@common
def list_members(shell: Shell, group: str, user: str, community: str, site: str, everybody: bool) -> None:
    """List who may work where, of those whom you may see.

    \b
    Example:
      pilotage member list --all
    """
    with shell.client() as client:
        found = client.members(community, group, user, site=site, all=everybody)
    if shell.screen.json:
        shell.screen.data({"members": found})
    else:
        shell.screen.table(members_table(found))


@member.command("add")
@click.argument("user")
@_group
@click.option("--role", type=_ROLES, default=None, help="Not above your own.  [default: member]")
@_community
@_site
@common
def add_member(shell: Shell, user: str, group: str, role: str | None, community: str, site: str) -> None:
    """Let somebody into a group. `pilotage token create --user` makes the first token.

    \b
    Examples:
      pilotage member add ben --group muons
      pilotage member add kim --site desy
    """
    if site and (group or role or community):
        raise click.UsageError("an admin of a --site is in no group there: say neither --group, --role nor --community")
    with shell.client() as client:
        _tell(shell, client.add_member(user, group, role or "", community, site=site), "is")


@member.command("role")
@click.argument("user")
@click.argument("role", type=_ROLES)
@_group
@_community
@common
def change_role(shell: Shell, user: str, role: str, group: str, community: str) -> None:
    """Give a member another role in a group. Tokens that could do more do no more from now on.

    \b
    Example:
      pilotage member role ben group-admin --group muons
    """
    with shell.client() as client:
        _tell(shell, client.change_role(user, role, group, community), "is now")


@member.command("revoke")
@click.argument("user")
@click.option("--group", default="", help="In this group alone.  [default: in all that you may]")
@click.option("--kill", is_flag=True, help="End all jobs of this user there that are not over.")
@click.option("--reason", default="", help="Told with the jobs, and in the list of members.")
@_community
@_site
@common
def revoke_member(shell: Shell, user: str, group: str, kill: bool, reason: str, community: str, site: str) -> None:
    """Let go of somebody. Tokens end within seconds.

    Jobs that wait are held: `pilotage release` and `pilotage kill` decide on these. What runs goes on.

    \b
    Examples:
      pilotage member revoke ben --reason "has left"
      pilotage member revoke ben --group muons --kill
      pilotage member revoke kim --site desy
    """
    if site and (group or kill or community):
        raise click.UsageError("an admin of a --site has no jobs there: say neither --group, --kill nor --community")
    with shell.client() as client:
        reply = client.revoke_member(user, group, community, site=site, kill=kill, reason=reason)
    if shell.screen.json:
        shell.screen.data(reply)
        return
    for line in told(reply):
        shell.screen.line(line)
    for one in reply.still:
        shell.screen.note(
            f"central.toml still declares {one.user} as {one.role} of {one.site or one.group}: take that out there, and"
            " start the central anew"
        )


def told(reply: RevokeReply) -> list[str]:
    """What became of it, in sentences."""
    lines = [
        f"{one.user} is no {f'admin of {one.site}' if one.site else f'member of {one.group}'} any more"
        for one in reply.members
    ]
    if reply.members and all(one.site for one in reply.members):
        return [*lines, f"{plural(reply.tokens, 'token')} ended"]
    jobs = f"{plural(reply.killed, 'job')} killed" if reply.killed else f"{plural(reply.held, 'waiting job')} held"
    return [*lines, f"{plural(reply.tokens, 'token')} ended, {jobs}"]


def _tell(shell: Shell, found: MemberView, verb: str) -> None:
    if shell.screen.json:
        shell.screen.data(found)
    else:
        where = found.site or f"{found.group} in {found.community}"
        shell.screen.line(f"{found.user} {verb} {found.role} of {where}")


def members_table(found: Sequence[MemberView]) -> Table:
    """A row for each membership."""
    rows = [
        (
            one.user,
            f"site {one.site}" if one.site else one.group,
            one.community,
            one.role,
            "central.toml" if one.declared else one.who,
            clock(one.created),
            _left(one),
        )
        for one in found
    ]
    return Table(("USER", "GROUP", "COMMUNITY", "ROLE", "BY", "SINCE", "NOTE"), rows)


def _left(one: MemberView) -> str:
    if one.revoked is None:
        return ""
    return f"until {clock(one.revoked)}, by {one.revoked_by}" + (f": {one.reason}" if one.reason else "")
