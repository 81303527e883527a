"""`pilotage enrolment`: pilots that nobody submits, which a site starts by itself and lets in with a token."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from pilot.places import EnrolmentView
from pilotage.screen import Table
from pilotage.secret_file import secret_file
from pilotage.shell import Shell, common, duration
from pilotage.words import clock, plural


@click.group()
def enrolment() -> None:
    """Pilots that nobody submits: a site starts them, and they enrol with a token. For operators; site admins list.

    \b
    Examples:
      pilotage enrolment create --queue vacuum --count 100 --for 7d --output token
      pilotage enrolment wrapper --queue vacuum --token-file /etc/pilotage/token > start-pilot
    """


@enrolment.command("create")
@click.option("--queue", required=True, help="An external queue, which they are of.")
@click.option("--count", type=click.IntRange(1, 1_000_000), required=True, help="Pilots that it lets in, all in all.")
@click.option("--for", "life", required=True, help="It is good for so long: 7d.")
@click.option("--community", "communities", multiple=True, help="Of the queue's; again for more.  [default: all]")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A new file for it, mode 0600.")
@common
def create(shell: Shell, queue: str, count: int, life: str, communities: tuple[str, ...], output: Path | None) -> None:
    """Make a token. It is shown this once: the central keeps its digest alone.

    \b
    Example:
      pilotage enrolment create --queue vacuum --count 100 --for 7d --output token
    """
    seconds = duration("--for", life)
    with secret_file(output) as file, shell.client() as client:
        opened = client.open_enrolment(queue, pilots=count, seconds=seconds, communities=communities)
        if file:
            file.write(f"{opened.token}\n".encode())
    if shell.screen.json:
        shell.screen.data(opened.enrolment if output else opened)
        return
    made = opened.enrolment
    if not output:
        sys.stdout.write(opened.token + "\n")
        sys.stdout.flush()
    whom = ", ".join(made.communities)
    shell.screen.note(
        f"token {made.number} lets {plural(made.pilots, 'pilot')} into the queue {made.queue} until"
        f" {clock(made.expires)}, for {whom}; whoever has it can start them"
    )


@enrolment.command("list")
@common
def list_tokens(shell: Shell) -> None:
    """List the tokens, without what is secret: whom they let in, and who came in vain.

    \b
    Example:
      pilotage enrolment list
    """
    with shell.client() as client:
        found = client.enrolments()
    if shell.screen.json:
        shell.screen.data({"enrolments": found})
        return
    shell.screen.table(enrolments_table(found, time.time()))
    if not found:
        shell.screen.note("there are none; `pilotage enrolment create` makes one")


@enrolment.command("revoke")
@click.argument("number", type=click.IntRange(1))
@common
def revoke(shell: Shell, number: int) -> None:
    """Let nobody in any more by a token. Pilots that are in stay: `pilotage drain` sends them home.

    \b
    Example:
      pilotage enrolment revoke 3
    """
    with shell.client() as client:
        made = client.revoke_enrolment(number)
    if shell.screen.json:
        shell.screen.data(made)
    else:
        shell.screen.line(f"token {made.number} lets nobody in any more; it let in {plural(made.used, 'pilot')}")


@enrolment.command("wrapper")
@click.option("--queue", required=True, help="An external queue, which the pilots are of.")
@click.option("--token-file", required=True, help="Where the site keeps the token: an absolute path.")
@common
def wrapper(shell: Shell, queue: str, token_file: str) -> None:
    """Print the script that a site starts pilots with, as often as it has room. No secret is in it.

    \b
    Example:
      pilotage enrolment wrapper --queue vacuum --token-file /etc/pilotage/token > start-pilot
    """
    with shell.client() as client:
        script = client.enrolment_wrapper(queue, token_file)
    if shell.screen.json:
        shell.screen.data({"script": script})
        return
    sys.stdout.write(script)
    sys.stdout.flush()


def enrolments_table(found: Sequence[EnrolmentView], now: float) -> Table:
    """A row for each."""
    rows = [
        (
            str(one.number),
            one.queue,
            ", ".join(one.communities),
            f"{one.used} of {one.pilots}",
            clock(one.expires),
            _state(one, now),
            one.who,
            f"{plural(one.refused, 'pilot')} came in vain, {one.alarm}" if one.refused else "",
        )
        for one in found
    ]
    columns = ("TOKEN", "QUEUE", "COMMUNITIES", "LET IN", "UNTIL", "STATE", "MADE BY", "NOTE")
    return Table(columns, rows, right=("TOKEN",))


def _state(one: EnrolmentView, now: float) -> str:
    if one.revoked is not None:
        return f"revoked by {one.revoked_by}"
    if one.expires < now:
        return "expired"
    return "all in" if one.used >= one.pilots else "good"
