"""Which adapter a queue gets, by its kind: ours, and those of distributions that are installed beside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from central.configuration.elements import Batch, Ssh
from central.configuration.settings import Queue
from central.configuration.settings_file import InvalidSettings, read
from central.elements.batch import BatchElement
from central.elements.here import Here
from central.elements.kinds import computing_element
from central.elements.local import LocalHost
from central.elements.ssh import SshHost
from central.elements.systems.processes import Processes
from central.elements.systems.slurm import Slurm
from pilot.errors import PilotageError
from tests.plugged_in import install

SETTINGS = """
[central]
url = "https://localhost:9618"
[[communities]]
name = "physics"
[[sites]]
name = "here"
[[queues]]
name = "cloud9"
site = "here"
kind = "{kind}"
"""
PLUGIN = """
from central.elements.local import LocalHost

class Mine(LocalHost):
    pass

def element(queue, pilots):
    return Mine(pilots / queue.batch.extra[0])

def broken(queue, pilots):
    raise ValueError("no endpoint was given")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that adds three kinds, as an installer would have left it."""
    kinds = {"cloud9": "mine_of_cloud9:element", "bad": "mine_of_cloud9:broken", "gone": "nowhere_to_be_found:element"}
    install(tmp_path, monkeypatch, "mine_of_cloud9", PLUGIN, "pilotage.elements", kinds)


def queue(kind: str) -> Queue:
    return Queue("q", "here", kind=kind, batch=Batch(extra=("mine",), folder="/pilots"))


def test_ours() -> None:
    """A queue of a batch system has its programs run here, or by SSH; one of the kind ssh has processes there."""
    assert isinstance(computing_element(queue("local"), Path("/f")), LocalHost)
    slurm = computing_element(queue("slurm"), Path("/f"))
    assert isinstance(slurm, BatchElement)
    assert (type(slurm.host), type(slurm.system), slurm.folder) == (Here, Slurm, "/pilots")
    far = replace(queue("slurm"), ssh=Ssh("login.example"))
    elsewhere = computing_element(far, Path("/f"))
    assert isinstance(elsewhere, BatchElement)
    assert (type(elsewhere.host), elsewhere.host.name) == (SshHost, "login.example")
    processes = computing_element(replace(far, kind="ssh"), Path("/f"))
    assert isinstance(processes, BatchElement)
    assert (type(processes.host), type(processes.system)) == (SshHost, Processes)


@pytest.mark.usefixtures("plugin")
def test_somebody_elses() -> None:
    """A kind that an installed distribution adds is known to the settings, and its adapter is made of the queue."""
    declared = read(SETTINGS.format(kind="cloud9"), "central.toml").queue("cloud9")
    assert declared is not None
    assert declared.kind == "cloud9"
    element = computing_element(queue("cloud9"), Path("/f"))
    assert (type(element).__name__, element.secret_file("s")) == ("Mine", "/f/mine/s/secret")


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("kind", "said"),
    [("bad", "ValueError: no endpoint was given"), ("gone", "No module named 'nowhere_to_be_found'")],
)
def test_a_plug_in_that_does_not_work_is_told(kind: str, said: str) -> None:
    """What is wrong with a plug-in is said, with the queue and the plug-in's name; nothing else is taken instead."""
    with pytest.raises(PilotageError, match=rf"queue q: the plug-in \w+:\w+ cannot be used: .*{said}"):
        computing_element(queue(kind), Path("/f"))


def test_a_kind_that_nobody_knows() -> None:
    """A kind that is neither ours nor anybody's is refused, when the settings are read and when it is made."""
    with pytest.raises(PilotageError, match="cloud9"):
        read(SETTINGS.format(kind="cloud9"), "central.toml")
    with pytest.raises(PilotageError, match="there is no computing element of the kind cloud9"):
        computing_element(queue("cloud9"), Path("/f"))


def test_of_a_kind_that_nobody_knows_nothing_else_is_said() -> None:
    """A kind that is mistyped is one problem: what goes with it cannot be known."""
    text = SETTINGS.format(kind="local").replace('kind = "local"', 'kind = "slurmm"\nssh = { host = "a" }')
    with pytest.raises(InvalidSettings) as found:
        read(text, "central.toml")
    assert len(found.value.problems) == 1


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('kind = "ssh"', "expected the host that pilots are started on"),
        ('kind = "ssh"\nssh = { host = "a" }', "expected the folder on a where each pilot has a folder"),
        ('kind = "slurm"\nssh = { host = "a" }', "expected the folder on a"),
        ('kind = "local"\nssh = { host = "a" }', "a queue of the kind local is not reached by SSH"),
    ],
)
def test_what_a_queue_by_ssh_needs(lines: str, said: str) -> None:
    """A far host needs its name and the folder of pilots there, and only what is reached by SSH has one."""
    with pytest.raises(PilotageError, match=said):
        read(SETTINGS.format(kind="local").replace('kind = "local"', lines), "central.toml")
