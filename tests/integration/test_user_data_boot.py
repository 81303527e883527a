"""The stub that user-data brings onto a virtual machine, as a process: it fetches, checks, and becomes the pilot."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.integration.https import Authority, Server, make_authority, serving
from tests.user_data import boot
from wrappers.user_data.compile import cloud_config

pytestmark = pytest.mark.integration

#: Stands for pilot.pyz: says how it was started.
PILOT = b"""import json, os, sys
with open("pilot.json") as file:
    print(json.dumps([sys.argv[1:], json.load(file), os.environ.get("NO_PROXY")]))
"""


@dataclass(frozen=True)
class Machine:
    """What the user-data of a machine has laid into its folder."""

    folder: Path
    server: Server

    def lay_out(self, authority: Authority, sha256: str, *, patience: int = 900) -> None:
        start = {
            "urls": [f"{self.server.url}/absent", f"{self.server.url}/pilot.pyz"],
            "sha256": sha256,
            "central": [self.server.url],
            "ca_pem": authority.ca_pem,
            "no_proxy": ["127.0.0.1"],
        }
        for entry in yaml.safe_load(cloud_config(boot(start)))["write_files"]:
            path = Path(entry["path"])
            if path.parent.name == "pilotage" and path.name != "secret":
                (self.folder / path.name).write_text(entry["content"])
        told = json.loads((self.folder / "boot.json").read_text())
        (self.folder / "boot.json").write_text(json.dumps({**told, "patience": patience}))

    def start(self) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-I", str(self.folder / "boot.py")]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd="/", check=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.fixture
def machine(tmp_path: Path, authority: Authority) -> Iterator[Machine]:
    folder = tmp_path / "machine"
    folder.mkdir()
    with serving(authority) as server:
        yield Machine(folder, server)


def test_it_becomes_the_pilot(machine: Machine, authority: Authority) -> None:
    """What has the right digest is started with its configuration, whichever URL had it; later boots fetch nothing."""
    machine.server.files["/pilot.pyz"] = PILOT
    machine.lay_out(authority, hashlib.sha256(PILOT).hexdigest())
    for _ in range(2):
        ran = machine.start()
        assert ran.returncode == 0, ran.stderr
        words, config, no_proxy = json.loads(ran.stdout)
        assert words == ["run", "--config", "pilot.json"]
        assert config["stamp"] == "a" * 32
        assert no_proxy == "127.0.0.1"
    assert [request.path for request in machine.server.requests] == ["/absent", "/pilot.pyz"]
    assert (machine.folder / "ca.pem").read_text() == authority.ca_pem.strip() + "\n"
    assert all((machine.folder / name).stat().st_mode & 0o077 == 0 for name in ("ticket", "pilot.json", "pilot.pyz"))


def test_what_has_another_digest_is_never_started(machine: Machine, authority: Authority) -> None:
    """Nothing is run, the machine's boot ends with a code of its own, and the central is told why."""
    machine.server.files["/pilot.pyz"] = PILOT
    machine.lay_out(authority, hashlib.sha256(b"another").hexdigest(), patience=0)
    ran = machine.start()
    assert ran.returncode == 91
    assert not (machine.folder / "pilot.pyz").exists()
    [told] = machine.server.puts()
    assert told.path == f"/v1/logs/{'a' * 32}/boot?offset=0"
    assert told.headers["Authorization"] == "Ticket " + "t" * 220
    assert b"what is there has another SHA-256" in told.body
    assert told.body.decode() == ran.stdout.strip()
