"""`pilotage errors`: what the codes of errors mean, and what to do about each."""

from __future__ import annotations

import click

from pilot.catalogue import CATALOGUE, entry
from pilot.errors import PilotageError
from pilotage.rendering_errors import code_facts, errors_page, errors_table
from pilotage.shell import Shell, common


@click.command()
@click.argument("code", required=False)
@click.option("--page", is_flag=True, help="Print the whole catalogue as Markdown.")
@common
def errors(shell: Shell, code: str | None, page: bool) -> None:
    """Say what the codes of errors mean, and what to do. Nobody is asked: the catalogue is part of this program.

    A class alone chooses all of its codes.

    \b
    Examples:
      pilotage errors
      pilotage errors limit.memory
      pilotage errors files
    """
    if page:
        click.echo(errors_page(), nl=False)
        return
    chosen = [found for found in CATALOGUE.values() if code in (None, found.code.value, found.group)]
    if not chosen:
        raise PilotageError(f"There is no code and no class {code}: `pilotage errors` lists all.")
    if shell.screen.json:
        shell.screen.data({"errors": chosen})
    elif code is not None and entry(code):
        shell.screen.facts([*code_facts(code), ("class", chosen[0].group)])
    else:
        shell.screen.table(errors_table(chosen))
