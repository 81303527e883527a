"""The process that keeps the workers, and one that hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from central.serving.workers import Workers
from pilot.errors import PilotageError
from tests.system import wait_for

pytestmark = pytest.mark.integration

#: Serves. The first of them then hangs; the next shows signs of life, and notes it once it has lived for three seconds.
SCRIPT = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
number = len(list(folder.glob("started-*")))
(folder / f"started-{number}").touch()
print("ready", flush=True)
for sign in range(10_000):
    time.sleep(0.05 if number else 600)
    print("alive", flush=True)
    if sign == 60:
        (folder / "lived").touch()
"""


def test_a_worker_that_hangs_is_killed_and_replaced(tmp_path: Path) -> None:
    """A worker without a sign of life is killed, another takes its place, and that one, which shows signs, is kept."""
    problems: list[AssertionError] = []

    def stop_once_it_lived() -> None:
        try:
            wait_for((tmp_path / "lived").exists, 40, "a worker that lives")
        except AssertionError as problem:
            problems.append(problem)
        os.kill(os.getpid(), signal.SIGTERM)

    workers = Workers(1, lambda number: (sys.executable, "-c", SCRIPT, str(tmp_path)), lambda: None, hung=1.5)
    watcher = threading.Thread(target=stop_once_it_lived)
    watcher.start()
    asyncio.run(workers.run())
    watcher.join()
    assert not problems
    assert len(list(tmp_path.glob("started-*"))) == 2


def test_a_worker_that_never_serves_is_killed() -> None:
    """A worker that hangs before its first line does not keep the others, or a start, waiting for ever."""
    hanging = (sys.executable, "-c", "import time; time.sleep(600)")
    workers = Workers(1, lambda number: hanging, lambda: None, begin=1.0)
    with pytest.raises(PilotageError, match="ended with code -9 before it served"):
        asyncio.run(workers.run())
