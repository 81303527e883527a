"""How what travels inside an archive becomes importable: unpacked once, by whoever comes first."""

import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import pilot
from pilot import bootstrap
from pilot.errors import PilotageError


@pytest.fixture(autouse=True)
def _imports_as_before() -> Iterator[None]:
    path, package = list(sys.path), list(pilot.__path__)
    yield
    sys.path[:], pilot.__path__[:] = path, package


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir(0o700)
    return work


def archive(folder: Path, **more: bytes) -> Path:
    """A small archive with the layout of a real one."""
    entries: dict[str, bytes] = {
        "__main__.py": b"raise SystemExit('never imported')",
        "pilot/__init__.py": b"",
        "pilot/shipped.py": b"WHERE = __file__",
        "commands/__init__.py": b"",
        "lib/shipped_library/__init__.py": b"WHERE = __file__",
        "lib/psutil/__init__.py": b"",
        f"native/{bootstrap._platform()}/_psutil_linux.abi3.so": b"not an extension module",
        "native/pdp11-unix/_psutil_linux.abi3.so": b"for another machine",
        "licenses/shipped_library/LICENSE": b"do what you like",
    }
    entries.update({name.replace("__", "/"): content for name, content in more.items()})
    path = folder / "pilot.pyz"
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in entries.items():
            packed.writestr(name, content)
    return path


def test_everything_is_imported_from_the_work_directory(tmp_path: Path, work: Path) -> None:
    """Libraries and our own modules alike come from the unpacked folder, and the archive is no longer looked at."""
    path = archive(tmp_path)
    sys.path.insert(0, str(path))

    libraries = bootstrap.prepare(path, work)

    import shipped_library  # type: ignore[import-not-found]

    from pilot import shipped  # type: ignore[attr-defined]

    root = libraries.root
    assert root is not None
    assert root.parent == work
    assert Path(shipped_library.WHERE) == root / "shipped_library/__init__.py"
    assert Path(shipped.WHERE) == root / "pilot/shipped.py"
    assert str(path) not in sys.path
    assert not (root / "__main__.py").exists()
    assert not (root / "licenses").exists()
    for name in ("shipped_library", "pilot.shipped"):
        del sys.modules[name]
    del pilot.shipped  # type: ignore[attr-defined]


def test_only_the_native_build_for_this_machine_is_unpacked(tmp_path: Path, work: Path) -> None:
    """Of the extension modules for several machines only the fitting one lands beside psutil's Python files."""
    root = bootstrap.prepare(archive(tmp_path), work).root
    assert root is not None
    assert [path.read_bytes() for path in root.rglob("*.so")] == [b"not an extension module"]


def test_the_second_process_reuses_what_the_first_unpacked(tmp_path: Path, work: Path) -> None:
    """Nothing is unpacked again, so what the first process compiled is still there."""
    path = archive(tmp_path)
    first = bootstrap.prepare(path, work).root
    assert first is not None
    (first / "compiled").touch()

    assert bootstrap.prepare(path, work).root == first
    assert (first / "compiled").exists()
    assert list(work.iterdir()) == [first]


def test_another_archive_is_unpacked_beside_the_first(tmp_path: Path, work: Path) -> None:
    """An archive is known by its content, not by its name."""
    first = bootstrap.prepare(archive(tmp_path), work).root
    second = bootstrap.prepare(archive(tmp_path, pilot__more=b"x = 1"), work).root
    assert first != second


def test_who_loses_the_race_uses_what_the_winner_unpacked(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another process finishes first, its folder stays, and nothing is left of ours."""
    path = archive(tmp_path)
    rename = Path.rename

    def beaten(self: Path, target: Path) -> Path:
        target.mkdir()
        (target / "winner").touch()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", beaten)
    root = bootstrap.prepare(path, work).root
    assert root is not None
    assert [entry.name for entry in root.iterdir()] == ["winner"]
    assert list(work.iterdir()) == [root]


def test_half_an_archive_leaves_nothing_behind(tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full in the middle gives a sentence that names the place, and no folder."""
    path = archive(tmp_path)

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PilotageError, match=r"No space left on device.*Give a work directory"):
        bootstrap.prepare(path, work)
    assert list(work.iterdir()) == []


def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path: Path, work: Path) -> None:
    """What lies where the libraries should be is imported only if nobody else could have put it there."""
    path = archive(tmp_path)
    root = bootstrap.prepare(path, work).root
    assert root is not None
    root.chmod(0o777)
    with pytest.raises(PilotageError, match="not made by this user alone"):
        bootstrap.prepare(path, work)


def test_an_extension_that_does_not_load_is_a_reason_not_an_error(tmp_path: Path, work: Path) -> None:
    """Where psutil cannot be loaded the record says so and why, and /proc is used."""
    libraries = bootstrap.prepare(archive(tmp_path), work)
    assert not libraries.psutil
    assert "psutil is not used, /proc is" in libraries.sentence
    assert "_psutil_linux.abi3.so" in libraries.sentence


def test_a_machine_without_a_build_is_named(tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that nothing was shipped for, the sentence names the machine."""
    path = archive(tmp_path)
    monkeypatch.setattr(bootstrap, "_platform", lambda: "riscv64-glibc")
    libraries = bootstrap.prepare(path, work)
    assert not libraries.psutil
    assert "no build for riscv64-glibc is shipped" in libraries.sentence


def test_in_a_checkout_nothing_is_done(work: Path) -> None:
    """Without an archive the libraries are those that are installed, and the record says so."""
    before = list(sys.path)
    assert bootstrap.own_archive() is None
    libraries = bootstrap.prepare(None, work)
    assert libraries.root is None
    assert "Not run from an archive" in libraries.sentence
    assert sys.path == before
    assert os.listdir(work) == []
