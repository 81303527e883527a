"""`pilotage token`: API tokens, for oneself and for members whom one may let in."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from pilot.people import SCOPES, USUAL_SCOPES, TokenView
from pilotage.screen import Table
from pilotage.secret_file import secret_file
from pilotage.shell import Shell, common, duration
from pilotage.words import clock

_ALL = "all"


@click.group()
def token() -> None:
    """API tokens, by which people and programs are known: create, list, revoke.

    \b
    What a token is made for, each by itself:
      read     read whatever you may read
      submit   submit jobs, with their files
      change   kill, hold, release, reschedule jobs, and change their priority
      secrets  keep and remove credentials
      manage   whatever else your role lets you do: people, tokens, queues, pilots

    \b
    Examples:
      pilotage token create laptop --output token
      pilotage token create nightly --scope read --for 30d
      pilotage token list
    """


@token.command("create")
@click.argument("name", default="")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice((*SCOPES, _ALL)),
    help=f"What it is for; again for more.  [default: {', '.join(USUAL_SCOPES)}]",
)
@click.option("--for", "life", default="90d", show_default=True, help="It is good for so long, at most a year.")
@click.option("--user", default="", help="For this member.  [default: yourself]")
@click.option("--group", default="", help="In this group.  [default: your own]")
@click.option("--role", default="", help="The most that it may do.  [default: the user's role, not above yours]")
@click.option("--community", default="", help="For operators.  [default: your own]")
@click.option("--site", default="", help="For an admin of this site. For operators.  [default: your own]")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A new file for it, mode 0600.")
@common
def create_token(
    shell: Shell,
    name: str,
    scopes: tuple[str, ...],
    life: str,
    user: str,
    group: str,
    role: str,
    community: str,
    site: str,
    output: Path | None,
) -> None:
    """Make a token. It is shown this once: the central keeps its SHA-256 alone. NAME says what it is for.

    A token never does more than the one that it is made with; one of your own ends with that one.

    \b
    Examples:
      pilotage token create laptop --output token
      pilotage token create --user ben --group muons --output ben.token
      pilotage token create --user kim --site desy --scope read --scope manage --output kim.token
    """
    seconds = duration("--for", life)
    wanted = SCOPES if _ALL in scopes else scopes or USUAL_SCOPES
    with secret_file(output) as file, shell.client() as client:
        made = client.make_token(
            name, scopes=wanted, seconds=seconds, user=user, group=group, role=role, community=community, site=site
        )
        if file:
            file.write(f"{made.token}\n".encode())
    if shell.screen.json:
        shell.screen.data(made.made if output else made)
        return
    if not output:
        sys.stdout.write(made.token + "\n")
        sys.stdout.flush()
    found = made.made
    where = found.site or f"{found.group} in {found.community}"
    whose = f"{found.user}, {found.role} of {where}"
    shell.screen.note(
        f"token {found.number} is for {whose}: {', '.join(found.scopes)}, until {clock(found.expires)}; whoever has it"
        " can do that"
    )


@token.command("list")
@click.option("--user", default="", help="Of this user alone.")
@click.option("--group", default="", help="Of this group alone.")
@click.option("--community", default="", help="Of this community, for operators.")
@click.option("--site", default="", help="Of admins of this site, for operators.")
@click.option("--all", "everything", is_flag=True, help="Also those that are not good any more.")
@common
def list_tokens(shell: Shell, user: str, group: str, community: str, site: str, everything: bool) -> None:
    """List tokens, without what is secret: your own, and those of whom you administer. LAST USED is rough, to the hour.

    \b
    Example:
      pilotage token list
    """
    with shell.client() as client:
        found = client.tokens(community, group, user, site=site, all=everything)
    if shell.screen.json:
        shell.screen.data({"tokens": found})
        return
    shell.screen.table(tokens_table(found, time.time()))
    if not found:
        shell.screen.note("there are none; `pilotage token create` makes one")


@token.command("revoke")
@click.argument("number", type=click.IntRange(1))
@common
def revoke_token(shell: Shell, number: int) -> None:
    """End a token, and those that were made with it, at every central within seconds. Jobs go on.

    \b
    Example:
      pilotage token revoke 3
    """
    with shell.client() as client:
        found = client.revoke_token(number)
    if shell.screen.json:
        shell.screen.data(found)
    else:
        shell.screen.line(f"token {found.number} of {found.user} is revoked")


def tokens_table(found: Sequence[TokenView], now: float) -> Table:
    """A row for each."""
    rows = [
        (
            str(one.number),
            one.name,
            one.user,
            f"site {one.site}" if one.site else one.group,
            one.role,
            ", ".join(one.scopes),
            clock(one.expires),
            clock(one.used) or "never",
            one.who,
            _state(one, now),
        )
        for one in found
    ]
    columns = ("TOKEN", "NAME", "USER", "GROUP", "ROLE", "FOR", "UNTIL", "LAST USED", "MADE BY", "STATE")
    return Table(columns, rows, right=("TOKEN",))


def _state(one: TokenView, now: float) -> str:
    if one.revoked is not None:
        return f"revoked by {one.revoked_by}"
    if one.expires < now:
        return "expired"
    return one.problem or "good"
