"""`pilotage usage`, `shares` and `limits`: who used how much, who is due how much, and what may run at once."""

from __future__ import annotations

import time

import click

from pilot import units
from pilot.errors import InvalidInput
from pilotage.moments import beginning, moment
from pilotage.rendering_usage import limits_table, shares_note, shares_table, usage_table, usage_total
from pilotage.shell import Shell, common, read

KEYS = ("community", "group", "owner", "site")


def keys(text: str, known: tuple[str, ...] = KEYS) -> tuple[str, ...]:
    """Words with commas between them. Raises `InvalidInput`."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if unknown := [key for key in found if key not in known]:
        raise InvalidInput("", f"expected some of {', '.join(known)}, with commas, got {unknown[0]!r}")
    return found


def _span(text: str) -> int:
    seconds = units.duration(text, "")
    if seconds < 1:
        raise InvalidInput("", f"expected a span like 1d or 1h, got {text!r}")
    return seconds


@click.command()
@click.option("--by", default="community,group", show_default=True, help="Some of community, group, owner, site.")
@click.option("--since", default="7d", show_default=True, help="A duration ago, or a date in local time.")
@click.option("--until", default="now", show_default=True, help="Likewise.")
@click.option("--span", help="A row for each such span, as 1d or 1h.")
@click.option("--community", help="Of this community; for operators, who see all otherwise.")
@common
def usage(shell: Shell, by: str, since: str, until: str, span: str | None, community: str | None) -> None:
    """Say what was used: core-hours, how much of it was CPU time, how much was lost.

    Attempts count when they have ended. Lost are the core-hours of those that did not succeed.

    \b
    Examples:
      pilotage usage --by owner,site --since 30d
      pilotage usage --since 2026-11-01 --until 2026-12-01 --span 1d
    """
    now = time.time()
    told_apart = read("--by", keys, by)
    seconds = read("--span", _span, span) if span else None
    first = read("--since", lambda text: moment(text, now), since)
    last = None if until == "now" else read("--until", lambda text: moment(text, now), until)
    if seconds is not None:
        first = beginning(first, seconds)
    with shell.client() as client:
        page = client.usage(told_apart, since=first, until=last, span=seconds, community=community)
    if shell.screen.json:
        shell.screen.data(page)
        return
    shell.screen.table(usage_table(page))
    shell.screen.note(usage_total(page))


@click.command()
@common
def shares(shell: Shell) -> None:
    """Say what communities, groups and owners are due, have used, and run now.

    \b
    Example:
      pilotage shares
    """
    with shell.client() as client:
        page = client.shares()
    if shell.screen.json:
        shell.screen.data(page)
        return
    shell.screen.table(shares_table(page))
    shell.screen.note(shares_note(page))


@click.command()
@common
def limits(shell: Shell) -> None:
    """Say what may run at the same time, and how full each limit is.

    \b
    Example:
      pilotage limits
    """
    with shell.client() as client:
        found = client.limits()
    if shell.screen.json:
        shell.screen.data({"limits": found})
        return
    shell.screen.table(limits_table(found))
    if not found:
        shell.screen.note("no limits are set")
