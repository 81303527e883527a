"""The third-party libraries that travel inside `pilot.pyz`: which wheels, and which files of them.

`requirements/pilot.lock` names the versions and their SHA-256; pip fetches the wheels once into a folder named by the
lock's digest, and from then on nothing here needs a network.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pilot.errors import PilotageError


@dataclass(frozen=True)
class Build:
    """Which build of a library is taken: pip's names for platform and ABI, and the folder for its extension modules.

    `native` None: only the Python files are taken.
    """

    platform: str = "any"
    abi: str = "none"
    native: str | None = None


PURE = (Build(),)
#: Libraries without a pure wheel; all others must have one. `native` is what `pilot/bootstrap.py` looks for.
BUILDS = {
    # The stable ABI: one build serves Python 3.9 and all later ones.
    "psutil": (
        Build("manylinux2014_x86_64", "abi3", "x86_64-glibc"),
        Build("manylinux2014_aarch64", "abi3", "aarch64-glibc"),
        Build("musllinux_1_2_x86_64", "abi3", "x86_64-musl"),
        Build("musllinux_1_2_aarch64", "abi3", "aarch64-musl"),
    ),
    # Its Python files work without the extension module, and no wheel comes without it.
    "pyyaml": (Build("manylinux2014_x86_64", "cp39"),),
}

#: What no pilot imports: other systems, other transports, command lines, the faces of what was left out above.
UNUSED = re.compile(
    r"""psutil/(_psaix|_psbsd|_psosx|_pssunos|_pswindows)\.py | [^/]+/tests/.*
      | urllib3/contrib/(emscripten/.*|pyopenssl\.py|socks\.py) | urllib3/http2/connection\.py
      | charset_normalizer/cli/.* | idna/cli\.py | yaml/cyaml\.py | _yaml/.*
      | [^/]+/__main__\.py""",
    re.VERBOSE,
)
DATA = re.compile(r"certifi/cacert\.pem")
LICENCE = re.compile(r"[^/]+\.dist-info/(?:licenses/)?((?:LICEN[CS]E|NOTICE|COPYING)[^/]*)", re.IGNORECASE)


def fetch(lock: Path, cache: Path) -> Path:
    """The folder with the wheels of the lock, one subfolder for each (library, build); fetched if not there yet.

    Raises `PilotageError` where a wheel cannot be had or does not have the digest that the lock tells.
    """
    text = lock.read_text(encoding="utf-8")
    folder = cache / hashlib.sha256(text.encode()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n", encoding="utf-8")
    aside = Path(tempfile.mkdtemp(prefix=".fetching-", dir=cache))
    try:
        for name, requirement in locked(text).items():
            for build in BUILDS.get(name, PURE):
                _download(name, requirement, build, aside / name / f"{build.platform}-{build.abi}")
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def locked(text: str) -> dict[str, str]:
    """The requirements of a lock file, each with its digests, by normalized name."""
    requirements = {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==", line)
        if match:
            requirements[re.sub(r"[-_.]+", "-", match[1]).lower()] = line.partition(" #")[0]
    return requirements


def _download(name: str, requirement: str, build: Build, folder: Path) -> None:
    folder.mkdir(parents=True)
    wanted = folder / "requirement.txt"
    wanted.write_text(requirement + "\n", encoding="utf-8")
    # 3.9 is the oldest Python of a node, so what is found for it serves all.
    options = ["--platform", build.platform, "--abi", build.abi, "--python-version", "3.9", "--implementation", "cp"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes",
         "--no-deps", "--only-binary=:all:", *options, "--dest", str(folder), "--requirement", str(wanted)],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode != 0:
        raise PilotageError(
            f"The wheel of {name} for {build.platform} ({build.abi}) cannot be fetched: pip exited with "
            f"{done.returncode} and said: {' '.join(done.stderr.split())[-1000:]}. "
            "The first build of pilot.pyz needs a package index: connect to a network or set PIP_INDEX_URL or "
            "PIP_FIND_LINKS, and build again. Later builds need none until the lock changes."
        )
    wanted.unlink()


def entries(wheels: Path) -> dict[str, bytes]:
    """The archive's entries that come from the wheels: `lib/`, `native/` and `licenses/`, by path in the archive."""
    found: dict[str, bytes] = {}
    for name in sorted(path.name for path in wheels.iterdir()):
        for build in BUILDS.get(name, PURE):
            folder = wheels / name / f"{build.platform}-{build.abi}"
            with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
                for path in wheel.namelist():
                    place = _place(name, path, build)
                    if place is None:
                        continue
                    content = wheel.read(path)
                    if found.setdefault(place, content) != content:
                        raise PilotageError(f"{place} differs between the builds of {name}: one file cannot serve all.")
    return found


def _place(name: str, path: str, build: Build) -> str | None:
    """Where a file of a wheel goes in the archive; None: it does not travel."""
    licence = LICENCE.fullmatch(path)
    if licence:
        return f"licenses/{name}/{licence[1]}"
    if ".dist-info/" in path or UNUSED.fullmatch(path):
        return None
    if path.endswith(".so"):
        return f"native/{build.native}/{Path(path).name}" if build.native else None
    return f"lib/{path}" if path.endswith(".py") or DATA.fullmatch(path) else None
