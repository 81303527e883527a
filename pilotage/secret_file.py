"""A new file for a secret that a command has made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click


@contextmanager
def secret_file(path: Path | None, option: str = "--output") -> Iterator[BinaryIO | None]:
    """A file, mode 0600, that was not there before, open for as long as the block lasts; None where none is wanted.

    It is made before the secret is, so that no secret is made in vain. Raises the error of a wrong command line where
    it is there already.
    """
    if path is None:
        yield None
        return
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise click.BadParameter(f"{path} is there already; name a new file", param_hint=option) from error
    with open(file, "wb") as target:
        try:
            yield target
        except BaseException:  # also for Ctrl-C: an empty file would be taken for a secret, and be in the way next time
            path.unlink()
            raise
