"""Guests of this host, for tests: a folder with the cached image, and small flavors."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from central.clouds.conformance import Scene
from central.clouds.guests import processes
from central.clouds.port import CloudProvider
from central.configuration.elements import Cloud

#: Where the images are that `images/build.sh` makes.
IMAGES = os.environ.get("PILOTAGE_GUEST_IMAGES", "")
IMAGE = "bookworm"
#: What jobs need that do nothing.
LITTLE = {"memory": "100 MB", "disk": "10 MB", "wall_time": "10 min"}
SIZES = """\
[quota]
machines = {machines}
cores = 64
memory = "64 GB"

[[flavors]]
name = "small"
cores = 1
memory = "512 MiB"
disk = "8 GB"

[[flavors]]
name = "large"
cores = 2
memory = "2 GB"
disk = "8 GB"
"""
Make = Callable[[Cloud, str, Path], CloudProvider]


def lay_out(folder: Path, machines: int = 8) -> None:
    """A folder of guests."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "images").exists():
        (folder / "images").symlink_to(IMAGES)
    (folder / "guests.toml").write_text(SIZES.format(machines=machines))


def leader(folder: Path, id: str) -> int:
    """The number of the process that a machine is."""
    process = processes.written(folder / "machines" / id / "process")
    assert process, f"{id} has no process"
    return process.pid


def scene(folder: Path, make: Make, *, networks: tuple[str, ...], console: bytes, patience: float) -> Scene:
    """For the contract of every cloud."""
    lay_out(folder)

    @contextmanager
    def full() -> Iterator[None]:
        lay_out(folder, machines=len(list((folder / "machines").glob("*"))))
        try:
            yield
        finally:
            lay_out(folder)

    def fresh(central: str) -> CloudProvider:
        return make(Cloud(flavor="small", image=IMAGE, folder=str(folder)), central, folder)

    held: Callable[[], AbstractContextManager[object]] = full
    return Scene(
        fresh,
        "small",
        IMAGE,
        networks,
        patience=patience,
        console=console,
        full=held,
        power_off=lambda id: os.kill(leader(folder, id), signal.SIGKILL),
    )
