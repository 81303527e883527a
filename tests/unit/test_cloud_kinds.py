"""Which adapter a queue of a cloud gets, by its kind: ours, and those of distributions that are installed beside."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from central.clouds.making import mark, provider
from central.clouds.port import CloudProvider
from central.configuration.elements import Cloud
from central.configuration.settings import Queue
from central.configuration.settings_file import read
from pilot.errors import PilotageError
from tests.plugged_in import install

URL, HELD, GUESTS = "https://central.example", Path("/held/q"), Path("/guests")
CLOUD = Cloud("small", "plain", folder="")
SETTINGS = """
[central]
url = "https://localhost:9618"
[[communities]]
name = "physics"
[[sites]]
name = "here"
[[queues]]
name = "far"
site = "here"
kind = "{kind}"
{more}
"""
CREDENTIAL = """\
[queues.credential]
community = "physics"
owner = "ann"
name = "far"
kind = "bearer"
[queues.cloud]
flavor = "small"
image = "plain"
"""
PLUGIN = """
import threading

IMPORTED_BY = threading.current_thread()

class Mine:
    def __init__(self, *given):
        self.given = given

def broken(cloud, central, held):
    raise ValueError("no endpoint was given")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that adds three clouds, as an installer would have left it."""
    kinds = {"nimbus": "mine_of_nimbus:Mine", "bad": "mine_of_nimbus:broken", "gone": "nowhere_to_be_found:make"}
    install(tmp_path, monkeypatch, "mine_of_nimbus", PLUGIN, "pilotage.clouds", kinds | {"ec2": kinds["bad"]})


def made(kind: str, cloud: Cloud = CLOUD) -> CloudProvider:
    async def make() -> CloudProvider:
        found = await provider(Queue("q", "here", kind=kind, cloud=cloud), cloud, URL, HELD, GUESTS)
        if kind != "nimbus":
            await found.close()
        return found

    return asyncio.run(make())


@pytest.mark.parametrize(
    ("kind", "name"),
    [("openstack", "OpenStack"), ("ec2", "Ec2"), ("nspawn", "ThreadedProvider"), ("qemu", "ThreadedProvider")],
)
@pytest.mark.usefixtures("plugin")
def test_ours(kind: str, name: str) -> None:
    """Each kind has its adapter, and a plug-in cannot take the place of one."""
    assert type(made(kind, replace(CLOUD, url="https://cloud.example:5000/v3"))).__name__ == name


@pytest.mark.usefixtures("plugin")
def test_somebody_elses() -> None:
    """A cloud that an installed distribution adds is told its settings, our mark, and where its credential is laid; it
    is not imported by the thread that serves others."""
    nimbus = made("nimbus")
    assert vars(nimbus)["given"] == (CLOUD, mark(URL), HELD)
    imported_by = sys.modules["mine_of_nimbus"].IMPORTED_BY
    assert imported_by.name.startswith("asyncio_")


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("kind", "said"),
    [("bad", "ValueError: no endpoint was given"), ("gone", "No module named 'nowhere_to_be_found'")],
)
def test_a_plug_in_that_does_not_work_is_told(kind: str, said: str) -> None:
    """What is wrong with a plug-in is said, with the queue and the kind; nothing else is taken instead."""
    with pytest.raises(PilotageError, match=rf"queue q: the plug-in of the cloud {kind} cannot be used: .*{said}"):
        made(kind)


@pytest.mark.usefixtures("plugin")
def test_a_queue_of_somebody_elses_cloud() -> None:
    """It has a section [queues.cloud], a machine's times where nothing is said, and any credential."""
    far = read(SETTINGS.format(kind="nimbus", more='wall_time = "2 d"\n' + CREDENTIAL), "central.toml").queue("far")
    assert far is not None
    assert far.cloud == Cloud("small", "plain")
    assert (far.wall_time, far.secret_ttl) == (2 * 86400, 1800)
    assert far.credential is not None
    with pytest.raises(PilotageError, match="cloud: expected it for queues of the kinds"):
        read(SETTINGS.format(kind="nimbus", more=""), "central.toml")


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be installed is said."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    for name in [name for name in sys.modules if name.startswith("central.clouds.ec2.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(PilotageError, match=r"queue q: a library is not installed here .*pilotage\[ec2\]"):
        made("ec2")


def test_a_kind_that_nobody_knows() -> None:
    """It is refused when the settings are read, and when it is made."""
    with pytest.raises(PilotageError, match="nimbus"):
        read(SETTINGS.format(kind="nimbus", more=CREDENTIAL), "central.toml")
    with pytest.raises(PilotageError, match="there is no cloud of the kind nimbus"):
        made("nimbus")
