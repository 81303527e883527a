"""A pilot with real containers, in a process of its own that is root's or an ordinary user's."""

from __future__ import annotations

import ctypes
import os
import pickle
import pwd
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from commands.context import Capacity
from pilot.attempts.containers import Containers
from pilot.attempts.containment import Containment
from pilot.policy import SitesWord
from pilot.singularity.element import ContainerElement
from pilot.singularity.images import ImageCache
from pilot.singularity.probe import here
from tests.integration.pool_bench import PoolBench, pool_bench

#: Where tests/real/apptainer.sh has put everything.
APPTAINER = Path(os.path.realpath(os.environ.get("PILOTAGE_APPTAINER", ".lanes/apptainer")))
PATH = f"{APPTAINER}/bin:/usr/bin:/bin"
DIRECTORY, FILE = APPTAINER / "image", APPTAINER / "image.sif"
#: An account that every Linux has and nobody uses.
ORDINARY = "daemon"
#: An account that may be a slot's, and that runs nothing: runtimes ask for one. The script of the lane makes it.
SLOT = "pilotage-slot"
WHO = ("root", "user") if os.geteuid() == 0 else ("user",)
PR_SET_DUMPABLE = 4
T = TypeVar("T")


@contextmanager
def place_of(who: str) -> Iterator[Path]:
    """A folder of that user's, which it can reach (pytest's own are closed to others)."""
    place = Path(tempfile.mkdtemp(prefix="pilotage-containers-", dir="/var/tmp"))
    try:
        place.chmod(0o711)
        if who == "user" and os.geteuid() == 0:
            about = pwd.getpwnam(ORDINARY)
            os.chown(place, about.pw_uid, about.pw_gid)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def become(who: str) -> None:
    """This process is that user's from now on."""
    if who == "user" and os.geteuid() == 0:
        about = pwd.getpwnam(ORDINARY)
        os.setgroups([])
        os.setgid(about.pw_gid)
        os.setuid(about.pw_uid)
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # which changing the user takes away, and with it our own /proc


def in_pilot(
    who: str,
    act: Callable[[PoolBench], T],
    prepare: Callable[[Path], object] = lambda work: None,
    capacity: Capacity | None = None,
    contain: Callable[[], Containment] = Containment,
    **settings: Any,
) -> T:
    """What `act` returns, called in the process of a pilot of that user's. `prepare` is called before, with its folder,
    as whoever runs the tests."""
    with place_of(who) as place:
        prepare(place)
        return in_process(who, lambda: _in_bench(place, act, capacity, contain, settings))


def _in_bench(
    place: Path,
    act: Callable[[PoolBench], T],
    capacity: Capacity | None,
    contain: Callable[[], Containment],
    settings: dict[str, Any],
) -> T:
    os.environ.update({"PATH": PATH, "HOME": str(place), "TMPDIR": str(place)})
    os.chdir(place)
    work = place / "work"
    work.mkdir(mode=0o700)
    with pool_bench(work, contain(), capacity, **settings) as bench:
        services = bench.pool.services
        element = ContainerElement(services.element, services.host)
        settings_here = bench.pool.settings
        images = ImageCache(Path(settings_here.image_cache or work / "images"), settings_here.image_cache_size)
        containers = Containers(settings_here, SitesWord(), here, element, images, bench.central, lambda: 0.0)
        bench.pool.services = replace(services, containers=containers)
        return act(bench)


def in_process(who: str, act: Callable[[], T]) -> T:
    """What `act` returns, called in a child of this process; what it raises fails the test."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_child(who, act, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    assert answer, "the child has ended without a word"
    failure, result = pickle.loads(answer)
    assert not failure, failure
    return result  # type: ignore[no-any-return]


def _be_child(who: str, act: Callable[[], Any], writing: int) -> None:
    try:
        become(who)
        answer = pickle.dumps(("", act()))
    except BaseException:  # noqa: BLE001 - all of it is the parent's to tell
        answer = pickle.dumps((traceback.format_exc(), None))
    with open(writing, "wb") as pipe:
        pipe.write(answer)
    os._exit(0)
