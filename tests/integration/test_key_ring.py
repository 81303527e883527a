"""The key ring from its three places, with real centrals: who else sees it, how it is replaced, what it opens then."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from central.trust import ring_variable
from pilot.credential import CredentialPage
from tests import postgres
from tests.integration.running_central import ROOT, Person, RunningCentral, made_central, make_folder, until
from tests.integration.wire_pilot import SignedPilot

pytestmark = pytest.mark.integration

VARIABLE = ring_variable.VARIABLE
SECRET = "correct-horse-battery"
#: Every Linux has it where all users can read it, or it is none of ours to use.
COMMON_PYTHON = "/usr/bin/python3"
#: A number that is no user's, and how one becomes that user, who may read this Python and what is tested, wherever.
STRANGER = 23457
AS_STRANGER = (
    *("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)

#: A batch system of which every program writes down what it was started with.
NOSY = """
[[queues]]
name = "nosy"
site = "here"
kind = "slurm"
communities = ["physics"]
interval = "1 s"

[queues.batch]
programs = "{programs}"
folder = "{programs}"
"""


def folder_of(path: Path, kind: str, extra: str = "", more: str = "") -> tuple[RunningCentral, Path]:
    """A central that has its ring from elsewhere, not started, and the file that `init` made it in."""
    path.mkdir()
    central = RunningCentral(path, make_folder(path, f'key_ring = "{kind}"\n{extra}', more))
    ring = path.parent / "ring.json"
    (path / "given.pyz").write_bytes(b"what pilots would be started from")
    done = central.run("init", "--ring", str(ring), "--pilot", str(path / "given.pyz"))
    assert done.returncode == 0, done.stderr
    assert "keep a\ncopy apart" in done.stdout
    assert stat.S_IMODE(ring.stat().st_mode) == 0o600
    assert not (path / "private" / "keys.json").exists()
    return central, ring


def keep(central: RunningCentral) -> Person:
    ann = central.person("ann")
    body = json.dumps({"kind": "text", "values": {"text": SECRET}})
    assert ann.put("/v1/credentials/mine", data=body).status_code == 200
    return ann


def opens(central: RunningCentral) -> bool:
    """Whether the central gives a job what was kept."""
    ann = central.person("ann")
    job = ann.submit_one(credentials=["mine"])
    for lease in central.pilot().match(most=10).leases:
        if lease.job == job:
            return lease.credentials[0].values == {"text": SECRET}
    return False


def key_ids(file: Path) -> list[str]:
    return [key["id"] for key in json.loads(file.read_bytes())["keys"]]


def under(central: RunningCentral, key: str) -> bool:
    """Whether every credential is sealed under this key."""
    return not central.store(lambda store: store.credentials_under_others([key], 1))


def shown(pid: int) -> bytes:
    """What the system shows of a process: how it was started, and with which environment."""
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def nosy(tmp_path: Path) -> Path:
    """The folder of that batch system's programs."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sbatch", "squeue", "sacct", "scancel", "sinfo", "scontrol"):
        (programs / name).write_text(f"#!/bin/sh\nenv >>{programs}/seen\ntr '\\0' '\\n' </proc/self/environ\nexit 0\n")
        (programs / name).chmod(0o755)
    return programs


# -- the environment ------------------------------------------------------------------------------------------------
def test_no_program_of_the_central_inherits_the_ring(
    tmp_path: Path, nosy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A central with its ring in the environment works as any other, writes it nowhere, and hands it to nobody."""
    central, ring = folder_of(tmp_path / "one", "environment", more=NOSY.format(programs=nosy))
    with closing(central):
        monkeypatch.setenv(VARIABLE, ring.read_text())
        central.start()
        ann = keep(central)
        ann.submit_one(needs={"sites": ["here"]})
        assert opens(central)
        until(lambda: (nosy / "seen").exists(), "a director to run a program")
        secret = json.loads(ring.read_bytes())["keys"][0]["key"]
        assert "PATH=" in (nosy / "seen").read_text()
        assert VARIABLE not in (nosy / "seen").read_text()
        central.kill()
        central.start()
        assert opens(central), "after a crash"
        central.end()
        for file in central.folder.rglob("*"):
            if file.is_file():
                assert secret.encode() not in file.read_bytes(), file


def test_workers_are_told_the_ring_by_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a command line nor an environment of theirs has it; one that is started later is told as well."""
    if missing := postgres.missing():
        pytest.skip(missing)
    extra = f'database = "{postgres.cluster().database()}"\nworkers = 2'
    central, ring = folder_of(tmp_path / "one", "environment", extra)
    with closing(central):
        monkeypatch.setenv(VARIABLE, ring.read_text())
        central.start()
        assert central.process
        workers = children(central.process.pid)
        assert len(workers) == 2
        secret = json.loads(ring.read_bytes())["keys"][0]["key"].encode()
        for worker in workers:
            assert VARIABLE.encode() not in shown(worker)
            assert secret not in shown(worker)
        keep(central)
        assert opens(central)
        os.kill(workers[0], 9)
        until(lambda: "another is started" in central.words(), "the worker to be missed")
        until(lambda: len(now := children(central.process.pid)) == 2 and workers[0] not in now, "another")  # type: ignore[union-attr]
        until(lambda: central.words().count("serves") >= 3, "it to serve")
        for _ in range(8):  # connections are spread over both
            assert opens(central)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes as other users")
@pytest.mark.skipif(not os.access(COMMON_PYTHON, os.X_OK), reason="there is no Python that every user can read")
def test_other_processes_of_its_user_do_not_see_the_environment() -> None:
    """The system shows the environment that a process began with to every process of the same user, a payload of a
    pilot on this host for one; of this one it does not."""
    source = Path(ring_variable.__file__).read_text()
    wait = "print('ready', flush=True); input()"

    def environment_of(script: str) -> int:
        process = subprocess.Popen(
            [COMMON_PYTHON, "-I", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={VARIABLE: SECRET},
            user=STRANGER,
            cwd="/",
        )
        assert process.stdin
        assert process.stdout
        with process:
            assert process.stdout.readline() == b"ready\n"
            seen = subprocess.run(["grep", "-c", SECRET, f"/proc/{process.pid}/environ"], user=STRANGER, cwd="/")
            process.stdin.write(b"\n")
            process.stdin.flush()
        return seen.returncode

    assert environment_of(wait) == 0, "otherwise this test says nothing"
    assert environment_of(f"{source}\nkeep_from_others()\n{wait}") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes as other users")
def test_a_central_shows_its_environment_to_nobody(tmp_path: Path) -> None:
    """Not to its own user either, once it serves."""
    central, ring = folder_of(tmp_path / "one", "environment")
    for path in (central.folder, *central.folder.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    command = [*AS_STRANGER, sys.executable, "-m", "central", "serve", "--folder", str(central.folder)]
    environment = {**os.environ, VARIABLE: ring.read_text()}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline().startswith(b"ready ")
            assert VARIABLE.encode() in shown(process.pid), "root sees it still"
            # Who looks must have the rights of the central, or is turned away for want of them.
            grep = [*AS_STRANGER, "grep", "-qa", "PATH=\\|serve"]
            codes = [
                subprocess.run([*grep, f"/proc/{process.pid}/{file}"]).returncode for file in ("cmdline", "environ")
            ]
            assert codes == [0, 2]
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("value", "says", "verbs"),
    [
        (None, "PILOTAGE_KEY_RING is not set", ("serve", "verify-audit", "new-key", "accept-ring")),
        ("", "PILOTAGE_KEY_RING is empty", ("serve",)),
        (SECRET, "the variable PILOTAGE_KEY_RING: the key ring cannot be read: expected", ("new-key",)),
        ('{"keys": [{"id": "k", "key": "Y29ycmVjdA==", "made": 1}]}', "key 1: expected 32 bytes, got 7", ("serve",)),
    ],
)
def test_a_bad_variable_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, says: str, verbs: Sequence[str]
) -> None:
    """Without what it has; and nothing is served."""
    central, _ = folder_of(tmp_path / "one", "environment")
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    for verb in verbs:
        done = central.run(verb)
        assert done.returncode == 1
        assert says in done.stderr or verb == "verify-audit"  # which has no database to look at
        assert "Traceback" not in done.stderr
        assert "orrect" not in done.stderr
        assert "Y29ycmVjdA" not in done.stderr


def test_init_makes_a_ring_where_it_is_asked_to(tmp_path: Path) -> None:
    """A new folder says where its ring is from; one is never written over; a folder with its own ring refuses."""
    folder, ring = tmp_path / "new", tmp_path / "ring.json"
    command = [sys.executable, "-m", "central", "init", "--folder", str(folder), "--port", "0"]

    def init(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True)

    assert init("--key-ring", "credential", "--ring", str(ring)).returncode == 0
    assert 'key_ring = "credential"' in (folder / "central.toml").read_text()
    assert len(key_ids(ring)) == 1
    again = init("--ring", str(ring))
    assert again.returncode == 1
    assert "this file is there already" in again.stderr
    assert "init --ring FILE" in init().stdout
    assert "says key_ring 'credential', not 'file'; change it there" in init("--key-ring", "file").stdout
    shutil.rmtree(folder)
    refused = init("--ring", str(ring))
    assert refused.returncode == 1
    assert "leave --ring out" in refused.stderr


# -- a credential ---------------------------------------------------------------------------------------------------
def test_a_ring_from_a_credential_and_its_replacement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemd gives it: read, never written; `new-key --output` writes the next one, which is put in its place."""
    central, ring = folder_of(tmp_path / "one", "credential")
    given = tmp_path / "credentials"
    given.mkdir()

    def put(file: Path) -> None:
        (given / "keys.json").unlink(missing_ok=True)
        (given / "keys.json").write_bytes(file.read_bytes())
        (given / "keys.json").chmod(0o400)

    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    put(ring)
    with closing(central):
        central.start()
        keep(central)
        assert opens(central)
        pilot = central.pilot()
        assert "which is only read: say `--output FILE`" in central.run("new-key").stderr
        new = tmp_path / "new.json"
        done = central.run("new-key", "--output", str(new))
        assert done.returncode == 0, done.stderr
        assert f"put it in the place of {given}/keys.json" in done.stdout
        old, key = key_ids(new)
        assert [old] == key_ids(given / "keys.json") == key_ids(ring)
        central.end()
        put(new)
        central.start()
        assert pilot.heartbeat().next_beat, "what is under way is heard"
        until(lambda: under(central, key), "the credential to be under the new key")
        central.end()
        (given / "keys.json").chmod(0o644)
        refused = central.run("serve")
        assert refused.returncode == 1
        assert "others than its owner may use this key ring (mode 0644)" in refused.stderr


# -- rotation -------------------------------------------------------------------------------------------------------
def test_an_old_key_opens_nothing_that_is_needed_after_rotation(tmp_path: Path) -> None:
    """new-key, start, and all is under the new key: without the old one credentials open, the audit verifies, and
    pilots that enrolled since go on; tokens from before it are worthless."""
    folder = tmp_path / "one"
    central = made_central(folder)
    file = folder / "private" / "keys.json"
    with closing(central):
        central.start()
        keep(central)
        before = central.pilot()
        assert "another central" in central.run("new-key").stderr, "not under a central that serves"
        central.end()
        done = central.run("new-key")
        assert done.returncode == 0, done.stderr
        old, key = key_ids(file)
        assert key in done.stdout
        central.start()
        until(lambda: under(central, key), "everything to be sealed anew")
        after = central.pilot()
        until(lambda: newest_seal(central) == key, "the audit to be sealed with it")
        central.end()
        ring = json.loads(file.read_bytes())
        file.write_text(json.dumps({"keys": [one for one in ring["keys"] if one["id"] == key]}))
        central.start()
        assert opens(central)
        assert after.heartbeat().next_beat
        assert unknown(before)
        verified = central.run("verify-audit")
        assert verified.returncode == 0, verified.stderr
        assert "is as it was noted" in verified.stdout
        problems = [one.problem for one in central.person("ann").read("/v1/credentials", CredentialPage).credentials]
        assert problems == [""]
        assert old not in file.read_text()


def newest_seal(central: RunningCentral) -> str:
    last = central.store(lambda store: store.unlinked(1)).last
    return last.key_id if last else ""


def unknown(pilot: SignedPilot) -> bool:
    answer = pilot.http.post(
        f"{pilot.url}/v1/pilots/{pilot.stamp}/heartbeat", data=b"{}", headers={"Authorization": f"Pilot {pilot.token}"}
    )
    return answer.status_code == 401 and "a key that this central does not have" in answer.text
