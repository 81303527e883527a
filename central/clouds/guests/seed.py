"""The NoCloud seed: how cloud-init on a guest is told who it is and what to do. It holds a secret."""

from __future__ import annotations

import json
import os
from pathlib import Path

from central.clouds.guests.hypervisor import Guest


def lay_out(guest: Guest, cloud: str, folder: Path) -> None:
    """Write the seed's files into a folder, which is made. `cloud`: what the guest calls where it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = {
        "instance-id": guest.id,
        "local-hostname": guest.hostname,
        "instance-type": guest.flavor.name,
        "cloud-name": cloud,
    }
    write(folder / "meta-data", json.dumps(about).encode() + b"\n", 0o600)
    write(folder / "user-data", guest.user_data, 0o600)
    write(folder / "vendor-data", b"", 0o600)


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a file that nobody else could read at any moment."""
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
