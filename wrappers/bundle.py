"""Builds `pilot.pyz`, the one file that travels to a node: our two packages, their libraries, and how to start.

    python -m wrappers.bundle --output dist/pilot.pyz [--sizes]

The same source gives the same bytes: sorted entries, one timestamp, one mode, one compression level. (Another
implementation of deflate than zlib may pack differently; the files inside are the same.)

Layout, which `pilot/bootstrap.py` reads:

    __main__.py           calls pilot.__main__.main()
    pilot/ commands/      imported from the archive only until `bootstrap.prepare` has unpacked them
    lib/                  libraries, unpacked into the work directory
    native/ARCH-LIBC/     psutil's extension modules, the fitting one unpacked into psutil/
    licenses/             of all of the above; they stay in the archive

Why it is unpacked: CPU milliseconds from the start of Python until all is imported that the monitor needs, the best of
several runs under Python 3.9 / 3.11 / 3.13, on a 2-core virtual machine (Python alone takes 20):

    imported from the archive                       474 / 487 / 627, in each process
    unpacked and compiled by the first process      421 / 486 / 501
    unpacked, in every later process                253 / 232 / 262
    compiled modules in the archive                 256 / 246 / 283

Shipping compiled modules would save the first process 200 ms, and cost 0.6 to 0.9 MB for each version of Python and an
archive that depends on which Pythons the builder has. Imported from the archive, certifi also writes its certificates
into /tmp, or (3.9, in a subfolder) is not found, and no extension module loads.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import zipfile
from pathlib import Path

from pilot.errors import PilotageError
from wrappers import libraries

ROOT = Path(__file__).resolve().parent.parent
LOCK = "requirements/pilot.lock"
LIMIT = 2_500_000  # bytes: what a thousand nodes fetch at once from a small central

MAIN = b"""\
import sys

from pilot.__main__ import main

sys.exit(main())
"""


def build(source_root: Path, wheels: Path) -> bytes:
    """The bytes of `pilot.pyz`, from a checkout and the folder that `wrappers.libraries.fetch` gave."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in sorted(_entries(source_root, wheels).items()):
            entry = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, also where built elsewhere
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    if len(packed.getvalue()) > LIMIT:
        raise PilotageError(
            f"pilot.pyz has {len(packed.getvalue()):,} bytes, more than {LIMIT:,}. "
            "Look at --sizes and leave something out (UNUSED in wrappers/libraries.py)."
        )
    return packed.getvalue()


def sizes(archive: bytes) -> dict[str, tuple[int, int]]:
    """Bytes in the archive and unpacked of each component: our packages, each library, native builds, licences."""
    components: dict[str, tuple[int, int]] = {}
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        for entry in packed.infolist():
            parts = entry.filename.split("/")
            name = "/".join(parts[:2]) if parts[0] in ("lib", "native") else parts[0]
            before = components.get(name, (0, 0))
            components[name] = (before[0] + entry.compress_size, before[1] + entry.file_size)
    return components


def _entries(source_root: Path, wheels: Path) -> dict[str, bytes]:
    entries = {"__main__.py": MAIN, "licenses/pilotage/LICENSE": (source_root / "LICENSE").read_bytes()}
    for package in ("pilot", "commands"):
        for file in (source_root / package).rglob("*.py"):
            path = file.relative_to(source_root)
            if "tests" not in path.parts:
                entries[path.as_posix()] = file.read_bytes()
    return entries | libraries.entries(wheels)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m wrappers.bundle", description="Builds pilot.pyz.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "pilot.pyz")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "wheels", help="where fetched wheels are kept")
    parser.add_argument("--sizes", action="store_true", help="print the size of each component")
    arguments = parser.parse_args(argv)
    try:
        archive = build(ROOT, libraries.fetch(ROOT / LOCK, arguments.cache))
        _write(arguments.output, archive)
    except (PilotageError, OSError) as error:
        print(f"pilot.pyz was not built. {error}", file=sys.stderr)
        return 1
    if arguments.sizes:
        print(f"{'component':<28} {'packed':>9} {'unpacked':>10}")
        for name, (packed, unpacked) in sorted(sizes(archive).items(), key=lambda item: -item[1][0]):
            print(f"{name:<28} {packed:>9,} {unpacked:>10,}")
    print(f"{arguments.output}: {len(archive):,} bytes")
    return 0


def _write(output: Path, archive: bytes) -> None:
    """All or nothing: a central may be serving the file that is replaced."""
    output.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=f".{output.name}-", dir=output.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(archive)
        Path(aside).chmod(0o644)
        Path(aside).replace(output)
    finally:
        Path(aside).unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
