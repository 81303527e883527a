"""`pilotage queue test`: one pilot is sent, and what becomes of it is told step by step."""

from __future__ import annotations

import time

import click

from pilot.states import LIVE_PILOT
from pilotage import canary
from pilotage.canary import Line
from pilotage.commands_places import queue
from pilotage.exits import Exit
from pilotage.shell import WATCHING, Shell, common, duration
from pilotage.timeline import last_lines
from pilotage.words import stamp


@queue.command("test")
@click.argument("name")
@click.option("--for", "patience", default="1h", show_default=True, help="Watch it for so long; it goes on after that.")
@common
def test_queue(shell: Shell, name: str, patience: str) -> int:
    """Send one pilot to a queue and tell what becomes of it: submitted, waiting, running, enrolled, checked, ended.

    The pilot takes no jobs, and is sent whatever waits, also while the queue is paused. Exit code 0: it looked around,
    found nothing wrong and ended as it should; 1: it did not, and what it and the computing element said is shown.

    \b
    Example:
      pilotage queue test desy-short
    """
    seconds = duration("--for", patience)
    told: list[Line] = []

    def say(line: Line) -> None:
        told.append(line)
        if not shell.screen.json:
            more = " ".join(line.more.split())
            shell.screen.line(f"{max(0.0, line.after):8.1f} s  {line.what}{f': {more}' if more else ''}")

    with shell.client(WATCHING) as client:
        sent = client.test_queue(name)
        say(Line(0.0, "in the journal", f"pilot {stamp(sent.stamp)}, which the director of the queue submits"))
        detail = canary.follow(client, name, sent, now=time.time, sleep=time.sleep, patience=float(seconds), say=say)
    succeeded = canary.succeeded(detail)
    if shell.screen.json:
        shell.screen.data({"succeeded": succeeded, "lines": told, "pilot": detail})
        return Exit.DONE if succeeded else Exit.FAILED
    for line in last_lines(detail.steps):
        shell.screen.line(line)
    if detail.pilot.state in LIVE_PILOT:
        shell.screen.note(
            f"it has not ended yet, and goes on: `pilotage pilot {stamp(sent.stamp)}` shows it, `pilotage halt` ends it"
        )
    elif not succeeded:
        stream = " --stream ce" if detail.pilot.enrolled is None else ""
        shell.screen.note(f"what it said: `pilotage logs --pilot {stamp(sent.stamp)}{stream}`")
    return Exit.DONE if succeeded else Exit.FAILED
