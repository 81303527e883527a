"""`pilotage site` and `pilotage queue`: sites and queues that operators add while the central runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pilot.places import MAX_TEXT, PlaceVersion, QueueDetail
from pilotage.commands_sites import show_sites
from pilotage.screen import Table
from pilotage.shell import Shell, common
from pilotage.words import clock, seconds, size

_BYTES = ("memory", "disk")
_SECONDS = ("wall_time", "lease", "secret_ttl", "idle")

_force = click.option("--force", is_flag=True, help="Do not ask the queue's computing element first.")


@click.group()
def site() -> None:
    """Sites, which have queues: add, list, remove.

    \b
    Examples:
      pilotage site list
      pilotage site add desy
    """


@site.command("list")
@common
def list_sites(shell: Shell) -> None:
    """List the sites: their queues, and who has banned which. The same as `pilotage sites`.

    \b
    Example:
      pilotage site list
    """
    show_sites(shell)


@site.command("add")
@click.argument("name")
@common
def add_site(shell: Shell, name: str) -> None:
    """Add a site, for queues to be added to. For operators.

    \b
    Example:
      pilotage site add desy
    """
    with shell.client() as client:
        _tell(shell, client.add_site(name))


@site.command("remove")
@click.argument("name")
@common
def remove_site(shell: Shell, name: str) -> None:
    """Take away a site that was added and has no queues. For operators.

    \b
    Example:
      pilotage site remove desy
    """
    with shell.client() as client:
        _tell(shell, client.remove_site(name))


@click.group()
def queue() -> None:
    """Queues, which pilots come from: add, show, test, remove. For operators; site admins show and test theirs.

    Those of central.toml are changed there. `pilotage queues` lists all, and pauses them.

    \b
    Examples:
      pilotage queue add desy.toml
      pilotage queue test desy-short
    """


@queue.command("add")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True, exists=True))
@_force
@common
def add_queue(shell: Shell, file: Path, force: bool) -> None:
    """Add a queue, or change one that was added. FILE has the keys of a [[queues]] table of central.toml; - reads it
    from standard input.

    Its computing element is asked first, and every mistake is told with its place. The central takes the queue up at
    once. Each change is a version: `pilotage queue history` shows who made it.

    \b
    Examples:
      pilotage queue add desy.toml
      pilotage queue show desy-short --text > desy.toml
    """
    stream = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    with stream:
        content = stream.read(MAX_TEXT + 1)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"expected text in UTF-8: {error}", param_hint="FILE") from error
    with shell.client() as client:
        _tell(shell, client.add_queue(text, force=force))


@queue.command("show")
@click.argument("name")
@click.option("--text", is_flag=True, help="Print what was added as it was written, and nothing else.")
@click.option("--version", "number", type=click.IntRange(1), help="An older version of what was added.")
@common
def show_queue(shell: Shell, name: str, text: bool, number: int | None) -> None:
    """Show a queue's settings, and who added it.

    \b
    Examples:
      pilotage queue show desy-short
      pilotage queue show desy-short --version 2 --text
    """
    with shell.client() as client:
        if number is not None:
            found = next((one for one in client.queue_history(name) if one.number == number), None)
            if found is None:
                raise click.BadParameter(f"there is no version {number} of {name}", param_hint="--version")
            _show_version(shell, found, text)
            return
        detail = client.queue(name)
    if text and detail.added is None:
        raise click.UsageError(f"{name} was not added: central.toml has its text.")
    if text and detail.added is not None:
        _show_version(shell, detail.added, text)
    elif shell.screen.json:
        shell.screen.data(detail)
    else:
        shell.screen.facts(detail_facts(detail))


@queue.command("history")
@click.argument("name")
@common
def queue_history(shell: Shell, name: str) -> None:
    """Show every version of a queue that was added: who, when, what. Also of one that was removed.

    \b
    Example:
      pilotage queue history desy-short
    """
    with shell.client() as client:
        found = client.queue_history(name)
    if shell.screen.json:
        shell.screen.data({"versions": found})
        return
    rows = [(str(one.number), clock(one.created), one.who, one.note or "written") for one in found]
    shell.screen.table(Table(("VERSION", "WHEN", "WHO", "WHAT"), rows, right=("VERSION",)))


@queue.command("restore")
@click.argument("name")
@click.argument("number", type=click.IntRange(1))
@_force
@common
def restore_queue(shell: Shell, name: str, number: int, force: bool) -> None:
    """Make an older version of a queue the newest.

    \b
    Example:
      pilotage queue restore desy-short 2
    """
    with shell.client() as client:
        _tell(shell, client.restore_queue(name, number, force=force))


@queue.command("remove")
@click.argument("name")
@common
def remove_queue(shell: Shell, name: str) -> None:
    """Take away a queue that was added, when no pilot of it lives. Its history stays.

    \b
    Example:
      pilotage queue remove desy-short
    """
    with shell.client() as client:
        _tell(shell, client.remove_queue(name))


@queue.command("check")
@click.argument("name")
@common
def check_queue(shell: Shell, name: str) -> None:
    """Ask a queue's computing element something that changes nothing, and say what it answers.

    \b
    Example:
      pilotage queue check desy-short
    """
    with shell.client() as client:
        said = client.check_queue(name)
    if shell.screen.json:
        shell.screen.data({"said": said})
    else:
        shell.screen.line(said)


def _tell(shell: Shell, version: PlaceVersion) -> None:
    if shell.screen.json:
        shell.screen.data(version)
        return
    done = "is removed" if not version.text else f"is in force, version {version.number}"
    shell.screen.line(f"the {version.kind} {version.name} {done}" + (f"; {version.said}" if version.said else ""))


def _show_version(shell: Shell, version: PlaceVersion, text: bool) -> None:
    if shell.screen.json:
        shell.screen.data(version)
    elif text:
        shell.screen.line(version.text.removesuffix("\n"))
    else:
        shell.screen.facts([*_facts(version), ("text", version.text or "none: it was removed")])


def _facts(version: PlaceVersion) -> list[tuple[str, str]]:
    written = f"version {version.number}, by {version.who}, {clock(version.created)}"
    return [(version.kind, version.name), ("added", f"{written}{f' ({version.note})' if version.note else ''}")]


def detail_facts(detail: QueueDetail) -> list[tuple[str, str]]:
    """A queue's settings as names and values."""
    origin = _facts(detail.added) if detail.added else [("queue", detail.name), ("declared", "in central.toml")]
    return [
        *origin,
        ("not used", detail.problem),
        ("site", detail.site),
        ("kind", detail.kind),
        *((key, _plainly(key, value)) for key, value in detail.settings.items()),
    ]


def _plainly(key: str, value: str) -> str:
    """A setting for people: amounts with their units."""
    if not value.isdigit():
        return value.strip('"')
    return size(int(value)) if key in _BYTES else seconds(int(value)) if key in _SECONDS else value
