"""Makes what travels inside `pilot.pyz` importable, before anything else is imported.

Called first thing, by the monitor, the agent and every other subcommand:

    libraries = bootstrap.prepare(bootstrap.own_archive(), work)

The archive is unpacked once into the work directory, and all that is imported from then on comes from there: Python
keeps what it compiled beside it, which the next process of the same pilot reuses. Imported straight from the archive
every process would compile everything again, no extension module could be loaded, and certifi would write into /tmp.
So before `prepare`, import only the standard library, this module and the plain modules; `wrappers/bundle.py` writes
the archive and has the measurements.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import pilot
from pilot.errors import PilotageError

# The layout of the archive, as `wrappers/bundle.py` writes it.
LIBRARIES, NATIVE, OURS = "lib/", "native/", ("pilot/", "commands/")


@dataclass(frozen=True)
class Libraries:
    """What `prepare` found. `sentence` is for the log and for doctor, and says why where psutil cannot be loaded."""

    root: Optional[Path]  # where they were unpacked; None: not run from an archive
    psutil: bool  # False: take the values from /proc
    sentence: str


def own_archive() -> Optional[Path]:
    """The `pilot.pyz` that this process runs from, or None in a checkout."""
    archive = getattr(__spec__.loader, "archive", None)
    return Path(os.path.abspath(archive)) if archive else None


def prepare(archive: Optional[Path], work: Path) -> Libraries:
    """Unpack the archive into `work` unless a process of this pilot has done so, and import from there from now on.

    Safe to be called by several processes at once. Without an archive nothing is done, and the record says so.
    Raises `PilotageError` where `work` cannot be written to, or holds somebody else's code.
    """
    if archive is None:
        found = importlib.util.find_spec("psutil") is not None
        return Libraries(None, found, f"Not run from an archive: the libraries are those of {sys.executable}.")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    root = work.absolute() / f"lib-{digest[:16]}"
    try:
        if not root.is_dir():
            _unpack(archive, root)
        about = root.stat()
    except OSError as error:
        raise PilotageError(
            f"{archive} cannot be unpacked into {root}: {error}. Give a work directory that can be written to, "
            "with 5 MB free."
        ) from error
    if about.st_uid != os.geteuid() or about.st_mode & 0o022:
        raise PilotageError(f"{root} was not made by this user alone. Remove it, or give another work directory.")
    _import_from(root, archive)
    why_not = _psutil_problem(root)
    if why_not:
        return Libraries(root, False, f"Libraries are in {root}; psutil is not used, /proc is: {why_not}.")
    return Libraries(root, True, f"Libraries are in {root}, psutil loads.")


def _unpack(archive: Path, root: Path) -> None:
    """Unpack aside and rename, so that nobody ever sees half of it."""
    aside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=root.parent))
    try:
        with zipfile.ZipFile(archive) as shipped:
            for name in shipped.namelist():
                place = _place(name)
                if place is not None:
                    target = aside / place
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(shipped.read(name))
        try:
            aside.rename(root)
        except OSError:
            if not root.is_dir():
                raise
            # another process of this pilot was faster
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _place(name: str) -> Optional[str]:
    """Where an entry of the archive belongs in the unpacked folder; None: it stays in the archive."""
    if name.startswith(OURS):
        return name
    if name.startswith(LIBRARIES):
        return name[len(LIBRARIES) :]
    here = f"{NATIVE}{_platform()}/"
    return f"psutil/{name[len(here) :]}" if name.startswith(here) else None


def _platform() -> str:
    try:
        glibc = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):  # musl does not know the name
        glibc = None
    return f"{os.uname().machine}-{'glibc' if glibc else 'musl'}"


def _import_from(root: Path, archive: Path) -> None:
    """Put the unpacked folder where the archive was. `pilot` itself was already found in the archive: redirect it."""
    elsewhere = [entry for entry in sys.path if os.path.abspath(entry) != str(archive) and entry != str(root)]
    sys.path[:] = [str(root), *elsewhere]
    pilot.__path__[:] = [str(root / "pilot")]


def _psutil_problem(root: Path) -> str:
    """Why psutil's extension module cannot be loaded, empty if it can. Much cheaper than to import all of psutil."""
    modules = sorted((root / "psutil").glob("*.so"))
    if not modules:
        return f"no build for {_platform()} is shipped"
    if ".abi3.so" not in importlib.machinery.EXTENSION_SUFFIXES:
        return f"{sys.executable} does not load modules of the stable ABI"
    spec = importlib.util.spec_from_file_location("psutil._psutil_linux", modules[0])
    try:
        if spec is not None:
            importlib.util.module_from_spec(spec)
    except ImportError as error:
        return str(error)
    return ""
