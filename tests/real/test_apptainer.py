"""A real Apptainer, as root and as an ordinary user, with images as a directory and as a file."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from pilot.protocol import AttemptReport, Needs
from pilot.singularity.probe import Cannot, facts, here, try_out
from pilot.singularity.runtime import Runtime
from pilot.states import Outcome
from tests.integration.pool_bench import MB, PoolBench
from tests.patience import PATIENCE
from tests.pilot_fakes import make_lease, shell
from tests.real.container_scene import APPTAINER, DIRECTORY, FILE, PATH, WHO, in_pilot, in_process, place_of

CLONE_NEWUSER = 0x10000000
pytestmark = pytest.mark.real


@pytest.fixture(params=WHO)
def who(request: pytest.FixtureRequest) -> str:
    """Whose pilot it is."""
    return str(request.param)


@pytest.fixture(params=[DIRECTORY, FILE], ids=["directory", "file"])
def image(request: pytest.FixtureRequest) -> str:
    """An image, as a directory and as a file."""
    return str(request.param)


def ran(
    who: str, script: str, image: str = str(DIRECTORY), spec: dict[str, Any] | None = None, **settings: Any
) -> tuple[AttemptReport, str]:
    """One payload in a container, to its end: its report, and what it printed."""

    def act(bench: PoolBench) -> tuple[AttemptReport, str]:
        report = bench.run(1, script, container=image, **(spec or {}))
        return report, bench.printed(1) + bench.printed(1, "stderr")

    return in_pilot(who, act, **settings)


# -- probes ------------------------------------------------------------------------------------------------------------


def test_every_ability_is_proved(who: str) -> None:
    """The runtime is found and tried: containers, image files and isolation work here, for root and for others."""
    found = in_pilot(who, lambda bench: here())
    assert isinstance(found, Runtime), found
    assert (found.userns, found.pidns, found.squashfs, found.hidden) == (True, True, "mounted", True)


def test_files_that_cannot_be_mounted() -> None:
    """Where no program mounts image files they are unpacked for each payload; where none does that they are refused."""

    def act(bench: PoolBench) -> tuple[object, object]:
        place = bench.work.parent / "bin"
        place.mkdir()
        program = place / "apptainer"
        unpacked = APPTAINER / "root" / "usr" / "bin"
        program.write_text(f'#!/bin/sh\nexec {unpacked}/apptainer "$@"\n')
        program.chmod(0o755)
        without = try_out({"PATH": str(place)})
        (place / "unsquashfs").symlink_to(unpacked / "unsquashfs")
        return without, try_out({"PATH": str(place)})

    without, unpacking = in_pilot(WHO[-1], act)
    assert isinstance(without, Runtime), without
    assert isinstance(unpacking, Runtime), unpacking
    # Where the system has the program that unpacks, Apptainer finds it whatever the search path is.
    found = "unpacked" if shutil.which("unsquashfs", path="/usr/local/bin:/usr/bin:/bin") else ""
    assert (without.squashfs, unpacking.squashfs) == (found, "unpacked")
    assert {fact.name: fact.value for fact in facts(without)}["tag:container:sif"] is bool(found)


def test_no_user_namespaces() -> None:
    """Where user namespaces are switched off the probe says so, and names the setting: no job is matched for it."""
    told = _without_namespaces()
    assert "cannot start a container" in told
    assert "max_user_namespaces is 0" in told


def _without_namespaces() -> str:
    """What a pilot says in a user namespace (so that only it is concerned) in which no other can be made."""
    with place_of("user") as place:

        def act() -> str:
            ids = os.getuid(), os.getgid()
            assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) == 0, ctypes.get_errno()
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{ids[0]} {ids[0]} 1")
            Path("/proc/self/gid_map").write_text(f"{ids[1]} {ids[1]} 1")
            Path("/proc/sys/user/max_user_namespaces").write_text("0")
            os.environ["TMPDIR"] = str(place)
            found = try_out({"PATH": PATH})
            assert isinstance(found, Cannot), found
            assert not any(fact.value for fact in facts(found))
            return found.why

        return in_process("user", act)


# -- what a payload sees -----------------------------------------------------------------------------------------------


def test_a_payload_in_its_image(who: str, image: str) -> None:
    """A payload runs in the image, in its job's directory, and what it leaves there is brought home."""

    def act(bench: PoolBench) -> tuple[AttemptReport, str, dict[str, bytes]]:
        script = "cat /etc/image; pwd; id -u; cat in.txt; echo out > out.txt"
        inputs = (bench.central.add("in.txt", b"input\n"),)
        report = bench.run(1, script, container=image, inputs=inputs, outputs=["*.txt"])
        return report, bench.printed(1), bench.central.outputs(report)

    report, printed, outputs = in_pilot(who, act)
    assert report.outcome is Outcome.SUCCESS, report
    uid = "0" if who == "root" else str(in_process(who, os.getuid))
    assert printed.split() == ["the", "image", "/srv/job", uid, "input"]
    assert outputs["out.txt"] == b"out\n"


def test_an_image_among_the_inputs(who: str) -> None:
    """An image that travels with the job is run from where it was put."""

    def act(bench: PoolBench) -> tuple[AttemptReport, str]:
        inputs = (bench.central.add("images/mine.sif", FILE.read_bytes()),)
        report = bench.run(1, "cat /etc/image", container="images/mine.sif", inputs=inputs)
        return report, bench.printed(1)

    report, printed = in_pilot(who, act)
    assert report.outcome is Outcome.SUCCESS, report
    assert printed == "the image\n"


def test_a_folder_among_the_inputs(who: str) -> None:
    """An image that travels as a folder is run; the mount points, which are empty and do not travel, are made."""

    def act(bench: PoolBench) -> tuple[AttemptReport, str]:
        shell_of_it = (DIRECTORY / "bin" / "busybox").read_bytes()
        inputs = (
            bench.central.add("image/bin/sh", shell_of_it, executable=True),
            bench.central.add("image/etc/mine", b"my own\n"),
        )
        report = bench.run(1, "read -r line < /etc/mine; echo $line", container="image/", inputs=inputs)
        return report, bench.printed(1) + bench.printed(1, "stderr")

    report, printed = in_pilot(who, act)
    assert report.outcome is Outcome.SUCCESS, (report, printed)
    assert printed == "my own\n"


def test_private_places(who: str, image: str) -> None:
    """Home, /tmp and /var/tmp are the attempt's own; the host's files and processes are not to be seen."""

    def act(bench: PoolBench) -> tuple[AttemptReport, str]:
        secret = bench.work.parent / "secret"
        secret.write_text("the host's")
        Path("/var/tmp/pilotage-seen").touch()
        script = (
            f"ls -a $HOME; echo /; ls /tmp /var/tmp; cat {secret} /etc/shadow; ls {bench.work};"
            "echo x > /tmp/a; cat /var/tmp/a; ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm"
        )
        report = bench.run(1, script, container=image)
        return report, bench.printed(1)

    try:
        report, printed = in_pilot(who, act)
    finally:
        Path("/var/tmp/pilotage-seen").unlink(missing_ok=True)
    assert report.outcome is Outcome.SUCCESS, report
    lines = printed.split()
    assert lines[:5] == [".", "..", "/", "/tmp:", "/var/tmp:"]
    assert lines[5] == "x"
    assert int(lines[6]) < 8
    assert lines[7] == "appinit"


def test_the_environment(who: str) -> None:
    """No variable of the host gets in but those that are allowed; those of the job do, whatever signs are in them."""

    def act(bench: PoolBench) -> str:
        bench.pool.services.host["SECRET_OF_THE_HOST"] = "x"  # type: ignore[index]
        bench.pool.services.host["LANG"] = "C.UTF-8"  # type: ignore[index]
        os.environ["APPTAINERENV_SMUGGLED"] = os.environ["APPTAINER_BIND"] = "/etc"
        told = {"MINE": 'a $(id) `id` "q" \\ b', "LINES": "1\n2"}
        bench.run(
            1,
            'env; echo "[$MINE]" "[$LINES]"; [ -d "$PILOTAGE_ATTEMPT_DIRECTORY/job" ] && echo it is there;'
            "cat $PILOTAGE_JOB_TOKEN_FILE",
            container=str(DIRECTORY),
            environment=told,
        )
        return bench.printed(1)

    printed = in_pilot(who, act)
    assert "SECRET_OF_THE_HOST" not in printed
    assert "SMUGGLED" not in printed
    assert '[a $(id) `id` "q" \\ b] [1\n2]' in printed
    assert "LANG=C.UTF-8" in printed
    assert "HOME=/srv/home\n" in printed
    assert "TMPDIR=/srv/tmp\n" in printed
    assert "\nit is there\n" in printed
    assert printed.endswith("token-of-1-1")


def test_binds(who: str) -> None:
    """Places that the queue names are seen, read-only unless said otherwise; an optional one may be missing."""

    def act(bench: PoolBench) -> tuple[AttemptReport, str]:
        script = "cat /data/in; echo x > /data/new; echo y > /mine/new && cat /mine/new"
        report = bench.run(1, script, container=str(DIRECTORY))
        return report, bench.printed(1) + bench.printed(1, "stderr")

    with place_of(who) as place:
        (place / "in").write_text("bound\n")
        writable = place / "writable"
        writable.mkdir(mode=0o777)
        writable.chmod(0o777)
        binds = (f"{place}:/data", f"{writable}:/mine:rw", "?/no/such/place")
        report, printed = in_pilot(who, act, bind=binds)
        assert report.outcome is Outcome.SUCCESS, (report, printed)
        assert printed.startswith("bound\n")
        assert "Read-only" in printed
        assert (writable / "new").read_text() == "y\n"
        report, _ = ran(who, "true", bind=("/no/such/place",))
        assert report.outcome is Outcome.NODE_FAULT
        assert "/no/such/place, and it does not exist" in report.message


# -- how it ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "outcome", "code", "number"),
    [
        ("exit 0", Outcome.SUCCESS, 0, None),
        ("exit 5", Outcome.PAYLOAD_ERROR, 5, None),
        ("exit 255", Outcome.PAYLOAD_ERROR, 255, None),
        ("kill -SEGV $$", Outcome.PAYLOAD_ERROR, None, signal.SIGSEGV),
        ("kill -KILL $$", Outcome.PAYLOAD_ERROR, None, signal.SIGKILL),
    ],
)
def test_exit_codes_and_signals(who: str, script: str, outcome: Outcome, code: int | None, number: int | None) -> None:
    """How the payload ended is told as if there were no container."""
    report, _ = ran(who, script)
    assert (report.outcome, report.exit_code, report.signal) == (outcome, code, number), report


def test_what_cannot_be_started(who: str) -> None:
    """A program that the image lacks is the job's mistake, a file that is no image its input's, no image the node's."""

    def act(bench: PoolBench) -> list[AttemptReport]:
        bench.pool.start(make_lease(1, "no-such-program", container=str(DIRECTORY)))
        no_image = (bench.central.add("mine.sif", b"not an image"),)
        bench.pool.start(make_lease(2, "true", container="mine.sif", inputs=no_image))
        bench.pool.start(make_lease(3, "true", container="/no/such/image"))
        return [bench.central.end_of(job) for job in (1, 2, 3)]

    program, no_image, missing = in_pilot(who, act)
    assert (program.outcome, program.exit_code) == (Outcome.PAYLOAD_ERROR, 127), program
    assert "no-such-program" in program.message
    assert no_image.outcome is Outcome.INPUT_ERROR, no_image
    assert missing.outcome is Outcome.INPUT_ERROR, missing


def test_a_kill_leaves_nothing(who: str, image: str) -> None:
    """A kill ends all that a payload started in its container, whatever it ignores, within its grace and some."""

    def act(bench: PoolBench) -> tuple[AttemptReport, float, list[int]]:
        script = (
            "trap '' TERM HUP; (setsid sleep 987654 &);"
            "setsid sh -c 'trap \"\" TERM; echo up > ready; while :; do sleep 1; done' &"
            "while :; do sleep 1; done"
        )
        bench.pool.start(shell(1, script, container=image, grace=1))
        bench.wait_for_file(1, "ready")
        began = time.monotonic()
        bench.pool.kill(1, 1, "the owner's wish")
        report = bench.central.end_of(1)
        took = time.monotonic() - began
        bench.wait_until_empty()
        return (
            report,
            took,
            _running("sleep", "987654"),
        )

    report, took, left = in_pilot(who, act)
    assert report.outcome is Outcome.KILLED, report
    assert 0.9 < took < 10 * PATIENCE
    assert left == []


def _running(*words: str) -> list[int]:
    """The processes with exactly this command line."""
    line = b"".join(os.fsencode(word) + b"\0" for word in words)
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _words(pid) == line]


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_without_process_namespaces(who: str) -> None:
    """Where the kernel lets nobody mount /proc a container shares the host's processes: a kill still leaves nothing."""

    def act(bench: PoolBench) -> tuple[AttemptReport, list[int]]:
        services = bench.pool.services
        assert services.containers is not None
        weak = replace(services.containers, find=lambda: replace(cast("Runtime", here()), pidns=False))
        bench.pool.services = replace(services, containers=weak)
        script = "(trap '' TERM; setsid sleep 456789 &) ; echo up > ready; while :; do sleep 1; done"
        bench.pool.start(shell(1, script, container=str(DIRECTORY), grace=1))
        bench.wait_for_file(1, "ready")
        bench.pool.kill(1, 1, "the owner's wish")
        report = bench.central.end_of(1)
        bench.wait_until_empty()
        return report, _running("sleep", "456789")

    report, left = in_pilot(who, act)
    assert report.outcome is Outcome.KILLED, report
    assert left == []


def test_a_payload_is_asked_first(who: str, image: str) -> None:
    """A payload that is to end hears SIGTERM, finds its deadline, and has its grace to save its work."""

    def act(bench: PoolBench) -> tuple[AttemptReport, str]:
        script = (
            "trap 'sleep 1; cat $PILOTAGE_DEADLINE_FILE; echo saved; exit 3' TERM; echo up > ready;"
            "while :; do sleep 0.1; done"
        )
        bench.pool.start(shell(1, script, container=image, grace=10))
        bench.wait_for_file(1, "ready")
        bench.pool.kill(1, 1, "the owner's wish")
        return bench.central.end_of(1), bench.printed(1)

    report, printed = in_pilot(who, act)
    assert report.outcome is Outcome.KILLED
    assert report.exit_code == 3, report
    assert re.fullmatch(r"\d{10}\nsaved\n", printed)


def test_memory_beyond_the_limit(who: str) -> None:
    """The limit of a slot holds for what is in the container, and is called by its name."""
    script = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"
    report, _ = ran(who, script, spec={"needs": Needs(memory=300 * MB, wall_time=60)})
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "memory"), report


def test_disk_beyond_the_limit(who: str) -> None:
    """What is written to /tmp counts as well as what is written to the job's directory."""
    script = "dd if=/dev/zero of=/tmp/a bs=1M count=40; dd if=/dev/zero of=b bs=1M count=40; sleep 30"
    report, _ = ran(who, script, spec={"needs": Needs(disk=50 * MB, wall_time=60)})
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "disk"), report


def test_wall_time_beyond_the_limit(who: str) -> None:
    """A container ends with its job's wall time."""
    report, _ = ran(who, "sleep 60", spec={"needs": Needs(wall_time=2)})
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "wall_time"), report


# -- isolation ---------------------------------------------------------------------------------------------------------


def test_two_payloads_of_one_user_cannot_touch_each_other(who: str) -> None:
    """A payload cannot read another attempt's files, nor the pilot's memory and environment, nor signal any of them."""

    def act(bench: PoolBench) -> tuple[str, AttemptReport]:
        bench.pool.start(shell(2, "echo secret > mine; echo up > ready; sleep 20", container=str(DIRECTORY)))
        bench.wait_for_file(2, "ready")
        token = bench.work / "token"
        token.write_text("secret")
        attack = (
            f"cat {token} && echo BROKEN;"
            f"cat {bench.directory(2)}/job/mine {bench.directory(2)}/token && echo BROKEN;"
            f"cat /proc/{os.getpid()}/environ /proc/{os.getpid()}/mem && echo BROKEN;"
            f"kill -9 {os.getpid()} && echo BROKEN; ls /srv/.. /srv/../attempts; kill -9 -1; echo tried"
        )
        bench.run(1, attack, container=str(DIRECTORY))
        told = bench.printed(1)
        bench.pool.kill(2, 1, "enough")
        return told, bench.central.end_of(2)

    told, other = in_pilot(who, act)
    assert "BROKEN" not in told
    assert "secret" not in told
    assert other.outcome is Outcome.KILLED  # by us, and not before


def test_no_rights_are_gained(who: str) -> None:
    """A payload can gain no rights by set-user-id programs, and has no capability outside of its container."""
    report, printed = ran(who, "grep -E 'NoNewPrivs|CapEff' /proc/self/status; mount -t tmpfs x /tmp || echo refused")
    assert report.outcome is Outcome.SUCCESS
    assert "NoNewPrivs:\t1" in printed
    assert "CapEff:\t0000000000000000" in printed
    assert "refused" in printed
