"""`pilotage sites`, and what an operator does to one: `ban`, `unban`."""

from __future__ import annotations

import click

from pilot.queues import SiteView
from pilotage.rendering_pilots import site_facts, sites_table
from pilotage.shell import Shell, common, duration


@click.group(invoke_without_command=True)
@common
def sites(shell: Shell) -> None:
    """List the sites: their queues, and who has banned which.

    \b
    Examples:
      pilotage sites
      pilotage sites ban here --reason "power cut" --for 2h
    """
    if not click.get_current_context().invoked_subcommand:
        show_sites(shell)


def show_sites(shell: Shell) -> None:
    """What `pilotage sites` and `pilotage site list` print."""
    with shell.client() as client:
        found = client.sites()
    if shell.screen.json:
        shell.screen.data({"sites": found})
    else:
        shell.screen.table(sites_table(found))


@sites.command()
@click.argument("name")
@click.option("--reason", required=True, help="Told to whoever asks why the site gets no pilots.")
@click.option("--for", "lasts", metavar="TIME", help="As 2h or 30m; without it until `sites unban`.")
@common
def ban(shell: Shell, name: str, reason: str, lasts: str | None) -> None:
    """Send no new pilots to any queue of a site, for a time or until it is unbanned. For operators and its admins.

    Pilots that are there go on, and take jobs; `pilotage drain` sends them home.

    \b
    Example:
      pilotage sites ban here --reason "power cut" --for 2h
    """
    seconds = None if lasts is None else duration("--for", lasts)
    with shell.client() as client:
        _show(shell, client.ban_site(name, reason, seconds))


@sites.command()
@click.argument("name")
@common
def unban(shell: Shell, name: str) -> None:
    """Send pilots to a site again that was banned. For operators and its admins.

    \b
    Example:
      pilotage sites unban here
    """
    with shell.client() as client:
        _show(shell, client.unban_site(name))


def _show(shell: Shell, site: SiteView) -> None:
    if shell.screen.json:
        shell.screen.data(site)
    else:
        shell.screen.facts(site_facts(site))
