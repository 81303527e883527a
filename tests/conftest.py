"""What every lane wants: its markers, one hypothesis profile, and the guard around unit tests.

Written for Python 3.9, since the pilot's tests also run under the Pythons of nodes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

TESTS = Path(__file__).parent

# No deadline: on a shared machine it measures the neighbours. In CI every run draws the same examples.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")

# Started in a shell's background, everything would ignore these, and so would all that the tests start.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# The interpreter's own audit events: they see what any library does, however it was imported.
FORBIDDEN = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.system",
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.sendmsg",
        "socket.sendto",
        "subprocess.Popen",
    }
)


class UnitTestReachedOutside(BaseException):
    """A unit test started a process or opened the network. No Exception, so that no handler takes it for an answer."""


class Guard:
    """Refuses FORBIDDEN events while a unit test runs, and remembers them should somebody swallow the refusal."""

    def __init__(self) -> None:
        self.seen: list[str] | None = None

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.seen is None or event not in FORBIDDEN:
            return
        self.seen.append(f"{event}{arguments!r:.200}")
        raise UnitTestReachedOutside(f"{self.seen[-1]}: tests/unit start no process and open no network connection")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for lane in ("integration", "real"):
            if TESTS / lane in item.path.parents:
                item.add_marker(lane)


@pytest.fixture(scope="session")
def guard() -> Guard:
    guard = Guard()
    sys.addaudithook(guard)  # stays for the life of the process; it does nothing outside unit tests
    return guard


@pytest.fixture(autouse=True)
def _unit_tests_stay_inside(request: pytest.FixtureRequest) -> Iterator[None]:
    if TESTS / "unit" not in request.path.parents:
        yield
        return
    guard = request.getfixturevalue("guard")
    seen: list[str] = []
    guard.seen = seen
    try:
        yield
    finally:
        guard.seen = None
    assert not seen, f"this unit test reached outside, and something swallowed the refusal: {seen}"
