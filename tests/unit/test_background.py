"""Work beside the requests: what it fails of is told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from central.app import Central
from central.serving.metrics import Metrics

pytestmark = pytest.mark.anyio


class Beside:
    """What of a central its background work needs."""

    background = Central.background
    _over = Central._over

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.metrics = Metrics(lambda: (0, 0))

    def figures(self) -> str:
        return self.metrics.text({}).decode()


async def failing() -> None:
    raise ValueError("no such thing")


async def waiting() -> None:
    await asyncio.Event().wait()


async def test_a_failure_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A failure is in the log with the name of the work, and in the figures; work that is cancelled is no failure."""
    central = Beside()
    with caplog.at_level(logging.ERROR):
        central.background(failing())  # type: ignore[misc]
        central.background(waiting())  # type: ignore[misc]
        tasks = list(central.tasks)
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records] == ["Work in the background has failed: failing"]
    assert "no such thing" in caplog.text
    assert 'pilotage_background_failures_total{work="failing"} 1.0' in central.figures()
    assert 'work="waiting"' not in central.figures()
    assert not central.tasks
