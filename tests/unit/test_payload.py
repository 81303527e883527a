"""What a payload is started with: its environment, its program, its processes as the kernel shows them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from commands.context import GpuDevice
from pilot import procfs
from pilot.attempts.directory import AttemptDirectory, last_lines
from pilot.attempts.environment import payload_environment
from pilot.attempts.slots import Slot
from pilot.payloads.payload import CannotStart
from pilot.payloads.program import check_program, interpreter_of
from pilot.payloads.sharing import best, by_proc
from pilot.procfs import parse_stat
from tests.pilot_fakes import shell

HOST = {
    "PATH": "/pilots/own",
    "LANG": "C.UTF-8",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "LD_PRELOAD": "/evil.so",
    "PYTHONPATH": "/pilots/own",
    "https_proxy": "http://proxy:3128",
    "http_proxy": "http://user:password@proxy:3128",
}
PLACE = AttemptDirectory(Path("/w/attempts/3.2"))


def test_little_of_the_pilots_environment_is_taken_over() -> None:
    """Payloads get what is on the list, prepared or of their job; not the pilot's PATH, nor a proxy with a password."""
    made = payload_environment(HOST, {"PATH": "/sw/bin"}, shell(3, "true", attempt=2), Slot(2), PLACE)
    assert made["LANG"] == "C.UTF-8"
    assert made["https_proxy"] == "http://proxy:3128"
    assert made["PATH"] == "/sw/bin"
    assert not {"AWS_SECRET_ACCESS_KEY", "LD_PRELOAD", "PYTHONPATH", "http_proxy"} & set(made)


def test_the_job_has_a_say_but_not_on_who_it_is() -> None:
    """A job's variables win over those of libraries and over its home, never over those that tell it who it is."""
    environment = {"OMP_NUM_THREADS": "1", "HOME": "/mine", "PILOTAGE_CORES": "64"}
    made = payload_environment({}, {}, shell(3, "true", attempt=2, environment=environment), Slot(4), PLACE)
    assert made["OMP_NUM_THREADS"] == "1"
    assert made["MKL_NUM_THREADS"] == "4"
    assert made["HOME"] == "/mine"
    assert made["TMPDIR"] == "/w/attempts/3.2/tmp"
    assert (made["PILOTAGE_JOB"], made["PILOTAGE_ATTEMPT"], made["PILOTAGE_CORES"]) == ("3", "2", "4")
    assert made["PILOTAGE_JOB_TOKEN_FILE"] == "/w/attempts/3.2/token"


def test_only_what_was_granted_is_told() -> None:
    """Memory, disk and GPUs are told where they were granted."""
    bare = payload_environment({}, {}, shell(1, "true"), Slot(1), PLACE)
    assert not {"PILOTAGE_MEMORY", "PILOTAGE_DISK"} & set(bare)
    assert bare["CUDA_VISIBLE_DEVICES"] == ""  # unset, it would mean all of them
    gpus = (GpuDevice(0, None, "A100"), GpuDevice(2, "GPU-5fe1", "A100"))
    rich = payload_environment({}, {}, shell(1, "true"), Slot(1, memory=5, disk=6, gpus=gpus), PLACE)
    assert (rich["PILOTAGE_MEMORY"], rich["PILOTAGE_DISK"], rich["CUDA_VISIBLE_DEVICES"]) == ("5", "6", "0,GPU-5fe1")


@pytest.mark.parametrize(
    ("line", "interpreter"),
    [
        (b"#!/bin/sh", "/bin/sh"),
        (b"#! /usr/bin/env python3", "/usr/bin/env"),
        (b"#!/bin/sh\r", "/bin/sh\r"),
        (b"#!", None),
        (b"\x7fELF", None),
        (b"", None),
    ],
)
def test_first_lines(line: bytes, interpreter: str | None) -> None:
    """The interpreter of a script is what the kernel would take for it."""
    assert interpreter_of(line) == interpreter


def test_programs_are_found_as_a_shell_finds_them(tmp_path: Path) -> None:
    """A bare name comes from PATH, a name with a slash from the job's directory; the first that can be run counts."""
    for place, mode in (("one", 0o600), ("two", 0o700)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "tool").write_text("#!/bin/sh\n")
        (tmp_path / place / "tool").chmod(mode)
    check_program("tool", tmp_path, f"{tmp_path}/nowhere:{tmp_path}/one:{tmp_path}/two")
    check_program("tool", tmp_path, f"{'x' * 300}:{tmp_path}/two")  # a folder that cannot be looked into is passed over
    check_program("two/tool", tmp_path, "")
    with pytest.raises(CannotStart, match="not found on the PATH"):
        check_program("two", tmp_path, str(tmp_path))
    with pytest.raises(CannotStart, match="it is no file") as caught:
        check_program("./two", tmp_path, "")
    assert caught.value.exit_code == 126
    with pytest.raises(CannotStart, match="the command is empty"):
        check_program("", tmp_path, "/bin")


def test_a_process_name_may_hold_anything() -> None:
    """The line of a process is read whatever brackets and blanks its name has."""
    rest = "S 10 20 30 0 -1 4194560 1 2 3 4 100 50 25 25 20 0 3 0 98765 1000000 256 18446744073709551615 0 0"
    about = parse_stat(f"42 (a ) S 1 (x) {rest}\n")
    assert about is not None
    assert (about.pid, about.state, about.parent, about.group, about.session) == (42, "S", 10, 20, 30)
    assert about.started == 98765
    assert about.cpu == pytest.approx(200 / os.sysconf("SC_CLK_TCK"))
    assert about.resident == 256 * os.sysconf("SC_PAGE_SIZE")
    assert parse_stat("42 (cut off") is None


def test_a_main_thread_that_has_ended_is_no_end() -> None:
    """A process whose main thread has ended while others run is not over."""
    line = "42 (x) Z 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 {} 0 5 0 0 0 0 0"
    assert parse_stat(line.format(1)).over  # type: ignore[union-attr]
    assert not parse_stat(line.format(4)).over  # type: ignore[union-attr]


def test_our_own_process() -> None:
    """The kernel knows us, our environment and our memory; what is gone is None."""
    us = procfs.process(os.getpid())
    assert us is not None
    assert us.parent == os.getppid()
    assert procfs.has_variable(os.getpid(), b"PATH=" + os.fsencode(os.environ["PATH"])) or "PATH" not in os.environ
    assert procfs.process(2**22 + 1) is None
    assert procfs.children(2**22 + 1) == []


def test_both_ways_to_measure_sharing_agree() -> None:
    """psutil and the kernel's own summary say the same about the memory of a process, where both can be had."""
    kernel, chosen = by_proc(os.getpid()), best()(os.getpid())
    if kernel is None:
        pytest.skip("this kernel has no smaps_rollup")
    assert chosen == pytest.approx(kernel, rel=0.2)
    assert by_proc(2**22 + 1) is None


def test_last_lines(tmp_path: Path) -> None:
    """The end of a log is shown whatever bytes it holds, and not more than a screen of it."""
    log = tmp_path / "log"
    log.write_bytes(b"\xff\n" * 10_000 + b"the end\n")
    assert last_lines(log).splitlines()[-2:] == ["\ufffd", "the end"]
    assert len(last_lines(log).splitlines()) == 40
    assert last_lines(tmp_path / "none") == ""
