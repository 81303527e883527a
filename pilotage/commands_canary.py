"""`pilotage queue test`: one pilot is sent, and what becomes of it is told step by step."""

from __future__ import annotations

import time

import click

from pilot.states import LIVE_PILOT
from pilot.views import PilotDetail
from pilotage import canary, words
from pilotage.canary import Line
from pilotage.commands_places import queue
from pilotage.exits import Exit
from pilotage.shell import WATCHING, Shell, common, duration
from pilotage.timeline import last_lines


@queue.command("test")
@click.argument("name")
@click.option("--for", "patience", default="1h", show_default=True, help="Watch it for so long; it goes on after that.")
@common
def test_queue(shell: Shell, name: str, patience: str) -> int:
    """Send one pilot to a queue and tell what becomes of it: submitted, waiting, running, enrolled, checked, ended.

    The pilot takes no jobs, and is sent whatever waits, also while the queue is paused or its site banned; for a site's
    admin only where an admin of the site has done that. While it lives no other is sent to the queue. The last line
    says whether the queue works. Exit code 0: it does, the pilot found nothing wrong and ended as it should; 1: it does
    not, and what the pilot and the computing element said is shown, or it is not known yet.

    \b
    Example:
      pilotage queue test desy-short
    """
    seconds = duration("--for", patience)
    told: list[Line] = []

    def say(line: Line) -> None:
        told.append(line)
        if not shell.screen.json:
            shell.screen.line(f"{max(0.0, line.after):8.1f} s  {line}")

    if not shell.screen.json:
        shell.screen.line(
            f"One pilot that takes no jobs is sent to the queue {name}, to see whether its pilots would work."
            f" It is watched for {words.seconds(seconds)} at most."
        )
    with shell.client(WATCHING) as client:
        sent = client.test_queue(name)
        say(Line(0.0, "in the journal", f"pilot {words.stamp(sent.stamp)}, which the director of the queue submits"))
        detail = canary.follow(client, name, sent, now=time.time, sleep=time.sleep, patience=float(seconds), say=say)
    code = Exit.DONE if canary.succeeded(detail) else Exit.FAILED
    said = canary.verdict(name, detail, told)
    if shell.screen.json:
        shell.screen.data({"succeeded": code is Exit.DONE, "verdict": said, "lines": told, "pilot": detail})
        return code
    for text in last_lines(detail.steps):
        shell.screen.line(text)
    if more := _more(detail):
        shell.screen.note(more)
    shell.screen.line(said)
    return code


def _more(detail: PilotDetail) -> str:
    """Where to look on; empty for a pilot of which all is said."""
    short = words.stamp(detail.pilot.stamp)
    if detail.pilot.state in LIVE_PILOT:
        return f"it has not ended yet, and goes on: `pilotage pilot {short}` shows it, `pilotage halt` ends it"
    if canary.succeeded(detail):
        return ""
    return f"what it said: `pilotage logs --pilot {short}{' --stream ce' if detail.pilot.enrolled is None else ''}`"
