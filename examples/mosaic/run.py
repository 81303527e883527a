"""Render a large picture as 64 jobs: ``python examples/mosaic/run.py [FOLDER]``.

Needs a central to talk to, as `pilotage up` starts one. Prepares the inputs in the folder (``mosaic`` unless named),
submits a sweep with one job a tile, fetches the tiles when they are done, submits the job that joins them, and fetches
the picture.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from pilotage import Client, JobState, PilotageError
from pilotage.watching import JobsDisplay

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Rendered:
    """What became of it: the jobs, and the picture."""

    tiles: tuple[int, ...]
    stitch: int
    picture: Path


def main(arguments: Sequence[str]) -> int:
    console = Console(highlight=False, soft_wrap=True)
    folder = Path(arguments[0]) if arguments else Path("mosaic")
    try:
        prepare(json.loads((HERE / "picture.json").read_text()), folder)
        with Client.from_environment() as client:
            rendered = render(client, folder, console)
    except PilotageError as error:
        print(f"mosaic: {error}", file=sys.stderr)
        return 1
    console.print(f"The picture is {rendered.picture}.")
    return 0


def prepare(picture: dict[str, Any], folder: Path) -> None:
    """Put the programs and one input file a tile into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tile.py", "stitch.py", "png.py"):
        shutil.copy(HERE / name, folder)
    for number, tile in enumerate(tiles(picture)):
        (folder / f"tile-{number}.json").write_text(json.dumps(tile))


def tiles(picture: dict[str, Any]) -> list[dict[str, Any]]:
    """The inputs of all tiles, row by row from the top left."""
    across, side = picture["tiles"], picture["side"] / picture["tiles"]
    return [
        {
            "left": picture["left"] + number % across * side,
            "top": picture["top"] - number // across * side,
            "step": side / picture["pixels"],
            "width": picture["pixels"],
            "height": picture["pixels"],
            "iterations": picture["iterations"],
            "palette": picture["palette"],
            "inside": picture["inside"],
        }
        for number in range(across * across)
    ]


def render(client: Client, folder: Path, console: Console) -> Rendered:
    """Run all jobs. Raises `PilotageError` when some did not succeed."""
    submission = client.submit(load("tiles.yaml"), folder)
    wait(client, submission.ids, "tiles", console)
    for job in submission.ids:
        client.fetch_outputs(job, folder / "tiles")
    # The tiles are inputs now. The central has them already, so none is sent again.
    (stitch,) = client.submit(load("stitch.yaml"), folder).ids
    wait(client, (stitch,), "stitch", console)
    (picture,) = client.fetch_outputs(stitch, folder).files
    return Rendered(submission.ids, stitch, picture)


def load(name: str) -> dict[str, Any]:
    """A job file that lies beside this one."""
    document: dict[str, Any] = yaml.safe_load((HERE / name).read_text())
    return document


def wait(client: Client, jobs: tuple[int, ...], title: str, console: Console) -> None:
    """Wait for jobs with a display of how far they are. Raises `PilotageError` when one did not succeed."""
    with JobsDisplay(title, len(jobs), console) as display:
        ended = client.wait(jobs, progress=display)
    for job in ended:
        if job.state is not JobState.DONE:
            raise PilotageError(
                f"Job {job.id} ({job.name}) {job.state.value}: {job.reason}. See `pilotage logs {job.id}`."
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
