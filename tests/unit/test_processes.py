"""Whole trees of processes, as numbers with children."""

from __future__ import annotations

import os

import pytest

from pilot import processes


def test_a_long_chain_is_stopped_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that calls itself without end makes a chain of processes, all of which are found, but what is spared."""
    ours, length = os.getpid(), 5000
    chain = {ours + number: [ours + number + 1] for number in range(length)}
    chain[ours] = [ours + 1, -7]
    chain[-7] = [-8]
    monkeypatch.setattr(processes, "children", lambda pid: chain.get(pid, []))
    stopped: list[int] = []
    monkeypatch.setattr(processes, "_send", lambda pid, number: stopped.append(pid))
    processes._stop_all(spared=[-7])
    assert sorted(stopped) == list(range(ours + 1, ours + length + 1))
