"""`pilotage cost`: what machines cost."""

from __future__ import annotations

import time

import click

from pilotage.commands_usage import keys
from pilotage.moments import moment
from pilotage.rendering_cost import cost_table, cost_total
from pilotage.shell import Shell, common, read

KEYS = ("community", "site", "queue", "day", "pilot")


@click.command()
@click.option("--by", default="site", show_default=True, help="Some of community, site, queue, day, pilot.")
@click.option("--since", default="7d", show_default=True, help="A duration ago, or a date in local time.")
@click.option("--until", default="now", show_default=True, help="Likewise.")
@click.option("--community", help="Of this community; for operators, who see all otherwise.")
@common
def cost(shell: Shell, by: str, since: str, until: str, community: str | None) -> None:
    """Say what machines cost: the price of an hour, as it was when each was started, times its life.

    GOOD is the part that went into payloads that succeeded. Whose cost it is follows what the cores did. Days are those
    of UTC.

    \b
    Examples:
      pilotage cost --by community,day
      pilotage cost --by queue --since 2026-11-01 --until 2026-12-01
    """
    now = time.time()
    chosen = read("--by", lambda text: keys(text, KEYS), by)
    first = read("--since", lambda text: moment(text, now), since)
    last = None if until == "now" else read("--until", lambda text: moment(text, now), until)
    with shell.client() as client:
        page = client.cost(chosen, since=first, until=last, community=community)
    if shell.screen.json:
        shell.screen.data(page)
        return
    shell.screen.table(cost_table(page))
    shell.screen.note(cost_total(page))
