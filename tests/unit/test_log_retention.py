"""Old logs are let go of."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from central.app import Central
from central.configuration.settings import Service
from central.keeping.log_retention import FORGOTTEN, let_go
from central.keeping.logs import LogStore
from central.keeping.objects import open_objects
from central.routes.log_search import SearchQuery, search
from central.routes.logs import Source, not_let_go
from pilot.errors import Refusal
from pilot.looking import LogMatches
from pilot.states import Phase
from pilot.views import AttemptView

DAY = 86400.0
NOW = 2e9
STAMPS = ("ab" * 16, "cd" * 16)


def age(folder: Path, days: float) -> None:
    """Make everything in the folder of a stream so old."""
    for path in folder.iterdir():
        os.utime(path, (NOW - days * DAY, NOW - days * DAY))


def test_a_log_goes_when_it_was_kept_long_enough(tmp_path: Path) -> None:
    """Of two closed logs the older one goes, with its folder and from memory; the other one stays to the byte."""

    async def story() -> None:
        objects = open_objects(str(tmp_path))
        logs = LogStore(objects, 1000)
        for stamp in STAMPS:
            await logs.append(stamp, "pilot", 0, b"said", True)
        age(tmp_path / "logs" / STAMPS[0] / "pilot", 21)
        age(tmp_path / "logs" / STAMPS[1] / "pilot", 19)
        assert await let_go(logs, objects, 20 * DAY, NOW) == 1
        assert await logs.size(STAMPS[0], "pilot") == (0, False)
        assert await logs.read(STAMPS[1], "pilot", 0, 100) == b"said"
        assert await let_go(logs, objects, 20 * DAY, NOW) == 0
        assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [STAMPS[1]]

    asyncio.run(story())


def test_a_log_that_may_still_grow_stays(tmp_path: Path) -> None:
    """A pilot that was quiet for long goes on at its offset; what nobody closed goes much later."""

    async def story() -> None:
        objects = open_objects(str(tmp_path))
        logs = LogStore(objects, 1000)
        await logs.append(STAMPS[0], "pilot", 0, b"said", False)
        age(tmp_path / "logs" / STAMPS[0] / "pilot", 30)
        assert await let_go(logs, objects, 20 * DAY, NOW) == 0
        assert (await logs.append(STAMPS[0], "pilot", 4, b" more", False)).next == 9
        age(tmp_path / "logs" / STAMPS[0] / "pilot", 21 + FORGOTTEN / DAY)
        assert await let_go(logs, objects, 20 * DAY, NOW) == 1

    asyncio.run(story())


def test_a_folder_in_which_something_is_by_now_stays(tmp_path: Path) -> None:
    """A pilot's first words may come between the look at its folder and the end of that."""
    objects = open_objects(str(tmp_path))
    (tmp_path / "logs" / "empty").mkdir(parents=True)
    objects.write(f"logs/{STAMPS[0]}/boot/000000000000000-grows", b"said")
    for folder in ("empty", "away", STAMPS[0]):
        objects.remove_empty(f"logs/{folder}")
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [STAMPS[0]]
    assert objects.read(f"logs/{STAMPS[0]}/boot/000000000000000-grows", 0, 10) == b"said"


def test_a_search_in_a_log_that_goes_meanwhile_ends(tmp_path: Path) -> None:
    """It says what it found, and that there may be more."""

    async def story() -> None:
        logs = LogStore(open_objects(str(tmp_path)), 1000)
        await logs.append(STAMPS[0], "pilot", 0, b"said\n", True)

        async def removed_first(stamp: str, stream: str, offset: int, length: int) -> bytes:
            await logs.remove(stamp, stream)
            return await logs.read(stamp, stream, offset, length)

        going = SimpleNamespace(size=logs.size, read=removed_first)
        central = cast(Central, SimpleNamespace(logs=going))
        found = await asyncio.wait_for(search(central, Source(STAMPS[0], "pilot"), SearchQuery("said")), 10)
        assert found == LogMatches((), 0, 5, False)

    asyncio.run(story())


def test_who_asks_for_a_log_that_is_gone_is_told() -> None:
    """Not that nothing was printed, nor that more may come: once it was kept for its time after the attempt's end."""

    def asked(*, age: float, size: int, there: int = 0) -> None:
        async def sizes(stamp: str, stream: str) -> tuple[int, bool]:
            return there, False

        view = AttemptView(1, 1, STAMPS[0], "here", Phase.ENDED, 1, 0.0, NOW - age, log_sizes={"job-1-1-stdout": size})
        central = SimpleNamespace(
            settings=SimpleNamespace(service=Service(keep_logs=100)),
            wall=lambda: NOW,
            logs=SimpleNamespace(size=sizes),
        )
        asyncio.run(not_let_go(cast(Central, central), Source(STAMPS[0], "job-1-1-stdout", view)))

    with pytest.raises(Refusal, match="the 7 bytes of job-1-1-stdout were kept for 100 s and are gone"):
        asked(age=101, size=7)
    asked(age=99, size=7)
    asked(age=101, size=7, there=7)
    asked(age=101, size=0)
