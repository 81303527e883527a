"""How a process of a step begins, which is root until it has become a user for payloads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilot.steps import child
from tests.steps_scene import Scene


def test_what_commands_set_is_not_for_a_process_that_is_root(tmp_path: Path) -> None:
    """A variable that a community's command gave payloads, as a library to load, is not there when a step starts."""
    scene = Scene(tmp_path / "work")
    context = scene.context(environment={"LD_PRELOAD": "/theirs.so", "PATH": "/theirs"})
    start = scene.guests._start(context, tmp_path, None, None)
    assert "LD_PRELOAD" not in start.environment
    assert start.environment["PATH"] == os.environ["PATH"]
    assert start.environment["HOME"] == str(tmp_path)


def test_a_step_has_what_payloads_will_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is nobody it takes the variables of the task, but keeps its own home."""
    monkeypatch.setattr(os, "environ", {"HOME": "/its/own", "PATH": "/bin"})
    child._equip({"HOME": "/other", "PATH": "/theirs:/bin", "SETUP": "done"})
    assert os.environ == {"HOME": "/its/own", "PATH": "/theirs:/bin", "SETUP": "done"}
