"""`pilotage waste`: where the time of pilots' cores went."""

from __future__ import annotations

import time
from pathlib import Path

import click

from pilotage.commands_usage import keys
from pilotage.moments import moment
from pilotage.rendering_waste import causes_table, waste_picture, waste_table, waste_total
from pilotage.shell import Shell, common, read

KEYS = ("site", "queue", "community", "pilot")


@click.command()
@click.option("--by", default="site", show_default=True, help="Some of site, queue, community, pilot.")
@click.option("--since", default="7d", show_default=True, help="Pilots that ended since: a duration ago, or a date.")
@click.option("--until", help="And before that; without it, also those that live now.")
@click.option("--community", help="Of this community; for operators, who see all otherwise.")
@click.option("--causes", is_flag=True, help="A row for each cause.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture there.")
@common
def waste(
    shell: Shell, by: str, since: str, until: str | None, community: str | None, causes: bool, svg: Path | None
) -> None:
    """Say where the time of pilots' cores went: every core-second has one cause.

    LOST are payloads that ended with their node or pilot, and pilots that vanished; FILES the bringing of images,
    inputs and outputs, IDLE the cores without a job, START what a pilot does before it takes jobs.

    \b
    Examples:
      pilotage waste --by site,community --since 30d
      pilotage waste --causes
      pilotage waste --since 2026-11-01 --until 2026-12-01 --svg waste.svg
    """
    now = time.time()
    chosen = read("--by", lambda text: keys(text, KEYS), by)
    first = read("--since", lambda text: moment(text, now), since)
    last = read("--until", lambda text: moment(text, now), until) if until else None
    with shell.client() as client:
        page = client.waste(chosen, since=first, until=last, community=community)
    if svg is not None:
        svg.write_text(waste_picture(page), encoding="utf-8")
    if shell.screen.json:
        shell.screen.data(page)
        return
    shell.screen.table(causes_table(page) if causes else waste_table(page))
    shell.screen.note(waste_total(page))
    if svg is not None:
        shell.screen.note(f"the picture is in {svg}")
