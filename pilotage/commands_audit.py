"""`pilotage audit`: who did what, for whoever asks later; and whether that is as it was noted."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from pilot.audit import AuditLine
from pilot.auditing import Anchor, Verdict, sentences
from pilot.errors import InvalidInput
from pilotage import audit_files
from pilotage.connection import default_folder
from pilotage.embedded import Embedded
from pilotage.exits import Exit
from pilotage.moments import moment
from pilotage.screen import Table
from pilotage.shell import Shell, common, read
from pilotage.words import clock


@click.group()
def audit() -> None:
    """Who did what, and who was refused what. For community-admins and operators.

    \b
    Examples:
      pilotage audit list --since 7d --what queue
      pilotage audit export audit-$(date +%F).jsonl
      pilotage audit verify
    """


@audit.command("list")
@click.option("--since", help="What was noted since: a duration ago, or a date.")
@click.option("--until", help="And before that.")
@click.option("--who", help="A user, `pilot STAMP`, `director QUEUE`.")
@click.option("--what", help="As queue.pause, or queue for all of that kind; refused.")
@click.option("--community", help="Of this community; for operators, who see all otherwise.")
@click.option("--owner", help="Of what it was about: jobs, credentials.")
@click.option("--subject", help="The name of what it was about.")
@click.option("--job", type=click.IntRange(1), help="About one job.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The newest so many.")
@common
def list_lines(shell: Shell, since: str | None, until: str | None, **fields: object) -> None:
    """List what was done and refused, the newest first.

    \b
    Examples:
      pilotage audit list --since 1d --what refused
      pilotage audit list --who ada --what job --limit 1000
    """
    now = time.time()
    first = read("--since", lambda text: moment(text, now), since) if since else None
    last = read("--until", lambda text: moment(text, now), until) if until else None
    with shell.client() as client:
        lines = list(client.audit(since=first, until=last, **fields))  # type: ignore[arg-type]  # as the options say
    if shell.screen.json:
        shell.screen.data({"lines": lines})
        return
    shell.screen.table(lines_table(lines))
    if not lines:
        shell.screen.note("there is nothing of that kind")


@audit.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common
def export(shell: Shell, file: Path) -> None:
    """Write all of the audit with its chain to a new file, a part to a line. For operators.

    Keep the hash that is printed where nobody who can write to the central's database can: whoever has it can tell
    later whether anything before it was changed.

    \b
    Example:
      pilotage audit export audit-$(date +%F).jsonl
    """
    with shell.client() as client:
        newest = audit_files.write(file, client.audit_chain())
    if shell.screen.json:
        shell.screen.data({"file": str(file.absolute()), "newest": newest})
        return
    shell.screen.line(
        f"{file}: up to link {newest.number}:{newest.hash}" if newest else f"{file}: nothing is linked yet"
    )


@audit.command("verify")
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--offline", is_flag=True, help="Read the store of the folder here, with its keys and its anchor.")
@click.option("--expect", multiple=True, metavar="NUMBER:HASH", help="A link that was written down; again for more.")
@common
def verify(shell: Shell, file: Path | None, offline: bool, expect: tuple[str, ...]) -> None:
    """Say whether the audit is as it was noted: walk its chain, and hold every line against it.

    Without a FILE it is read from the central, which looks at the seals; of an exported FILE the hashes alone are
    looked at. The exit code is 1 when something was changed, removed or put in.

    \b
    Examples:
      pilotage audit verify
      pilotage audit verify --offline
      pilotage audit verify audit-2026-11-01.jsonl --expect 812:5f0c…
    """
    anchors = [read("--expect", _anchor, text) for text in expect]
    if file and offline:
        raise click.UsageError("a FILE is read without the central's store: leave out --offline")
    if file:
        verdict = audit_files.walk(audit_files.read(file), anchors, seals=False)
    elif offline:
        verdict = _offline(shell.folder or default_folder(os.environ), expect)
    else:
        with shell.client() as client:
            verdict = audit_files.walk(client.audit_chain(), anchors, seals=True)
    _tell(shell, verdict)
    if not verdict.sound:
        raise click.exceptions.Exit(Exit.FAILED)


def _offline(folder: Path, expect: Sequence[str]) -> Verdict:
    options = [option for text in expect for option in ("--expect", text)]
    said = Embedded(folder).run("verify-audit", "--folder", str(folder), "--json", *options)
    return msgspec.json.decode(said, type=Verdict)


def _tell(shell: Shell, verdict: Verdict) -> None:
    if shell.screen.json:
        shell.screen.data({"sound": verdict.sound, **msgspec.to_builtins(verdict)})
        return
    first, *others = sentences(verdict)
    shell.screen.line(first)
    for sentence in others:
        shell.screen.line(f"  {sentence}")


def _anchor(text: str) -> Anchor:
    number, colon, hash = text.partition(":")
    if not (number.isdigit() and colon and len(hash) == 64):
        raise InvalidInput("", f"expected the number of a link and its hash, as export prints them, got {text!r}")
    return Anchor(int(number), hash.lower())


def lines_table(lines: Sequence[AuditLine]) -> Table:
    """A row for each."""
    rows = [
        (
            clock(line.time),
            line.who,
            line.what,
            line.subject + (f" of {line.owner}" if line.owner else ""),
            line.community,
            "" if line.job is None else f"job {line.job}",
            line.detail,
        )
        for line in lines
    ]
    return Table(("TIME", "WHO", "WHAT", "ABOUT", "COMMUNITY", "JOB", "DETAIL"), rows)
