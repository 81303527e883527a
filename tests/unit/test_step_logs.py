"""What a step says: bounded on the disk, its end kept, a stream of its own."""

from __future__ import annotations

from pathlib import Path

from pilot.steps.output import TAIL, StepLog, StepLogs, stream_name


def test_all_of_it_where_it_fits(tmp_path: Path) -> None:
    """A step of few words is kept word by word, as a stream that ends with it."""
    told: list[tuple[str, ...]] = []
    begin, end = (lambda name, path: told.append((name, str(path)))), (lambda name: told.append((name,)))
    logs = StepLogs(tmp_path / "steps", 1000, 100_000, begin, end)
    log = logs.open(3, "theirs:go")
    log.say("one")
    log.write(b"two\n")
    log.close()
    path = tmp_path / "steps" / "step-1003-theirs.go"
    assert path.read_text() == "one\ntwo\n"
    assert told == [("step-1003-theirs.go", str(path)), ("step-1003-theirs.go",)]
    assert log.tail() == "one\ntwo"


def test_head_and_end_of_what_does_not_fit(tmp_path: Path) -> None:
    """Of much the first bytes and the last are kept, with a line that says how many are not; memory stays small."""
    logs = StepLogs(tmp_path, 0, 2000, lambda name, path: None, lambda name: None)
    log = logs.open(1, "chatty")
    for number in range(200_000):
        log.say(f"line {number}")
        assert len(log.end) <= 2 * TAIL + 20
    log.close()
    content = (tmp_path / "step-1-chatty").read_bytes()
    assert content.startswith(b"line 0\n")
    assert content.endswith(b"line 199999\n")
    left_out = log.size - 1000 - TAIL
    assert f"[... {left_out} bytes are left out here ...]".encode() in content
    assert log.tail().splitlines()[-1] == "line 199999"


def test_no_byte_twice_where_head_and_end_meet(tmp_path: Path) -> None:
    """What is little more than the head is whole."""
    log = StepLogs(tmp_path, 0, 20, lambda name, path: None, lambda name: None).open(1, "x")
    log.write(b"0123456789ab")
    log.write(b"cdef")
    log.close()
    assert (tmp_path / "step-1-x").read_bytes() == b"0123456789abcdef"


def test_a_disk_that_cannot_be_written_to_stops_nobody(tmp_path: Path) -> None:
    """Without a file the last lines are there for the report."""
    (tmp_path / "file").write_text("")
    logs = StepLogs(tmp_path / "file" / "steps", 0, 1000, lambda name, path: None, lambda name: None)
    log = logs.open(1, "x")
    log.say("heard")
    log.close()
    assert log.tail() == "heard"
    assert StepLog(None, 0, lambda: None).tail() == ""


def test_names_of_streams_are_those_that_the_central_takes() -> None:
    """Whatever a command is called, its stream has a name."""
    assert stream_name(2, "a.b_c:d") == "step-2-a.b_c.d"
    assert len(stream_name(2, "x" * 300)) == 100
