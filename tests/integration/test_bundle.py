"""The real `pilot.pyz` with its real libraries, imported by real Pythons."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pilot.errors import PilotageError
from tests.lanes import NODE_PYTHONS, node_python
from wrappers import bundle, libraries

PYTHONS = [path for path in map(node_python, NODE_PYTHONS) if path.exists()] or [Path(sys.executable)]

# What a process of the pilot does first, and then a report of where its modules are.
START = """
import json, pathlib, sys
archive, work = map(pathlib.Path, sys.argv[1:])
sys.path.insert(0, str(archive))
from pilot import bootstrap
libraries = bootstrap.prepare(bootstrap.own_archive(), work)
import certifi, commands.context, pilot.protocol, requests, yaml
requests.Session()
yaml.safe_load("a: [1]")
if libraries.psutil:
    import psutil
    psutil.Process().memory_info()
ours = [module for module in list(sys.modules.values()) if str(work) in (getattr(module, "__file__", None) or "")]
print(json.dumps({
    "psutil": libraries.psutil,
    "sentence": libraries.sentence,
    "files": {module.__name__: module.__file__ for module in ours},
    "cached": {module.__name__: module.__spec__.cached for module in ours},
    "certificates": certifi.where(),
}))
"""


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wheels = libraries.fetch(bundle.ROOT / bundle.LOCK, bundle.ROOT / "build" / "wheels")
    path = tmp_path_factory.mktemp("bundle") / "pilot.pyz"
    path.write_bytes(bundle.build(bundle.ROOT, wheels))
    return path


def start(python: Path | str, archive: Path, work: Path, *before: str, **environment: str) -> dict[str, object]:
    done = subprocess.run(
        [*before, str(python), "-W", "error", "-I", "-c", START, str(archive), str(work)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], **environment},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("python", PYTHONS, ids=lambda python: python.parent.parent.name)
def test_every_library_comes_from_the_work_directory(archive: Path, tmp_path: Path, python: Path) -> None:
    """All Pythons of nodes import requests, YAML and psutil from there, whatever else is installed."""
    (work := tmp_path / "work").mkdir()
    found = start(python, archive, work)
    files = found["files"]
    assert isinstance(files, dict)
    assert {"requests", "urllib3", "idna", "certifi", "charset_normalizer", "yaml", "psutil"} <= files.keys()
    assert {"pilot.protocol", "commands.context"} <= files.keys()
    assert found["psutil"], found["sentence"]
    assert str(found["certificates"]).startswith(str(work))


def test_nothing_is_written_outside_the_work_directory(archive: Path, tmp_path: Path) -> None:
    """Neither home, nor the temporary directory, nor the place of the archive gets a file."""
    places = [tmp_path / name for name in ("work", "home", "tmp", "here")]
    for place in places:
        place.mkdir()
    copy = Path(shutil.copy(archive, tmp_path / "here"))
    start(sys.executable, copy, places[0], HOME=str(places[1]), TMPDIR=str(places[2]))
    assert list(places[0].iterdir()) != []
    assert [list(place.iterdir()) for place in places[1:]] == [[], [], [copy]]


def test_the_agent_reuses_what_the_monitor_compiled(archive: Path, tmp_path: Path) -> None:
    """The second process compiles nothing again: every file that the first compiled is still the same one."""
    (work := tmp_path / "work").mkdir()
    cached = start(sys.executable, archive, work)["cached"]
    assert isinstance(cached, dict)
    compiled = {path: os.stat(path).st_ino for path in cached.values() if path}
    assert len(compiled) > 50
    start(sys.executable, archive, work)
    assert {path: os.stat(path).st_ino for path in compiled} == compiled


def test_several_processes_may_start_at_once(archive: Path, tmp_path: Path) -> None:
    """Whoever unpacks first, all end with the same whole folder and nothing beside it."""
    (work := tmp_path / "work").mkdir()
    command = [sys.executable, "-I", "-c", START, str(archive), str(work)]
    together = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(60) for process in together] == [0, 0, 0, 0]
    assert len(list(work.iterdir())) == 1


def can_mount() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*IN_A_NAMESPACE, "true"]).returncode == 0


IN_A_NAMESPACE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")


@pytest.mark.skipif(not can_mount(), reason="no mount namespace can be made here")
def test_a_work_directory_mounted_noexec_means_proc(archive: Path, tmp_path: Path) -> None:
    """Where no program may run from the work directory the pilot starts all the same, and says why without psutil."""
    (work := tmp_path / "work").mkdir()
    mounted = 'mount -t tmpfs -o noexec tmpfs "$1" && shift && exec "$@"'
    found = start(sys.executable, archive, work, *IN_A_NAMESPACE, "sh", "-c", mounted, "sh", str(work))
    assert found["psutil"] is False
    assert "failed to map segment" in str(found["sentence"])


def test_the_archive_starts_as_a_program(archive: Path) -> None:
    """`python3 -I pilot.pyz` reaches the pilot's own command line."""
    done = subprocess.run([sys.executable, "-I", str(archive), "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout
    assert "doctor" in done.stdout


def test_the_doctor_leaves_nothing_behind(archive: Path, tmp_path: Path) -> None:
    """What the doctor unpacks to look at a folder is gone afterwards, whether the folder was there or not."""
    (there := tmp_path / "there").mkdir()
    (there / "mine").touch()
    for work in (there, tmp_path / "new" / "below"):
        words = [sys.executable, "-I", str(archive), "doctor", "--json", "--work", str(work)]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert done.returncode == 0, done.stderr
        assert str(work) in done.stdout
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "there"]
    assert subprocess.run([*words[:-1], "/proc"], capture_output=True, timeout=60).returncode == 20


def test_without_a_network_the_first_build_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the library and the remedy, and nothing half-done is kept."""
    for variable in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(
        PilotageError, match=r"(?s)certifi .*cannot be fetched.*connect to a network or set PIP_INDEX_URL"
    ):
        libraries.fetch(bundle.ROOT / bundle.LOCK, tmp_path / "wheels")
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == [".gitignore"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit_of_the_central() -> None:
    """`systemd-analyze verify` finds nothing wrong with it."""
    unit = bundle.ROOT / "wrappers" / "pilotage-central.service"
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
