"""Drain by touching a file: what counts as touched, and what becomes of the reason in it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pilot import policy
from pilot.monitor import drain_file
from pilot.monitor.drain_file import DrainFiles, reason_in


def test_a_file_that_is_not_there_means_nothing(tmp_path: Path) -> None:
    """No file, no folder, no reason."""
    assert reason_in(tmp_path / "drain") is None
    assert reason_in(tmp_path / "no" / "folder" / "drain") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", ""),
        (b"kernel update at 14:00\nsecond line\n", "kernel update at 14:00"),
        (b"\xff\x1b[31mred\n", "\ufffd[31mred"),
        (b"x" * 10_000, "x" * 200),
    ],
)
def test_the_first_line_is_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    """Touching is enough; what is written in the file is told, bounded and without what would spoil a terminal."""
    (tmp_path / "drain").write_bytes(content)
    assert reason_in(tmp_path / "drain") == reason


def test_whatever_is_there_counts(tmp_path: Path) -> None:
    """A folder or a pipe of that name drains as well, and holds nobody up."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert reason_in(tmp_path / "folder") == ""
    assert reason_in(tmp_path / "pipe") == ""


def test_the_file_of_the_configuration_and_that_of_the_policy_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the places that are named is looked at, the site's own too, and the first file found is told once."""
    monkeypatch.setattr(policy, "DRAIN_FILE", tmp_path / "sites")
    own = tmp_path / "policy.yaml"
    own.write_text(f"drain: {tmp_path / 'policys'}\n")
    own.chmod(0o644)
    for name in ("sites", "policys", "queues"):
        (tmp_path / name).write_text(f"because of {name}\n")
        found: list[tuple[Path, str]] = []
        DrainFiles(own, tmp_path / "queues", lambda path, why: found.append((path, why))).run(threading.Event())  # noqa: B023
        assert found == [(tmp_path / name, f"because of {name}")]
        (tmp_path / name).unlink()


def test_it_looks_until_told_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any file nothing is told; a file that comes later is seen at a later look."""
    monkeypatch.setattr(policy, "DRAIN_FILE", tmp_path / "drain")
    monkeypatch.setattr(drain_file, "INTERVAL", 0.0)

    class Stop(threading.Event):
        looks = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.looks += 1
            if self.looks == 3:
                (tmp_path / "drain").touch()
            return self.looks == 10

    found: list[Path] = []
    stop = Stop()
    DrainFiles(None, None, lambda path, why: found.append(path)).run(stop)
    assert found == [tmp_path / "drain"]
    assert stop.looks == 3
