"""`pilot.json` as the pilot reads it."""

import json
from pathlib import Path
from typing import Any

import pytest

from pilot import config
from pilot.errors import InvalidInput
from pilot.halting import Halting

STAMP = "0123456789abcdef" * 2


def written(folder: Path, **changes: Any) -> Path:
    """A file that is right, but for the changes; None leaves a key out."""
    values = {"version": 1, "stamp": STAMP, "central": ["https://central.example:9618"], "site": "s", "queue": "q"}
    values.update(changes)
    path = folder / "pilot.json"
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return path


def test_least(tmp_path: Path) -> None:
    """Stamp and central are enough; everything is in the folder of the file, and what nobody declared is unknown."""
    read = config.read(written(tmp_path))
    assert (read.stamp, read.central, read.work) == (STAMP, ("https://central.example:9618",), tmp_path)
    assert (read.secret_file, read.spool, read.log) == (tmp_path / "secret", tmp_path / "spool", tmp_path / "pilot.log")
    assert (read.cores, read.memory, read.wall_time, read.ca) == (None, None, None, None)


def test_everything(tmp_path: Path) -> None:
    """Each key arrives with its type; relative paths are below the file's folder, absolute ones are not."""
    path = written(
        tmp_path,
        central=["https://a/", "https://b/prefix"],
        ca="ca.pem",
        secret_file="/elsewhere/secret",
        cores=8,
        memory=16 * 10**9,
        wall_time="unlimited",
        tags=["cvmfs"],
        required_tags=["gpu"],
        communities=["lhcb"],
        keep_work=True,
        patience="5 min",
    )
    read = config.read(path)
    assert read.central == ("https://a", "https://b/prefix")
    assert (read.ca, read.secret_file) == (tmp_path / "ca.pem", Path("/elsewhere/secret"))
    assert (read.cores, read.memory, read.wall_time) == (8, 16 * 10**9, "unlimited")
    assert (read.tags, read.required_tags, read.communities) == (("cvmfs",), ("gpu",), ("lhcb",))
    assert (read.keep_work, read.patience) == (True, 300)


def test_agents(tmp_path: Path) -> None:
    """There is one agent, or as many as the file or whoever starts the pilot says; a wrong number is refused."""
    assert config.read(written(tmp_path)).agents == 1
    assert config.read(written(tmp_path, agents=4)).agents == 4
    assert config.read(written(tmp_path, agents=4), agents=2).agents == 2
    for wrong in (0, 257):
        with pytest.raises(InvalidInput, match=f"agents: expected a whole number from 1 to 256, got {wrong}"):
            config.read(written(tmp_path), agents=wrong)


def test_keys_of_the_future_are_ignored(tmp_path: Path) -> None:
    """A newer director may write more."""
    assert config.read(written(tmp_path, colour="red")).stamp == STAMP


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"stamp": None}, "stamp: expected 32 hex digits, got ''"),
        ({"stamp": STAMP.upper()}, "stamp: expected 32 hex digits"),
        ({"central": None}, "central: expected at least one https:// URL"),
        ({"central": []}, "central: expected at least one"),
        ({"central": ["http://plain.example"]}, r"central\[0\]: expected an https:// URL"),
        ({"central": ["https://x/?token=1"]}, r"central\[0\]: expected an https:// URL without query"),
        ({"version": 2}, "version: expected a whole number from 1 to 1"),
        ({"cores": "many"}, "cores: expected a whole number .* or unlimited, got 'many'"),
        ({"memory": -1}, "memory: expected a whole number"),
        ({"tags": [1, {}]}, r"tags\[1\]: expected a text"),
        ({"keep_work": "yes"}, "keep_work: expected true or false, got 'yes'"),
        ({"halting": "maybe"}, "halting: expected one of elastic, static, never"),
        ({"metadata": "http://169.254.169.254"}, "metadata: expected one of open, guard, refuse"),
        ({"ends": 0}, "ends: expected a whole number"),
        ({"patience": "soon"}, "patience: expected a duration"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, changes: Any, problem: str) -> None:
    """A known key with a wrong value is an error that names file, key, and what was expected."""
    path = written(tmp_path, **changes)
    with pytest.raises(InvalidInput, match=problem) as error:
        config.read(path)
    assert error.value.where == str(path)


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Nobody has to correct a file in three tries."""
    with pytest.raises(InvalidInput, match=r"stamp: .*; cores: .*"):
        config.read(written(tmp_path, stamp="x", cores="y"))


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"'])
def test_not_a_configuration(tmp_path: Path, text: str) -> None:
    """What is no mapping in JSON is refused with the file's name."""
    path = tmp_path / "pilot.json"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="pilot.json"):
        config.read(path)
    with pytest.raises(InvalidInput, match="missing.json"):
        config.read(tmp_path / "missing.json")


def test_what_a_virtual_machine_is_told(tmp_path: Path) -> None:
    """When it halts, when it ends and what payloads may reach; a batch node is told nothing of that."""
    path = written(tmp_path, vm=True, ends=1_800_000_000, halting="static", billing_period="1 h", metadata="guard")
    read = config.read(path)
    assert (read.vm, read.ends, read.halting, read.metadata) == (True, 1_800_000_000, Halting("static", 3600), "guard")
    plain = config.read(written(tmp_path))
    assert (plain.vm, plain.ends, plain.halting, plain.metadata) == (False, None, Halting("elastic"), "open")
