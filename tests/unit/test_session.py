"""What a monitor leaves for one that takes its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilot.config import Config
from pilot.errors import InvalidInput
from pilot.monitor.hold import held
from pilot.monitor.kept_logs import KeptLogs, attempts_of
from pilot.monitor.remains import is_agent, works_in
from pilot.monitor.session import Session, SessionFile, fitting, instance_of, kept_for
from pilot.protocol import AttemptId, EnrolReply, Settings

STAMP = "0123456789abcdef" * 2
SESSION = Session.new(STAMP, bytes(32), "boot 1")
REPLY = EnrolReply(4, "token", 3600, 0.0, Settings(log_bound=1000))


def config(work: Path, slot_users: str = "", resume: bool | None = None) -> Config:
    urls = ("https://central",)
    return Config(STAMP, urls, None, work / "secret", "here", "local", work, slot_users=slot_users, resume=resume)


def test_a_session_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """It is read whole, by the same user, and has mode 0600 whatever the umask."""
    file = SessionFile(tmp_path / "session")
    assert file.read() is None
    before = os.umask(0)
    try:
        file.write(SESSION.enrolled(REPLY, 2.5))
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o600
    found = file.read()
    assert found is not None
    assert (found.epoch, found.token, found.ahead, found.log_bound, found.life) == (4, "token", 2.5, 1000, 1)
    assert found.session_key == bytes(32)
    assert found.enrolled(REPLY, 0.0).life == 2
    file.remove()
    assert file.read() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_session_that_others_can_read_is_not_trusted(tmp_path: Path, mode: int) -> None:
    """It may be another's, or known to others."""
    file = SessionFile(tmp_path / "session")
    file.write(SESSION)
    file.path.chmod(mode)
    with pytest.raises(InvalidInput, match="0600"):
        file.read()


def test_a_link_is_no_session(tmp_path: Path) -> None:
    """Whatever it leads to."""
    SessionFile(tmp_path / "elsewhere").write(SESSION)
    (tmp_path / "session").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput):
        SessionFile(tmp_path / "session").read()


def test_what_is_no_session_is_said_to_be_none(tmp_path: Path) -> None:
    """Half a file is not taken for a session, nor one whose key is none."""
    file = SessionFile(tmp_path / "session")
    for text in (b"{", b'{"stamp": "x"}', b'{"stamp": "x", "key": "???", "instance": ""}'):
        file.write(SESSION)
        file.path.write_bytes(text)
        with pytest.raises(InvalidInput, match="expected the session of a pilot"):
            file.read()


def test_a_session_that_cannot_be_written_leaves_no_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who took up the old one would hold what nobody runs."""
    file = SessionFile(tmp_path / "session")
    file.write(SESSION)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.write(SESSION.enrolled(REPLY, 0.0))
    assert list(tmp_path.iterdir()) == []


def test_a_session_is_of_one_pilot_on_one_machine(tmp_path: Path) -> None:
    """After another start of the machine, and for another pilot, it is refused with both names."""
    assert fitting(SESSION, STAMP, "boot 1", tmp_path) is SESSION
    with pytest.raises(InvalidInput, match=r"since its start \(boot 2\), got one of boot 1"):
        fitting(SESSION, STAMP, "boot 2", tmp_path)
    with pytest.raises(InvalidInput, match="expected the session of pilot f"):
        fitting(SESSION, "f" * 32, "boot 1", tmp_path)


def test_a_machine_is_named_by_its_start_and_a_vm_by_its_name(tmp_path: Path) -> None:
    """A VM that is started again is the same for root; for anybody else, and any other machine, each start is new."""
    for path, text in (("proc/sys/kernel/random/boot_id", "b-1\n"), ("var/lib/cloud/data/instance-id", "i-7\n")):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    assert instance_of(tmp_path, 0) == "vm i-7"
    assert instance_of(tmp_path, 1000) == "b-1"
    (tmp_path / "var/lib/cloud/data/instance-id").unlink()
    assert instance_of(tmp_path, 0) == "b-1"


def test_a_session_is_kept_where_no_payload_can_read_it(tmp_path: Path) -> None:
    """That is where payloads are other users than the pilot; elsewhere the configuration has to say so."""
    assert kept_for(config(tmp_path, "20000-20003"), 0)
    assert not kept_for(config(tmp_path, "20000-20003"), 1000)
    assert not kept_for(config(tmp_path), 0)
    assert kept_for(config(tmp_path, resume=True), 1000)
    assert not kept_for(config(tmp_path, "20000-20003", resume=False), 0)


def test_a_folder_is_held_once(tmp_path: Path) -> None:
    """A second is refused with the process that has it, and may have it afterwards."""
    with held(tmp_path), pytest.raises(InvalidInput, match=f"process {os.getpid()} holds"), held(tmp_path):
        pass
    with held(tmp_path):
        pass


def test_a_log_is_kept_until_it_is_pushed(tmp_path: Path) -> None:
    """Its bytes are there when its own directory has gone; what is pushed, and odd names, leave nothing."""
    said: list[str] = []
    kept = KeptLogs(tmp_path / "logs", said.append)
    log = tmp_path / "stdout"
    log.write_bytes(b"one ")
    kept.keep("job-7-1-stdout", log)
    kept.keep("job-7-1-stdout", log)
    kept.keep("../escaped", log)
    with log.open("ab") as file:
        file.write(b"two")
    log.unlink()
    assert {name: path.read_bytes() for name, path in kept.found().items()} == {"job-7-1-stdout": b"one two"}
    kept.gone("job-7-1-stdout")
    kept.gone("never there")
    assert kept.found() == {}
    kept.keep("step-1-discover", tmp_path / "none")
    assert len(said) == 1
    kept.remove()
    assert list(tmp_path.iterdir()) == []


def test_it_is_known_whose_logs_may_show_credentials(tmp_path: Path) -> None:
    """From the lease on, until somebody says that they do not any more."""
    kept = KeptLogs(tmp_path / "logs", print)
    assert not kept.has_secret("7-1")
    assert kept.secret("7-1")
    assert KeptLogs(tmp_path / "logs", print).has_secret("7-1")
    assert kept.found() == {}
    kept.no_secret("7-1")
    assert not kept.has_secret("7-1")


def test_streams_are_told_to_attempts() -> None:
    """Those of steps belong to none."""
    names = ["job-7-1-stderr", "job-7-1-stdout", "job-70-2-stdout", "step-1-discover"]
    assert attempts_of(names) == {AttemptId(7, 1): names[:2], AttemptId(70, 2): [names[2]]}


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        (["python3", "-I", "pilot.pyz", "agent", "--fd", "7", "--work", "/w/s"], True),
        (["python3", "-m", "pilot", "step", "--fd", "7", "--work", "/w/s"], True),
        (["python3", "-I", "pilot.pyz", "agent", "--fd", "7", "--work", "/w/s2"], False),
        (["python3", "-I", "pilot.pyz", "run", "--config", "/w/s/pilot.json"], False),
        (["agent", "--fd", "--work"], False),
        ([], False),
    ],
)
def test_an_agent_is_told_by_its_command_line(words: list[str], ours: bool) -> None:
    """By its work directory: several pilots may be on a machine."""
    assert is_agent([word.encode() for word in words], Path("/w/s")) is ours


def test_a_payload_is_told_by_the_folder_of_its_attempt() -> None:
    """In its environment, or where it works; whatever else names that folder is somebody else's."""
    work = Path("/w/s")
    assert works_in(work, [b"A=1", b"PILOTAGE_GRANT_FILE=/w/s/attempts/7.1/grant.json"], "/")
    assert works_in(work, [], "/w/s/attempts/7.1/job/deep")
    assert not works_in(work, [b"PILOTAGE_GRANT_FILE=/w/s2/attempts/7.1/grant.json"], "/w/s2/attempts/7.1/job")
    assert not works_in(work, [b"LOOKING_AT=/w/s/attempts/7.1"], "/w/s")
