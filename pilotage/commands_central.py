"""`pilotage up`, `down`, `backup` and `whoami`: a central on this machine, and who one is to it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import click

from pilot import units
from pilotage.connection import FOLDER, default_folder
from pilotage.dismissal import dismiss
from pilotage.embedded import Embedded
from pilotage.shell import Shell, common, duration
from pilotage.transport import SYSTEM_CLOCK
from pilotage.words import clock


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), help="To listen on, when the folder is made; 0 picks a free one."
)
@click.option(
    "--pilot",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The pilot.pyz that pilots are started from.  [default: dist/pilot.pyz of the checkout]",
)
@click.option("--database", metavar="URL", help="Keep jobs in postgresql://user@host/name, when the folder is made.")
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Processes that share the work; more than one needs PostgreSQL."
)
@click.option("--detach", is_flag=True, help="Return when it serves, and leave it running; `pilotage down` stops it.")
@common
def up(
    shell: Shell, port: int | None, pilot: Path | None, database: str | None, workers: int | None, detach: bool
) -> None:
    """Start a central and its pilots here; serve until Ctrl-C.

    Everything is in one folder, which is made when it is not there. A database of PostgreSQL may be shared by several
    centrals; its URL has no password, which belongs into ~/.pgpass.

    \b
    Examples:
      pilotage up
      pilotage up --folder /tmp/try --port 0 --detach
      pilotage up --database postgresql://pilotage@localhost/jobs --workers 4
    """
    embedded = Embedded(_folder(shell))
    if holder := embedded.holder():
        _told(shell, embedded, holder, "already serves")
        return
    for line in embedded.make(port, pilot, database, workers).splitlines():
        shell.screen.note(line)
    process = embedded.start(workers)
    try:
        embedded.wait_until_healthy(process)
    except BaseException:  # nothing that was started outlives this, Ctrl-C included
        process.terminate()
        process.wait()
        raise
    if detach:
        _told(shell, embedded, process.pid, "serves")
        return
    raise click.exceptions.Exit(_until_it_ends(shell, process, lambda: _told(shell, embedded, process.pid, "serves")))


def _folder(shell: Shell) -> Path:
    return shell.folder or default_folder(os.environ)


def _told(shell: Shell, embedded: Embedded, process: int, verb: str) -> None:
    with embedded.client() as client:
        url = client.connection.url
    folder = embedded.folder
    if shell.screen.json:
        shell.screen.data({"url": url, "folder": str(folder), "process": process, "log": str(embedded.log)})
        return
    shell.screen.line(f"The central {verb} {url} (process {process}).")
    facts = [
        ("folder", f"{folder} (settings: central.toml, your token: client.toml)"),
        ("log", str(embedded.log)),
        ("submit a job", "pilotage submit job.yaml"),
        ("see what goes on", "pilotage jobs, pilotage pilots"),
        ("stop it", "pilotage down"),
    ]
    if folder != default_folder(os.environ):
        facts.insert(2, ("first", f"export {FOLDER}={folder}, or give every command --folder {folder}"))
    shell.screen.facts(facts)


def _until_it_ends(shell: Shell, process: subprocess.Popen[bytes], tell: Callable[[], None]) -> int:
    """Pass SIGINT and SIGTERM on, from before anybody is told; returns the central's exit code."""

    def stop(number: int, frame: object) -> None:
        process.terminate()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        tell()
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    shell.screen.note("The central has stopped; pilots that still run a job go on, and report when it is back.")
    return code


@click.command()
@click.option("--wait", "wait", default="1 min", show_default=True, help="For pilots to finish what they run.")
@click.option("--keep-pilots", is_flag=True, help="Stop the central alone; pilots go on, and report when it is back.")
@common
def down(shell: Shell, wait: str, keep_pilots: bool) -> None:
    """Stop the central here, its pilots first.

    Pilots are asked to finish what they run, and halted when that takes longer than --wait.

    Jobs that had not ended wait again, and run when the central is back.

    \b
    Example:
      pilotage down --wait 10min
    """
    seconds = duration("--wait", wait)
    embedded = Embedded(_folder(shell))
    if embedded.holder() is None:
        shell.screen.note(f"No central serves {embedded.folder}.")
        return
    left: tuple[object, ...] = ()
    if not keep_pilots:
        with embedded.client() as client:
            left = dismiss(client, seconds, SYSTEM_CLOCK, shell.screen.note)
    embedded.stop()
    if shell.screen.json:
        shell.screen.data({"stopped": True, "pilots_left": left})
    else:
        shell.screen.line(f"The central of {embedded.folder} has stopped.")
    if left:
        shell.screen.note(f"{len(left)} pilots did not end and end by themselves when they cannot reach the central.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common
def backup(shell: Shell, file: Path) -> None:
    """Copy the database of the central here, also while it serves.

    `python -m central restore` puts a copy back; docs/operating.md says what else to keep.

    \b
    Example:
      pilotage backup central-$(date +%F).db
    """
    embedded = Embedded(_folder(shell))
    embedded.run("backup", "--folder", str(embedded.folder), str(file.absolute()))
    if shell.screen.json:
        shell.screen.data({"file": str(file.absolute()), "bytes": file.stat().st_size})
    else:
        shell.screen.line(f"{file}: {units.show_size(file.stat().st_size)}")


@click.command()
@common
def whoami(shell: Shell) -> None:
    """Say which central this is and whom your token speaks for.

    \b
    Example:
      pilotage whoami
    """
    with shell.client() as client:
        me, url = client.whoami(), client.connection.url
    if shell.screen.json:
        shell.screen.data(me)
        return
    shell.screen.facts(
        [
            ("user", me.user),
            ("group", f"{me.group} of {me.community}" if me.group else ""),
            ("site", me.site),
            ("role", me.role),
            ("token", f"{me.token}: {', '.join(me.scopes)}, until {clock(me.expires)}" if me.token else ""),
            ("central", f"{url}, version {me.server_version}"),
        ]
    )
