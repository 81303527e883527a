"""`pilotage errors`: what the codes of errors mean, and what to do about each."""

from __future__ import annotations

from difflib import get_close_matches

import click

from pilot.catalogue import CATALOGUE, CLASSES, Entry, entry
from pilot.codes import of_outcome
from pilot.errors import REFUSALS, PilotageError
from pilot.states import Outcome
from pilotage.rendering_errors import code_facts, errors_page, errors_table, refusal_facts
from pilotage.shell import Shell, common


@click.command()
@click.argument("code", required=False)
@click.option("--page", is_flag=True, help="Print the whole catalogue as Markdown.")
@common
def errors(shell: Shell, code: str | None, page: bool) -> None:
    """Say what the codes of errors mean, and what to do. Nobody is asked: the catalogue is part of this program.

    A class alone chooses all of its codes, an outcome of an attempt those that it may have. Refusals are explained too.

    \b
    Examples:
      pilotage errors
      pilotage errors limit.memory
      pilotage errors files
      pilotage errors output-error
    """
    if page:
        click.echo(errors_page(), nl=False)
        return
    if code in REFUSALS:
        if shell.screen.json:
            shell.screen.data({"refusals": {code: REFUSALS[code]}})
        else:
            shell.screen.facts(refusal_facts(code))
        return
    chosen = _chosen(code)
    if not chosen:
        raise PilotageError(
            f"There is no code, class, outcome or refusal {code}{_near(code)} `pilotage errors` lists all."
        )
    if shell.screen.json:
        shell.screen.data({"errors": chosen})
    elif code is not None and entry(code):
        shell.screen.facts([*code_facts(code), ("class", chosen[0].group)])
    else:
        shell.screen.table(errors_table(chosen))


def _chosen(code: str | None) -> list[Entry]:
    """The lines of the catalogue that a code, a class or an outcome stands for; all for None."""
    of = {one.value for outcome in Outcome if outcome.value == code for one in of_outcome(outcome)}
    return [
        found for found in CATALOGUE.values() if code in (None, found.code.value, found.group) or found.code.value in of
    ]


def _near(code: str | None) -> str:
    """What was probably meant, as part of a sentence."""
    names = [*CATALOGUE, *CLASSES, *(outcome.value for outcome in Outcome), *REFUSALS]
    meant: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        for word in {name, name.rpartition(".")[2]}:
            meant.setdefault(word, []).append(name)
    asked = (code or "").lower().replace("_", "-").replace(" ", "-")
    found = [name for word in get_close_matches(asked, meant, 2, 0.6) for name in meant[word]]
    return f"; did you mean {' or '.join(dict.fromkeys(found))}?" if found else "."
