"""The few lines that a batch system is given to run, for those that keep a copy of what they are given.

Such copies may be read by others. These lines start the wrapper, which stays in its folder, and are no secret.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from central.elements.system import Job


def launch(job: Job, environment: Sequence[tuple[str, str]], *, into_output: bool = False) -> bytes:
    """A script of the shell that becomes the pilot's wrapper in its folder, with the environment of the queue.

    `into_output` where the system would bring what is printed to its file only after the end, if at all.
    """
    folder = shlex.quote(job.folder)
    exports = (f"export {name}={shlex.quote(value)}" for name, value in environment)
    output = (f"exec >>{shlex.quote(job.output)} 2>&1",) if into_output else ()
    lines = ("#!/bin/sh", f"cd {folder} || exit", *output, *exports, f"exec {shlex.quote(job.script)}", "")
    return "\n".join(lines).encode()


def command(job: Job, environment: Sequence[tuple[str, str]]) -> str:
    """The same as one line, for those that take no script."""
    words = ("exec", "env", *(f"{name}={value}" for name, value in environment), job.script)
    return shlex.join(words if environment else ("exec", job.script))
