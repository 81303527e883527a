"""Writing ``client.toml``: which central, and the token that somebody got by logging in. For its owner alone."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from pilotage.connection import FILE, Connection


def write(folder: Path, connection: Connection) -> Path:
    """Put the file into place, whole or not at all. Returns where it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE
    unfinished = folder / f".{FILE}.{secrets.token_hex(4)}"
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(file, "w", encoding="utf-8") as target:
            target.write(text(connection))
            target.flush()
            os.fsync(target.fileno())
        os.replace(unfinished, path)
    except BaseException:  # also for Ctrl-C: a token is not left lying about under another name
        unfinished.unlink(missing_ok=True)
        raise
    return path


def text(connection: Connection) -> str:
    """The file's content."""
    values = {
        "url": connection.url,
        "ca": str(connection.ca.absolute()) if connection.ca else "",
        "login": connection.login,
        "token": connection.token,
    }
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items() if value)
