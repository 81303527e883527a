"""What `./dev demo` runs: a central and its pilots in one folder, the picture, what happened, and a clean end.

    python examples/mosaic/demo.py [FOLDER]

The folder, ``.demo`` in the checkout unless named, is made anew each time. Nothing runs any more afterwards.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text
from run import HERE, Rendered, prepare, render

from pilot.states import FINAL, JobState, Outcome
from pilotage import Client, PilotageError, Selection
from pilotage.dismissal import dismiss
from pilotage.embedded import Embedded
from pilotage.rendering_jobs import job_explanation
from pilotage.rendering_pilots import pilots_table
from pilotage.screen import Screen
from pilotage.transport import SYSTEM_CLOCK

TOP = HERE.parent.parent
#: Written into the folder, so that only a folder of ours is ever removed.
MARK = "made-by-the-demo"
#: Seconds that the pilots get to end.
FAREWELL = 30.0


def main(arguments: Sequence[str]) -> int:
    console = Console(highlight=False, soft_wrap=True)
    folder = Path(arguments[0]).absolute() if arguments else TOP / ".demo"
    try:
        run(folder, console)
    except PilotageError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    return 0


def run(folder: Path, console: Console) -> None:
    """The whole demo, in a folder that is made anew."""
    embedded = Embedded(folder / "central")
    clean(folder, embedded)
    say(console, "1", f"A central, its certificates, its database and its settings, all in {folder / 'central'}")
    embedded.make(port=0)
    process = embedded.start()
    try:
        embedded.wait_until_healthy(process)
        rendered = perform(embedded, folder, console)
    finally:
        embedded.stop()
        process.wait()
    picture = folder / "mosaic.png"
    shutil.copy(rendered.picture, picture)
    farewell(folder, picture, rendered, console)


def perform(embedded: Embedded, folder: Path, console: Console) -> Rendered:
    """What needs a running central. However it ends, the pilots are sent home first."""
    patience = 0.0
    with embedded.client() as client:
        try:
            say(console, "2", f"It serves {client.connection.url}. 64 jobs, one for each tile of a picture:")
            started = time.monotonic()
            prepare(json.loads((HERE / "picture.json").read_text()), folder / "work")
            rendered = render(client, folder / "work", console)
            show(client, rendered, time.monotonic() - started, console)
            say(console, "5", "The pilots are asked to end, then the central is stopped")
            patience = FAREWELL
            return rendered
        finally:
            client.kill(Selection(states=tuple(set(JobState) - FINAL)), "the demo ends")
            if left := dismiss(client, patience, SYSTEM_CLOCK, lambda text: None):
                console.print(f"   {len(left)} pilots did not end in time; they end by themselves.")


def clean(folder: Path, embedded: Embedded) -> None:
    """Begin anew. Raises `PilotageError` for a folder that this demo did not make."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / MARK).exists():
            raise PilotageError(f"{folder} is not empty and not of this demo; name another folder.")
        embedded.stop()
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


def show(client: Client, rendered: Rendered, seconds: float, console: Console) -> None:
    """What happened, as the commands of `pilotage` show it."""
    screen = Screen(out=console)
    attempts = [one for job in (*rendered.tiles, rendered.stitch) for one in client.attempts(job)]
    computed = sum(one.usage.cpu or 0.0 for one in attempts)
    good = sum(one.outcome is Outcome.SUCCESS for one in attempts)
    say(
        console,
        "3",
        f"Done: {good} jobs in {seconds:.0f} s, {computed:.0f} s of computing in {len(attempts)} attempts. The pilots:",
    )
    screen.table(pilots_table(tuple(client.pilots()), time.time()))
    (giant,) = client.submit({"name": "giant", "command": ["true"], "needs": {"cores": 1000}}).ids
    say(console, "4", "A job that asks for 1,000 cores waits, and `pilotage explain` says why:")
    screen.facts(job_explanation(client.explain_job(giant)))
    client.kill([giant])


def say(console: Console, number: str, text: str) -> None:
    console.print(Text.assemble((f"{number}  ", "bold cyan"), (text, "bold")))


def farewell(folder: Path, picture: Path, rendered: Rendered, console: Console) -> None:
    """Where everything is, and how to go on."""
    screen = Screen(out=console)
    console.print()
    screen.facts(
        [
            ("the picture", str(picture)),
            ("its tiles", str(folder / "work" / "tiles")),
            ("the central", f"{folder / 'central'} (its log: central.log)"),
            ("look further", f"export PILOTAGE_FOLDER={folder / 'central'} PATH={TOP / '.venv' / 'bin'}:$PATH"),
            ("", "pilotage up --detach"),
            ("", f"pilotage jobs; pilotage job {rendered.stitch}; pilotage pilots --all"),
            ("", "pilotage down"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
