"""Making bundles on a community's own machine: the archive and its manifest."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilot import bundles
from pilot.bundles import MANIFEST, Manifest
from pilot.errors import InvalidInput, PilotageError

#: Seconds for the modules of a bundle to be imported.
PATIENCE = 120
#: What a folder may hold that does not travel.
_SKIPPED = frozenset({"__pycache__", "tests", MANIFEST})


@dataclass(frozen=True)
class Built:
    """A bundle as bytes."""

    manifest: Manifest
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def build(folder: Path, name: str = "") -> Built:
    """The bundle of a folder of modules: the same files give the same bytes. Raises `PilotageError`.

    Its modules are imported, in a process of their own. Hidden files, tests and what Python compiled stay out.
    """
    if not folder.is_dir():
        raise InvalidInput(str(folder), "expected a folder with Python modules")
    name = name or folder.resolve().name
    files = dict(_files(folder))
    described = _describe(folder)
    if described["problems"]:
        raise PilotageError(f"{folder}: " + "; ".join(described["problems"]))
    values = {
        "format": bundles.FORMAT,
        "name": name,
        "commands": described["commands"],
        "modules": list(bundles.modules_of(list(files))),
    }
    manifest = bundles.parse_manifest(json.dumps(values).encode())
    if not manifest.commands:
        raise PilotageError(f"{folder}: no command is in it; expected functions with @command() in modules at its top")
    content = packed({**files, MANIFEST: manifest.written()})
    return Built(bundles.read(content), content)


def read(path: Path) -> Built:
    """A bundle from a file, checked. Raises `InvalidInput`."""
    try:
        with path.open("rb") as file:
            content = file.read(bundles.MAX_SIZE + 1)
    except OSError as error:
        raise InvalidInput(str(path), f"expected a bundle: {error.strerror or error}") from error
    return Built(bundles.read(content), content)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        left_out = any(part in _SKIPPED or part.startswith(".") for part in parts) or path.suffix in (".pyc", ".zip")
        if left_out or path.name.startswith("test_") or path.name == "conftest.py":
            continue
        if path.is_symlink():
            raise InvalidInput(str(path), "expected a file, got a link: a bundle has none")
        if path.is_file():
            yield "/".join(parts), path.read_bytes()


def _describe(folder: Path) -> dict[str, Any]:
    """What the modules say of themselves, imported by a process that has nothing of ours."""
    home = str(Path(bundles.__file__).resolve().parents[1])
    places = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryFile() as answer:  # no pipe: it would be full before somebody reads it
        words = [sys.executable, "-B", "-m", "commands.describing", str(folder.resolve()), str(answer.fileno())]
        try:
            done = subprocess.run(
                words,
                env={**os.environ, "PYTHONPATH": places},
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if _has_number(sys.stderr) else None,
                pass_fds=[answer.fileno()],
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PilotageError(f"{folder}: its modules were not imported after {PATIENCE} s") from error
        answer.seek(0)
        text = answer.read(4 * bundles.MAX_MANIFEST)
    try:
        described: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise PilotageError(f"{folder}: importing its modules ended Python with exit code {done.returncode}") from error
    return described


def _has_number(stream: Any) -> bool:
    try:
        stream.fileno()
    except (OSError, AttributeError):
        return False
    return True


def packed(files: dict[str, bytes]) -> bytes:
    """An archive of these files, the same bytes for the same files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, also where built elsewhere
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    return made.getvalue()
