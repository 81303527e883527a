"""What an owner sees of a running job's directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilot import codec
from pilot.attempts.peek import KEPT, answer, look
from pilot.protocol import MAX_PEEK, Peek, Peeked


@pytest.fixture
def job(tmp_path: Path) -> Path:
    job = tmp_path / "job"
    (job / "sub").mkdir(parents=True)
    (job / "sub" / "fit.log").write_bytes(b"0123456789")
    (tmp_path / "secret").write_text("not the job's")
    return job


def test_part_of_a_file(job: Path) -> None:
    """From an offset or from the end, so many bytes, with the size of the whole."""
    assert look(job, None, Peek("sub/fit.log", 2, 3)) == (Peeked("sub/fit.log", size=10, offset=2), b"234")
    assert look(job, None, Peek("./sub//fit.log", -4)) == (Peeked("sub/fit.log", size=10, offset=6), b"6789")
    assert look(job, None, Peek("sub/fit.log", -99, 2)) == (Peeked("sub/fit.log", size=10), b"01")
    assert look(job, None, Peek("sub/fit.log", 50)) == (Peeked("sub/fit.log", size=10, offset=50), b"")


def test_what_is_in_a_folder(job: Path) -> None:
    """A line for each entry, with its size; folders and links are marked."""
    (job / "link").symlink_to("sub")
    head, content = look(job, None, Peek())
    assert (head.folder, head.size, head.problem) == (True, 2, "")
    assert [line.split()[-1] for line in content.decode().splitlines()] == ["link@", "sub/"]
    assert look(job, None, Peek("sub"))[1].split()[0] == b"10"
    (job / "two\nlines").touch()
    assert look(job, None, Peek())[1].count(b"\n") == 3


@pytest.mark.parametrize(
    "path", ["../secret", "sub/../../secret", "link", "through/secret", "/../secret", "/sub/fit.log", "a\0b"]
)
def test_nothing_outside_is_shown(job: Path, path: str) -> None:
    """Neither by the name nor by a link, be it the last part or one on the way."""
    (job / "link").symlink_to("../secret")
    (job / "through").symlink_to("..")
    head, content = look(job, None, Peek(path))
    assert head.problem
    assert content == b""


def test_what_cannot_be_read_is_told(job: Path) -> None:
    """A name that is not there, and a pipe, which is not waited for."""
    assert "No such file" in look(job, None, Peek("nothing"))[0].problem
    os.mkfifo(job / "pipe")
    assert "neither a file nor a folder" in look(job, None, Peek("pipe"))[0].problem


def test_a_look_is_bounded(job: Path) -> None:
    """However much is asked for; and of answers the last few are kept."""
    with open(job / "large", "wb") as file:
        file.truncate(10 * MAX_PEEK)
    assert len(look(job, None, Peek("large", 0, 1 << 40))[1]) == MAX_PEEK
    for number in range(3 * KEPT):
        path = answer(job.parent, job, None, '{"path": "sub/fit.log"}', number)
    head, _, content = path.read_bytes().partition(b"\n")
    assert (codec.loads(Peeked, head).size, content) == (10, b"0123456789")
    assert len(list(job.parent.glob("peek-*"))) == KEPT


def test_a_question_that_is_none_is_answered(job: Path) -> None:
    """A newer central may ask what this pilot does not understand: it says so."""
    path = answer(job.parent, job, None, '{"path": 7}', 1)
    assert "path" in codec.loads(Peeked, path.read_bytes().partition(b"\n")[0]).problem
