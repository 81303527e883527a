"""The cache of inputs: whose a content is, how much of it there may be, and how long another is waited for."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pilot.attempts.carrier import Carrier
from pilot.attempts.inputs import StageIn
from pilot.destinations.cache import LOCK_PATIENCE, InputCache
from pilot.destinations.port import Pause, Rejected
from pilot.protocol import UrlInput
from tests.pilot_fakes import FakeCentral, shell

SHA = hashlib.sha256(b"hello").hexdigest()


def quiet(seconds: float) -> bool:
    return False


def fetched(place: Path) -> None:
    place.write_bytes(b"hello")


def test_what_is_kept_needs_room_as_well(tmp_path: Path) -> None:
    """A content that is here already is not copied to where there is no room for it."""
    cache = InputCache(tmp_path / "cache", 1000)
    cache.copy(SHA, "", tmp_path / "one", fetched, quiet, 5)
    with pytest.raises(Rejected, match="5 bytes, more than the 4 bytes"):
        cache.copy(SHA, "", tmp_path / "two", fetched, quiet, 4)
    assert not (tmp_path / "two").exists()


def test_another_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """Where another has been fetching the same for a minute, the job fetches it itself."""
    now = [0.0]

    def pause(seconds: float) -> bool:
        now[0] += seconds
        return False

    cache = InputCache(tmp_path / "cache", 1000, steady=lambda: now[0])
    (tmp_path / "cache").mkdir(mode=0o700)
    key = hashlib.sha256(f"{SHA} ".encode()).hexdigest()
    other = os.open(tmp_path / "cache" / f"{key}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        cache.copy(SHA, "", tmp_path / "target", fetched, pause)
    finally:
        os.close(other)
    assert (tmp_path / "target").read_bytes() == b"hello"
    assert LOCK_PATIENCE <= now[0] < LOCK_PATIENCE + 1


class Asked(InputCache):
    """A cache that remembers for whom it was asked."""

    whose: list[str] = []  # noqa: RUF012 - of the test

    def copy(
        self,
        sha256: str,
        whose: str,
        target: Path,
        fetch: Callable[[Path], None],
        pause: Pause,
        room: int | None = None,
    ) -> None:
        self.whose.append(whose)
        fetched(target)


def test_a_url_with_a_secret_in_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    """What was opened by the query of a URL is kept for its owner; what anybody may read, for all."""
    lease = shell(1, "true")
    Asked.whose = []
    carrier = Carrier(lease, tmp_path, FakeCentral(), lambda: 0.0)
    stage = StageIn(carrier, Asked(), lambda until: quiet)
    for url in ("https://dav.example/a?sig=secret", "https://dav.example/a"):
        stage._from_url(UrlInput("a", url, SHA), [0])
    assert Asked.whose == [f"{lease.community}/{lease.owner}", ""]
