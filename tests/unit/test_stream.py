"""A file as the central gets it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pilot.monitor.stream import LEAST_BOUND, MARKER, LogStream, marker, total

SECRET = b"the-secret-word"


class Log:
    """A file that grows, and its stream."""

    def __init__(self, path: Path, bound: int = 10_000, secrets: tuple[bytes, ...] = ()) -> None:
        self.path = path
        path.touch()
        self.stream = LogStream("log", path, bound, lambda: secrets)

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)
        self.stream.measure()

    def take(self, most: int = 10**9) -> bytes:
        """What can be had now, as if the central took it."""
        data = self.stream.read(most) if self.stream.ready > 0 else b""
        assert len(data) <= most
        self.stream.sent += len(data)
        return data

    def rest(self, most: int = 10**9) -> bytes:
        """Close, and take all that is left, at most so much at a time."""
        self.stream.close()
        found = b""
        while self.stream.ready > 0:
            found += self.take(most)
        return found


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def test_grows(log: Log) -> None:
    """What was appended is there once it is measured, each byte once."""
    log.write(b"one\n")
    assert log.take() == b"one\n"
    assert log.take() == b""
    log.write(b"two\n")
    assert log.take(2) == b"tw"
    assert log.rest() == b"o\n"


def test_deleted_file(log: Log) -> None:
    """A file that is deleted after it was looked at is still sent."""
    log.write(b"last words\n")
    log.path.unlink()
    assert log.rest() == b"last words\n"


def test_no_file(tmp_path: Path) -> None:
    """A file that never comes is an empty stream, and one that comes late is sent."""
    stream = LogStream("log", tmp_path / "late", 1000, tuple)
    stream.measure()
    assert stream.ready == 0
    (tmp_path / "late").write_bytes(b"here\n")
    stream.measure()
    assert stream.read(100) == b"here\n"
    never = LogStream("log", tmp_path / "never", 1000, tuple)
    never.close()
    assert never.finished


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_not_a_file(tmp_path: Path, kind: str) -> None:
    """A link, a folder or a pipe in the file's place is not read: a payload must not choose what we read."""
    import os

    path = tmp_path / "log"
    (tmp_path / "other").write_text("of somebody else")
    {"link": lambda: path.symlink_to("other"), "folder": path.mkdir, "fifo": lambda: os.mkfifo(path)}[kind]()
    stream = LogStream("log", path, 1000, tuple)
    stream.close()
    assert stream.length == 0


@given(writes=st.lists(st.integers(0, 1500), max_size=5), most=st.integers(100, 3000))
def test_bound(tmp_path_factory: Any, writes: list[int], most: int) -> None:
    """However it grows and is taken: within the bound all of it, beyond it head, marker and tail."""
    bound = 2000
    log = Log(tmp_path_factory.mktemp("bound") / "log", bound)
    found = b""
    for size in writes:
        log.write(bytes(number % 251 for number in range(size)))
        found += log.take(most)
    found += log.rest(most)
    whole = log.path.read_bytes()
    assert len(found) == total(len(whole), bound) == log.stream.length
    if len(whole) <= bound:
        assert found == whole
    else:
        left_out = len(whole) - (bound - MARKER)
        assert found == whole[: bound // 2] + marker(left_out) + whole[-(bound - bound // 2 - MARKER) :]


def test_marker_says_how_much(tmp_path: Path) -> None:
    """The line in place of the middle names the bytes left out, and is a line of its own."""
    log = Log(tmp_path / "log", LEAST_BOUND)
    log.write(b"x" * 5000)
    assert b"\n[... 4100 bytes are left out here" in log.rest()
    assert marker(1).startswith(b"\n")
    assert marker(10**15).endswith(b"\n")
    assert len(marker(0)) == len(marker(10**15)) == MARKER


def test_only_the_head_is_live(tmp_path: Path) -> None:
    """While it grows, no more than half of the bound is sent: the rest may turn out to be the middle."""
    log = Log(tmp_path / "log", 2000)
    log.write(b"x" * 1500)
    assert len(log.take()) == 1000
    assert log.take() == b""
    assert len(log.rest()) == 500


@given(before=st.binary(max_size=40), after=st.binary(max_size=40), cut=st.integers(0, 110), most=st.integers(1, 60))
@example(before=b"", after=b"", cut=2, most=1)
def test_secrets_across_borders(tmp_path_factory: Any, before: bytes, after: bytes, cut: int, most: int) -> None:
    """Wherever writes and chunks are cut, the secret leaves as stars, and everything else as it was."""
    log = Log(tmp_path_factory.mktemp("secrets") / "log", secrets=(SECRET,))
    content = before + SECRET + after
    log.write(content[:cut])
    found = log.take(most) + log.take(most)
    log.write(content[cut:])
    found += log.take(most) + log.rest(most)
    assert found == content.replace(SECRET, b"*" * len(SECRET))


def test_secret_across_the_left_out_middle(tmp_path: Path) -> None:
    """Not even a piece of a secret shows where the head ends and the tail begins."""
    for start in range(1000 - len(SECRET), 1001):
        log = Log(tmp_path / f"head-{start}", 2000, (SECRET,))
        log.write(b"x" * start + SECRET + b"x" * 1000 + SECRET + b"x" * (900 - len(SECRET) // 2))
        found = log.take() + log.rest()
        assert len(found) == log.stream.length
        assert not set(found.replace(marker(int(found.split(b"[... ")[1].split()[0])), b"")) - set(b"x*")


def test_a_line_is_not_held_back(log: Log) -> None:
    """Only what may be the beginning of a secret waits for the rest of it."""
    log.stream.secrets = lambda: (SECRET,)
    log.write(b"this is the")
    assert log.take() == b"this is "
    log.write(b" end\n")
    assert log.take() == b"the end\n"


def test_file_cut_short(log: Log) -> None:
    """A payload that empties its own output: what was sent stays, what is new follows."""
    log.write(b"old and long\n")
    assert log.take() == b"old and long\n"
    log.path.write_bytes(b"new\n")
    log.stream.measure()
    assert log.take() == b"new\n"
    log.write(b"more\n")
    assert log.rest() == b"more\n"
    assert log.stream.length == len(b"old and long\nnew\nmore\n")


def test_rewind(log: Log) -> None:
    """The central may ask again for bytes that are still there, and for no others."""
    log.write(b"0123456789")
    log.take()
    assert log.stream.rewind(4)
    assert log.take() == b"456789"
    assert not log.stream.rewind(11)
    log.path.write_bytes(b"ab")
    log.stream.measure()
    assert not log.stream.rewind(4)
    assert log.take() == b"ab"


def test_finished(log: Log) -> None:
    """A stream is at its end when all of it was sent and the central was told so; an empty one needs no telling."""
    log.stream.close()
    assert log.stream.finished
    other = Log(log.path.with_name("other"))
    other.write(b"x")
    other.rest()
    assert not other.stream.finished
    other.stream.told_last = True
    assert other.stream.finished
