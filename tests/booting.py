"""A machine that boots from its user-data, as a process: what cloud-init does with it, without cloud-init."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import yaml


def lay_out(content: bytes, root: Path) -> None:
    """Write the files of user-data below a folder, and tell them that they are there."""
    text = gzip.decompress(content).decode() if content.startswith(b"\x1f\x8b") else content.decode()
    for entry in yaml.safe_load(text)["write_files"]:
        path = root / entry["path"].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        inside = entry["content"].replace("/run/pilotage", str(root / "run/pilotage"))
        path.write_text(inside)
        path.chmod(int(entry["permissions"], 8))


def boot(root: Path, console: Path) -> subprocess.Popen[bytes]:
    """Start what was laid out there, in a session of its own; what it prints goes to a file."""
    with console.open("wb") as printed:
        return subprocess.Popen(
            [sys.executable, "-I", str(root / "var/lib/pilotage/boot.py")],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"]},
            start_new_session=True,
        )
