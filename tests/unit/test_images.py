"""The cache of images: fetched once, held while used, never far beyond its bound."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pilot.destinations.cache import InputCache
from pilot.errors import PilotageError
from pilot.persist import Stopped
from pilot.singularity.images import STALE, ImageCache


class Source:
    """Writes so many bytes wherever it is asked to, and counts how often."""

    def __init__(self, size: int = 10) -> None:
        self.size = size
        self.times = 0

    def __call__(self, target: Path) -> None:
        self.times += 1
        target.write_bytes(b"x" * self.size)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def at_once(seconds: float) -> bool:
    """There is no time to wait."""
    return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> ImageCache:
    return ImageCache(tmp_path / "images", 25, clock)


def test_without_a_place_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no place for inputs fetches each where it is wanted, and leaves nothing in the folder where it works."""
    monkeypatch.chdir(tmp_path)
    source, cache = Source(), InputCache()
    for name in ("one", "two"):
        cache.copy("0" * 64, "", tmp_path / name, source, at_once)
    assert source.times == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_an_image_is_fetched_once(cache: ImageCache) -> None:
    """The second payload finds the image that the first one has brought, and nobody can write to it."""
    source = Source()
    first = cache.hold("docker://a", source, at_once)
    second = cache.hold("docker://a", source, at_once)
    assert (first.fetched, second.fetched, source.times) == (True, False, 1)
    assert first.path == second.path
    assert first.path.read_bytes() == b"x" * 10
    assert first.path.stat().st_mode & 0o777 == 0o444


def test_a_name_in_a_registry_grows_stale(cache: ImageCache, clock: Clock) -> None:
    """After a day a name is asked again, unless it says what is in the image, or payloads still run in it."""
    tag, digest = Source(), Source()
    cache.hold("tag", tag, at_once).release()
    cache.hold("digest", digest, at_once, lasting=True).release()
    clock.now += STALE
    used = cache.hold("tag", tag, at_once)
    assert (used.fetched, tag.times) == (True, 2)
    assert not cache.hold("digest", digest, at_once, lasting=True).fetched
    clock.now += STALE
    assert not cache.hold("tag", tag, at_once).fetched


def test_the_bound(cache: ImageCache) -> None:
    """Beyond its bound the least recently used images go, but for those that somebody holds."""
    held = cache.hold("a", Source(), at_once)
    cache.hold("b", Source(), at_once).release()
    gone = cache.hold("c", Source(), at_once)
    gone.release()
    assert sorted(path.name for path in cache.place.glob("*.sif")) == sorted((held.path.name, gone.path.name))
    large = cache.hold("d", Source(40), at_once)
    assert large.path.exists()
    assert held.path.exists()
    large.release()
    held.release()
    cache.shrink()
    assert sum(path.stat().st_size for path in cache.place.glob("*.sif")) <= cache.bound


def test_a_failed_fetch_leaves_nothing(cache: ImageCache) -> None:
    """An image that could not be fetched is not there, and the next payload tries again."""

    def broken(target: Path) -> None:
        target.write_bytes(b"half")
        raise PilotageError("the line broke")

    with pytest.raises(PilotageError, match="the line broke"):
        cache.hold("a", broken, at_once)
    assert [path.suffix for path in cache.place.iterdir()] == [".lock"]
    assert cache.hold("a", Source(), at_once).fetched


def test_one_fetches_and_the_others_wait(cache: ImageCache) -> None:
    """While one fetches an image another waits for it; who is told to stop does not get it."""
    source, begun, go = Source(), threading.Event(), threading.Event()

    def slowly(target: Path) -> None:
        begun.set()
        assert go.wait(10)
        source(target)

    first = threading.Thread(target=cache.hold, args=("a", slowly, at_once))
    first.start()
    assert begun.wait(10)
    with pytest.raises(Stopped):
        cache.hold("a", source, at_once)
    second = cache.hold("a", source, _until(go, first))
    assert (second.fetched, source.times) == (False, 1)


def _until(go: threading.Event, thread: threading.Thread) -> Callable[[float], bool]:
    """Waits by letting the other finish."""

    def pause(seconds: float) -> bool:
        go.set()
        thread.join(10)
        return False

    return pause


def test_what_a_killed_pilot_had_begun_to_fetch_goes(cache: ImageCache) -> None:
    """Half an image that nobody is fetching any more takes no room; one that is being fetched stays."""
    cache.hold("a", Source(), at_once).release()
    left = cache.place / f"{'0' * 64}.part"
    left.write_bytes(b"half")

    def while_another_comes(target: Path) -> None:
        target.write_bytes(b"half")
        cache.hold("a", Source(), at_once).release()
        assert not left.exists()
        target.write_bytes(target.read_bytes() + b" and half")

    assert cache.hold("b", while_another_comes, at_once).path.read_bytes() == b"half and half"


def test_who_cannot_make_room_holds_nothing(cache: ImageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where images cannot be removed the one that was asked for is not held for ever."""

    def no_room() -> None:
        raise OSError("too many open files")

    with monkeypatch.context() as here:
        here.setattr(cache, "shrink", no_room)
        with pytest.raises(OSError, match="too many"):
            cache.hold("a", Source(40), at_once)
    cache.shrink()
    assert not list(cache.place.glob("*.sif"))


def test_a_folder_of_others(cache: ImageCache) -> None:
    """Where others than this user could put an image there is no cache."""
    cache.place.mkdir()
    cache.place.chmod(0o777)
    with pytest.raises(PilotageError, match="others than this user"):
        cache.hold("a", Source(), at_once)
