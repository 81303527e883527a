"""What goes into `pilot.pyz`, and that the same source always gives the same bytes."""

import io
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from pilot.errors import PilotageError
from wrappers import bundle, libraries


def wheel(wheels: Path, name: str, build: libraries.Build, files: dict[str, str]) -> None:
    folder = wheels / name / f"{build.platform}-{build.abi}"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / f"{name}.whl", "w") as packed:
        for path, content in files.items():
            packed.writestr(path, content)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder as `libraries.fetch` leaves it, with a little of each kind of library."""
    folder = tmp_path / "wheels"
    (pure,) = libraries.PURE
    wheel(
        folder,
        "requests",
        pure,
        {
            "requests/__init__.py": "import requests.api",
            "requests/__main__.py": "",
            "requests/tests/test_api.py": "",
            "requests/py.typed": "",
            "requests-2.dist-info/METADATA": "Name: requests",
            "requests-2.dist-info/licenses/LICENSE": "Apache",
        },
    )
    wheel(folder, "certifi", pure, {"certifi/cacert.pem": "roots", "certifi/core.py": ""})
    for build in libraries.BUILDS["psutil"]:
        files = {"psutil/__init__.py": "", "psutil/_pswindows.py": "", "psutil/_psutil_linux.abi3.so": build.platform}
        wheel(folder, "psutil", build, files)
    (build,) = libraries.BUILDS["pyyaml"]
    wheel(folder, "pyyaml", build, {"yaml/__init__.py": "", "yaml/_yaml.cpython-39.so": "large", "yaml/cyaml.py": ""})
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    for path, content in {
        "LICENSE": "Apache",
        "pilot/__init__.py": "",
        "pilot/agent.py": "x = 1\n" * 1000,
        "pilot/tests/test_agent.py": "",
        "pilot/__pycache__/agent.cpython-311.pyc": "compiled",
        "pilot/notes.txt": "",
        "commands/discover.py": "",
        "central/app.py": "stays at home",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


def names(archive: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        return packed.namelist()


def test_only_what_a_pilot_imports_travels(source: Path, wheels: Path) -> None:
    """Our two packages and the libraries' Python files; no tests, other systems, command lines, compiled files."""
    assert names(bundle.build(source, wheels)) == [
        "__main__.py",
        "commands/discover.py",
        "lib/certifi/cacert.pem",
        "lib/certifi/core.py",
        "lib/psutil/__init__.py",
        "lib/requests/__init__.py",
        "lib/yaml/__init__.py",
        "licenses/pilotage/LICENSE",
        "licenses/requests/LICENSE",
        "native/aarch64-glibc/_psutil_linux.abi3.so",
        "native/aarch64-musl/_psutil_linux.abi3.so",
        "native/x86_64-glibc/_psutil_linux.abi3.so",
        "native/x86_64-musl/_psutil_linux.abi3.so",
        "pilot/__init__.py",
        "pilot/agent.py",
    ]


def test_the_same_source_elsewhere_gives_the_same_bytes(source: Path, wheels: Path, tmp_path: Path) -> None:
    """Neither the folder, nor times, nor modes, nor the order in which files were written enter the archive."""
    elsewhere = tmp_path / "another" / "place"
    for path in sorted((path for path in source.rglob("*") if path.is_file()), reverse=True):
        copy = elsewhere / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        os.utime(copy, (1, 1))
        copy.chmod(0o700)
    moved = Path(shutil.copytree(wheels, tmp_path / "other wheels"))

    first = bundle.build(source, wheels)
    assert bundle.build(elsewhere, moved) == first
    assert str(tmp_path).encode() not in first


def test_another_source_gives_other_bytes(source: Path, wheels: Path) -> None:
    """A changed line is a changed archive."""
    before = bundle.build(source, wheels)
    (source / "pilot/agent.py").write_text("x = 2\n")
    assert bundle.build(source, wheels) != before


def test_sizes_add_up_to_what_is_packed(source: Path, wheels: Path) -> None:
    """Every entry is counted once, under its component."""
    archive = bundle.build(source, wheels)
    sizes = bundle.sizes(archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        assert sum(size for _, size in sizes.values()) == sum(entry.file_size for entry in packed.infolist())
    assert {"pilot", "commands", "lib/requests", "native/x86_64-musl", "licenses"} <= sizes.keys()


def test_an_archive_that_grew_too_large_is_an_error(
    source: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is a failure of the build that says where to look."""
    monkeypatch.setattr(bundle, "LIMIT", 1000)
    with pytest.raises(PilotageError, match=r"more than 1,000\. Look at --sizes"):
        bundle.build(source, wheels)


def test_a_library_whose_builds_differ_is_refused(source: Path, wheels: Path) -> None:
    """One Python file serves all machines, so it must be the same in all builds."""
    shutil.rmtree(wheels / "psutil" / "musllinux_1_2_x86_64-abi3")
    build = next(build for build in libraries.BUILDS["psutil"] if build.native == "x86_64-musl")
    wheel(wheels, "psutil", build, {"psutil/__init__.py": "something else"})
    with pytest.raises(PilotageError, match=r"lib/psutil/__init__\.py differs"):
        bundle.build(source, wheels)


def test_the_lock_is_read_as_it_is_written() -> None:
    """Names are normalized, digests stay with their requirement, comments go."""
    lock = """\
# written by a tool
PyYAML==6.0.3 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via -r requirements/pilot.in
charset_normalizer==3.5 --hash=sha256:cc
"""
    found = libraries.locked(lock)
    assert list(found) == ["pyyaml", "charset-normalizer"]
    assert found["pyyaml"].split() == ["PyYAML==6.0.3", "--hash=sha256:aa", "--hash=sha256:bb"]


def test_the_real_lock_has_what_the_builds_are_chosen_for() -> None:
    """Every library that a build is named for travels, and requests with all it needs."""
    found = libraries.locked((bundle.ROOT / bundle.LOCK).read_text())
    assert libraries.BUILDS.keys() <= found.keys()
    assert {"requests", "urllib3", "idna", "certifi", "charset-normalizer"} <= found.keys()
    assert all("--hash=sha256:" in requirement for requirement in found.values())
