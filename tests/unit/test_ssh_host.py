"""A host that is reached by SSH: what is decided before anything is connected to."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from central.configuration.elements import Batch, Ssh
from central.configuration.settings import Queue
from central.elements.kinds import computing_element
from central.elements.port import ComputingError, Trouble
from central.elements.ssh import SshHost, command
from central.elements.ssh_connection import _given, _targets
from pilot.errors import PilotageError


@pytest.mark.parametrize(
    ("jump", "host", "user", "port"),
    [("gate", "gate", "", 0), ("me@gate:2222", "gate", "me", 2222), ("a.b@gate.example", "gate.example", "a.b", 0)],
)
def test_a_host_on_the_way(jump: str, host: str, user: str, port: int) -> None:
    """A jump host is connected to first, by the same key and the same known hosts; the host itself comes last."""
    settings = Ssh("far", "us", 22, "/key", "/known", jump)
    assert list(_targets(settings)) == [Ssh(host, user, port, "/key", "/known"), settings]
    assert list(_targets(Ssh("far"))) == [Ssh("far")]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("ls", "a b", "$HOME", "it's"), """ls 'a b' '$HOME' 'it'"'"'s'"""),
        (("echo", "one\ntwo"), """sh -c 'eval "$(printf %b "$1")"' sh 'echo '"'"'one\\0012two'"'"''"""),
        (("echo", "\\!"), """sh -c 'eval "$(printf %b "$1")"' sh 'echo '"'"'\\0134\\0041'"'"''"""),
    ],
)
def test_words_for_any_shell(words: tuple[str, ...], line: str) -> None:
    """Words are quoted; characters that mean something inside quotes to csh or to fish are written otherwise."""
    assert command(words) == line


def test_the_check_of_host_keys_cannot_be_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SSH configuration that accepts every host key is refused before anything is connected to."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host far\n  UserKnownHostsFile none\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ComputingError, match="turns the check of the host key of far off") as caught:
        asyncio.run(SshHost(Ssh("far"), {}).run(["true"]))
    assert caught.value.trouble is Trouble.CREDENTIAL


def test_a_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    """A private key that others can read is not used."""
    key = tmp_path / "key"
    key.write_text("a key")
    key.chmod(0o640)
    with pytest.raises(ComputingError, match=r"key can be read by others \(mode 0640\): `chmod 600 ") as caught:
        asyncio.run(SshHost(Ssh("far", key=str(key)), {}).run(["true"]))
    assert caught.value.trouble is Trouble.CREDENTIAL


@pytest.mark.parametrize("what", ["words", "bytes", "pipe", "device", "nothing"])
def test_known_hosts_are_a_file_of_lines_and_never_quoted(tmp_path: Path, what: str) -> None:
    """Whatever file the settings name as known hosts, it is read within bounds, and what is in it is not told."""
    file = tmp_path / "file"
    if what == "words":
        file.write_text("a-key-of-the-central\n")
    elif what == "bytes":
        file.write_bytes(b"a-key \xff\xfe")
    elif what == "pipe":
        os.mkfifo(file)
    elif what == "device":
        file = Path("/dev/zero")
    with pytest.raises(ComputingError, match="file of known hosts .* cannot be read: ") as caught:
        asyncio.run(SshHost(Ssh("far", known_hosts=str(file)), {}).run(["true"]))
    assert caught.value.trouble is Trouble.CREDENTIAL
    assert "a-key" not in str(caught.value)


def test_no_agent_goes_along() -> None:
    """Programs on the host cannot use the keys of the central's user, whatever its own logins have forwarded."""
    assert _given(Ssh("far"))["agent_forwarding"] is False


def test_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its library a queue that is reached by SSH says what to install; others do without."""
    for name in ("ssh", "ssh_connection"):
        monkeypatch.delitem(sys.modules, f"central.elements.{name}")
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    queue = Queue("q", "here", kind="ssh", ssh=Ssh("far"), batch=Batch(folder="/pilots"))
    with pytest.raises(PilotageError, match=r"asyncssh: install it with `pip install 'pilotage\[ssh\]'`"):
        computing_element(queue, Path("/f"))
    computing_element(Queue("q", "here", kind="slurm"), Path("/f"))
