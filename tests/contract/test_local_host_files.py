"""The files of a pilot on this host, where its jobs may have put anything."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from central.elements.local import LocalHost
from central.elements.port import ComputingError, Standing

ONE = f"{1:032x}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "pilots" / ONE
    place.mkdir(parents=True)
    (place / "wrapper.sh").touch()
    return place


def test_what_is_no_plain_file_is_not_shown(place: Path, tmp_path: Path) -> None:
    """A link in the place of the output shows no file of the central's, and a pipe keeps nobody waiting."""
    (tmp_path / "key").write_text("a key")
    (place / "output").symlink_to(tmp_path / "key")
    host = LocalHost(place.parent)
    with pytest.raises(ComputingError, match="cannot be read"):
        asyncio.run(host.output(ONE, ONE))
    (place / "output").unlink()
    os.mkfifo(place / "output")
    with pytest.raises(ComputingError, match="no plain file"):
        asyncio.run(host.output(ONE, ONE))


@pytest.mark.parametrize("code", ["7\n", "8" * 100, "x", None])
def test_an_exit_code_is_a_small_number_in_a_plain_file(place: Path, code: str | None) -> None:
    """Anything else says nothing of how the pilot ended."""
    if code is None:
        os.mkfifo(place / "exit")
    else:
        (place / "exit").write_text(code)
    (entry,) = asyncio.run(LocalHost(place.parent).listing())
    assert (entry.standing, entry.exit_code) == (Standing.ENDED, 7 if code == "7\n" else None)
