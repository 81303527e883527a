"""A user per slot, where the pilot is root: payloads that try to get at what is not theirs, or to stay.

The users are numbers that no account has. Root is needed; without it the lane says so.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands.context import Capacity
from pilot.attempts.containment import Containment
from pilot.config import Config
from pilot.payloads.slot_users import LOCK_NAME, UserLocks, lock_file, processes_of, users_of
from pilot.protocol import AttemptReport, Credential, Settings
from pilot.states import Outcome, PilotReason
from pilot.workplace import furnish, run_pipeline
from tests.integration.pool_bench import MB, PoolBench, pool_bench
from tests.patience import PATIENCE
from tests.pilot_fakes import shell
from tests.system import Plan, System, wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start payloads as other users"),
]

FIRST = 29_000
USERS = range(FIRST, FIRST + 4)
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
INTRUDER = (Path(__file__).parent / "intruder.py").read_bytes()


@pytest.fixture
def work() -> Iterator[Path]:
    """A place that other users can get to, which pytest's own are not."""
    place = Path(tempfile.mkdtemp(prefix="pilotage-isolation-"))
    place.chmod(0o711)
    (place / "pilot").mkdir(mode=0o700)
    yield place / "pilot"
    shutil.rmtree(place)


@pytest.fixture
def bench(work: Path) -> Iterator[PoolBench]:
    held = Containment(users_of(f"{USERS[0]}-{USERS[-1]}"))
    with pool_bench(work, held, max_processes=100) as bench:
        yield bench
    assert [pid for uid in USERS for pid in processes_of(uid)] == []


#: What stands in the directory of an attempt.
PLACES = ("", "token", "stdout", "job", "job/x", "home", "tmp", "grant.json")


def intrude(bench: PoolBench, job: int, *paths: Path) -> tuple[AttemptReport, list[str]]:
    """Run the intruder; what it printed."""
    inputs = (bench.central.add("intruder.py", INTRUDER),)
    names = " ".join(map(str, paths))
    report = bench.run(job, f"{PYTHON} intruder.py {names}", inputs=inputs)
    return report, bench.printed(job).splitlines()


def test_a_payload_reaches_nothing_of_the_pilot(bench: PoolBench) -> None:
    """The pilot's files, environment, memory, open files and processes are closed to a payload of another user."""
    secrets = [bench.work / name for name in ("secret", "pilot.json", "pilot.log")]
    for path in secrets:
        path.write_text("the pilot's token")
        path.chmod(0o600)
    (bench.work / "spool").mkdir(mode=0o700)
    report, lines = intrude(bench, 1, *secrets, bench.work / "spool", bench.work, bench.work / "attempts")
    assert report.outcome is Outcome.SUCCESS, (report, bench.printed(1, "stderr"))
    tried = [line for line in lines if line.startswith(("got", "denied"))]
    assert len(tried) > 15
    assert [line for line in tried if line.startswith("got")] == []
    assert "own token token-of-1-1" in lines
    assert "open files ['0', '1', '2']" in lines
    assert "groups []" in lines
    assert "rights 1 0 0 0 0" in lines


def test_a_payload_reaches_nothing_of_another_attempt(bench: PoolBench) -> None:
    """Token, files, prints, environment and processes of an attempt beside it are closed to a payload, and so is the
    directory of one that has ended."""
    bench.pool.start(shell(1, "echo mine >data; echo said; echo $$ >pid; sleep 60"))
    other = int(bench.wait_for_file(1, "pid"))
    place = bench.directory(1)
    names = ("token", "stdout", "stderr", "job/data", "job", "home", "tmp", "")
    targets = [place / name for name in names] + [Path(f"/proc/{other}/{name}") for name in ("environ", "maps", "fd")]
    _, lines = intrude(bench, 2, *targets)
    tried = [line for line in lines if line.startswith(("got", "denied"))]
    assert len(tried) > len(targets)
    assert [line for line in tried if line.startswith("got")] == []
    killed = bench.run(3, f"kill -9 {other}; kill -9 -1; sleep 0.2; echo still here")
    assert killed.exit_code == 0
    assert Path(f"/proc/{other}").exists()


def test_the_place_of_an_attempt_is_known_to_other_pilots(bench: PoolBench) -> None:
    """While it runs its user is marked with its folder, for whoever comes when this pilot has died; then no more."""
    mark = lock_file().with_name(f"{LOCK_NAME}.{USERS[0]}")
    bench.pool.start(shell(1, "echo $$ >pid; while [ ! -e go ]; do sleep 0.05; done"))
    bench.wait_for_file(1, "pid")
    assert mark.read_text() == str(bench.directory(1))
    (bench.directory(1) / "job" / "go").touch()
    wait_for(lambda: not mark.exists(), 20, "the user to be given back")


def test_credentials_are_the_payloads_own(bench: PoolBench) -> None:
    """A payload reads the secrets of its job, which belong to its user; a payload beside it gets none of them."""
    secret = Credential("key", "text", {"text": "open sesame"})
    login = Credential("login", "basic", {"user": "ann", "password": "open sesame"})
    words = 'cd "$PILOTAGE_CREDENTIALS"; cat key login/password >"$OLDPWD/copy"; cd "$OLDPWD"; echo $$ >pid; sleep 60'
    bench.pool.start(replace(shell(1, words), credentials=(secret, login)))
    owner = os.stat(f"/proc/{int(bench.wait_for_file(1, 'pid'))}").st_uid
    assert owner in USERS
    assert (bench.directory(1) / "job" / "copy").read_text() == "open sesame" * 2
    place = bench.directory(1) / "credentials"
    entries = [place, *place.rglob("*")]
    assert len(entries) == 5
    assert {(entry.stat().st_uid, entry.stat().st_mode & 0o077) for entry in entries} == {(owner, 0)}
    _, lines = intrude(bench, 2, *entries)
    tried = [line for line in lines if line.startswith(("got", "denied"))]
    assert len(tried) > len(entries)
    assert [line for line in tried if line.startswith("got")] == []


def test_root_does_not_read_for_a_payload(bench: PoolBench) -> None:
    """A link among the outputs that leads to another attempt's file, or to root's, brings nothing home."""
    bench.pool.start(shell(1, "echo mine >data; echo x >there; sleep 60"))
    bench.wait_for_file(1, "there")
    private = bench.work / "private"
    private.mkdir(mode=0o700)
    (private / "key").write_text("root's")
    script = (
        f"ln -s {bench.directory(1)}/job/data a; ln -s {private}/key b; ln -s {private} c; ln -s /etc/shadow d;"
        f" ln {private}/key e 2>/dev/null; echo good >f; chmod 000 .; true"
    )
    report = bench.run(2, script.replace("chmod 000 .; ", ""), outputs=["*", "c/*"])
    assert report.outcome is Outcome.SUCCESS, report
    assert bench.central.outputs(report) == {"f": b"good\n"}
    closed = bench.run(3, "echo x >g; chmod 000 g", outputs=["g"])
    assert closed.outcome is Outcome.OUTPUT_ERROR
    assert "cannot be read" in closed.message


def test_payloads_side_by_side_have_different_users(bench: PoolBench) -> None:
    """Each payload has its own user and group, its own places, and prints into files of its own."""
    script = 'id -u; id -g; stat -c "%a %u" . "$HOME" "$TMPDIR" "$PILOTAGE_JOB_TOKEN_FILE"; echo again >>/dev/stdout'
    for job in (1, 2):
        bench.pool.start(shell(job, f"{script}; echo x >x; sleep 0.5", outputs=["x"]))
    for job in (1, 2):
        assert bench.central.end_of(job).outcome is Outcome.SUCCESS, bench.central.reports
    first, second = (bench.printed(job).split("\n") for job in (1, 2))
    assert first[0] != second[0]
    for lines in (first, second):
        uid = lines[0]
        assert int(uid) in USERS
        assert lines[1] == uid
        assert lines[2:7] == [f"700 {uid}"] * 3 + [f"600 {uid}", "again"]


def test_nothing_outlives_a_kill(bench: PoolBench) -> None:
    """A daemon with an empty environment, its own session, no parent and deaf to signals ends with its payload."""
    script = (
        "trap '' TERM HUP; "
        + "env -i setsid setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' & " * 3
        + "sleep 0.2; id -u >uid; sleep 60"
    )
    bench.pool.start(shell(1, script))
    uid = int(bench.wait_for_file(1, "uid"))
    assert len(processes_of(uid)) >= 4
    asked = time.monotonic()
    bench.pool.kill(1, 1, "a person")
    assert bench.central.end_of(1).outcome is Outcome.KILLED
    assert time.monotonic() - asked < 10 * PATIENCE
    assert processes_of(uid) == []


def test_nothing_outlives_its_payload_at_another_service(bench: PoolBench) -> None:
    """What some other service of the machine runs for the payload's user ends with the payload too."""
    bench.pool.start(shell(1, "id -u >uid; sleep 60"))
    uid = int(bench.wait_for_file(1, "uid"))
    service = subprocess.Popen(["sleep", "60"], user=uid, group=uid, extra_groups=[], start_new_session=True)
    bench.pool.kill(1, 1, "a person")
    assert bench.central.end_of(1).outcome is Outcome.KILLED
    assert processes_of(uid) == []
    service.wait(10)


def test_a_fork_bomb_is_bounded_and_ended(bench: PoolBench) -> None:
    """A payload may have so many processes and no more, and all of them end within the time of a kill."""
    bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"
    bench.pool.start(shell(1, f"id -u >uid; {PYTHON} -c '{bomb}'"))
    uid = int(bench.wait_for_file(1, "uid"))
    bench.central.wait_for(lambda: len(processes_of(uid)) > 90, "some processes")
    assert len(processes_of(uid)) <= 101  # beside the one that ends them, when it does
    asked = time.monotonic()
    bench.pool.kill(1, 1, "a person")
    assert bench.central.end_of(1).outcome is Outcome.KILLED
    assert time.monotonic() - asked < 10 * PATIENCE
    assert processes_of(uid) == []


def test_a_user_with_processes_is_not_taken(bench: PoolBench) -> None:
    """A user that somebody works as is passed over, and nothing of theirs is ended."""
    stranger = subprocess.Popen(["sleep", "60"], user=FIRST, group=FIRST, extra_groups=[])
    try:
        report = bench.run(1, "id -u")
        assert report.outcome is Outcome.SUCCESS
        assert bench.printed(1).strip() != str(FIRST)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_two_pilots_do_not_share_a_user(work: Path) -> None:
    """A user that another pilot of this machine has is passed over until that one gives it back."""
    path = work / "locks"
    child = (
        "import sys; from pathlib import Path; from pilot.payloads.slot_users import UserLocks;"
        "locks = UserLocks(Path(sys.argv[1])); print(locks.lock(30000), flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", child, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        mine = UserLocks(path)
        assert not mine.lock(30000)
        assert mine.lock(30001)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        other.communicate("\n")
    assert mine.lock(30000)


def test_no_more_payloads_than_users(work: Path) -> None:
    """A pilot whose users are all busy offers nothing, whatever cores are free, and offers again when one ends."""
    held, capacity = Containment(users_of(f"{FIRST + 10}-{FIRST + 10}")), Capacity(cores=4, memory=500 * MB)
    with pool_bench(work, held, capacity) as one:
        assert one.pool.offer().isolation
        one.pool.start(shell(1, "sleep 60"))
        assert one.pool.offer().cores == 0
        one.pool.kill(1, 1, "enough")
        one.central.end_of(1)
        one.wait_until_empty()
        assert one.pool.offer().cores == 4


def test_a_place_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    """A work directory below one that lets nobody through costs the attempt a sentence that names the folder."""
    closed = tmp_path / "closed"
    (closed / "pilot").mkdir(parents=True)
    closed.chmod(0o700)
    with pool_bench(closed / "pilot", Containment(users_of(f"{FIRST}-{FIRST}"))) as bench:
        report = bench.run(1, "true")
    assert report.outcome is Outcome.NODE_FAULT
    assert f"id {FIRST}, who cannot enter" in report.message
    assert "does not let that user through" in report.message


def test_a_pilot_whose_place_is_closed_to_its_users_is_unfit(tmp_path: Path) -> None:
    """Where no payload could get to its directory the pilot ends as unfit before it asks for a job, and says why."""
    work = tmp_path / "closed" / "pilot"
    work.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    config = Config("0" * 32, (), None, work / "secret", "here", "test", work, slot_users=f"{FIRST}-{FIRST + 1}")
    said: list[str] = []
    central: Any = None
    context, pool, guests = furnish(config, Settings(), central, central, 0.0, said.append)
    try:
        ended = run_pipeline(context, guests, 0.0)
    finally:
        pool.close()
    assert ended.reason is PilotReason.UNFIT
    assert f"id {FIRST}, who cannot enter {work}: " in ended.message
    assert "does not let that user through" in ended.message
    assert ended.message in said


def test_the_next_payload_finds_nothing(work: Path) -> None:
    """What a payload left in places that are everybody's, and in shared memory, is gone when its user is used again."""
    leave = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None)\n"
        "print(libc.shmget(0, 4096, 0o1600), libc.msgget(0, 0o1600), libc.semget(0, 1, 0o1600))\n"
    )
    script = (
        f"d=/tmp/pilotage-left-{os.getpid()}; mkdir -m 700 $d && echo mine >$d/data && echo mine >/dev/shm/${{d##*/}}"
        f" && chmod 000 $d; {PYTHON} -c '{leave}'"
    )
    with pool_bench(work, Containment(users_of(f"{FIRST + 30}-{FIRST + 30}"))) as bench:
        report = bench.run(1, script)
        assert report.outcome is Outcome.SUCCESS, bench.printed(1, "stderr")
        assert "-1" not in bench.printed(1).split()
        bench.wait_until_empty()
        found = bench.run(2, "ls -d /tmp/pilotage-left-* /dev/shm/pilotage-left-*; cat /proc/sysvipc/*; id -u")
    assert f"pilotage-left-{os.getpid()}" not in bench.printed(2)
    assert found.outcome is Outcome.SUCCESS
    owned = [line for line in bench.printed(2).splitlines() if str(FIRST + 30) in line.split()]
    assert owned == [str(FIRST + 30)]


@contextmanager
def system_of_users(place: Path) -> Iterator[System]:
    """A real central whose pilots, run by root, have users for their payloads."""
    system = System(place / "central", Plan(slots=1, cores=2, idle="20 s"))
    system.make()
    system.folder.chmod(0o711)
    for folder in (place / "central" / name for name in ("pilots", "pilots/work", "pilots/work/here")):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711)
    settings = system.folder / "central.toml"
    users = f'work = "{system.folder}/pilots/work/here"\nslot_users = "{FIRST + 20}-{FIRST + 23}"\n'
    settings.write_text(settings.read_text().replace("[[queues]]\n", f"[[queues]]\n{users}"))
    system.start()
    try:
        yield system
    finally:
        system.end()


def test_a_real_pilots_payload_reaches_nothing(work: Path) -> None:
    """Whatever a pilot keeps (key, token, configuration, spool, log, another attempt) is closed to its payloads; what
    the payload is not to see, other than its work directory's name, is not even listed."""
    kept = ("", "attempts", "pilot.json", "pilot.log", "spool", "secret", "ticket", "boot.log", "ca.pem")
    with system_of_users(work.parent) as system:
        client = system.client()
        (work / "intruder.py").write_bytes(INTRUDER)
        (first,) = client.submit([{"command": ["/bin/sh", "-c", "echo x >x; sleep 60"]}]).ids
        wait_for(lambda: system.attempt(first, 1, "x"), 60, "the first payload", system.log)
        names = " ".join([*(f"WORK/{name}" for name in kept), *(f"WORK/attempts/{first}.1/{name}" for name in PLACES)])
        script = f"{PYTHON} intruder.py {names}"
        job = {"command": ["/bin/sh", "-c", script], "inputs": ["intruder.py"], "needs": {"isolation": "required"}}
        (second,) = client.submit([job], base=work).ids
        client.wait([second], timeout=180)
        wait_for(lambda: b"own token" in client.logs(second), 30, "what the intruder printed")
        lines = client.logs(second).decode().splitlines()
        tried = [line for line in lines if line.startswith(("got", "denied"))]
        assert len(tried) > 35
        assert [line for line in tried if line.startswith("got")] == []
        client.kill([first])
        users = range(FIRST + 20, FIRST + 24)
        wait_for(lambda: not [pid for uid in users for pid in processes_of(uid)], 10, "the payload to be gone")


@pytest.mark.parametrize("exposed", [False, True])
def test_no_isolation_beside_a_metadata_service(work: Path, exposed: bool) -> None:
    """Where payloads have users of their own, and yet reach what gives the machine away, isolation is not offered."""
    with pool_bench(work, Containment(users_of(f"{USERS[0]}-{USERS[-1]}"))) as bench:
        bench.pool.open(Capacity(cores=2, exposed=exposed), {})
        assert bench.pool.offer().isolation is not exposed
