"""The first command: is this machine fit to run anything at all?"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Optional

from commands.context import Context, Unfit
from commands.registry import command
from pilot.units import show_size

#: What starts every payload.
SHELL = "/bin/sh"


@command(provides=["checked"], timeout=60)
def check_node(context: Context) -> Context:
    """Refuse a machine on which every job would fail, before one is lost there."""
    free = context.node.free_disk(context.work)
    check(context.work, free, context.settings.min_disk)
    context.say(f"the machine is fit: {show_size(free) if free is not None else 'an unknown amount'} free for jobs")
    return context


def check(work: Path, free: Optional[int], least: int) -> None:
    """Raise `Unfit` where payloads could not write or start. `free` and `least` are bytes."""
    _check_writable(work)
    if free is not None and free < least:
        raise Unfit(f"{work} has {show_size(free)} free, at least {show_size(least)} are required")
    if not os.access(SHELL, os.X_OK):
        raise Unfit(f"{SHELL} cannot be run, and every payload is started through it")


def _check_writable(work: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=work) as file:
            file.write(b"fit")
    except OSError as error:
        raise Unfit(f"nothing can be written to {work}: {error.strerror or error}") from error
