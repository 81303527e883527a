"""User-data in a real cloud-init: its schema, and all four stages on a system of its own."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.system import TOP
from tests.user_data import boot
from wrappers.user_data.clouds import CLOUDS
from wrappers.user_data.compile import cloud_config, compile_user_data

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        "PILOTAGE_CLOUDINIT" not in os.environ, reason="what this needs is set up by the lane cloudinit"
    ),
]
ROOT = os.environ.get("PILOTAGE_CLOUDINIT", "")
SCRIPT = TOP / "tests" / "real" / "cloudinit.sh"


@pytest.mark.parametrize("stays", [False, True])
def test_its_schema_is_cloud_init_s(stays: bool) -> None:
    """cloud-init's own check finds nothing wrong."""
    file = Path(ROOT, "tmp/user-data")
    file.write_text(cloud_config(boot({"proxy": "http://proxy.example:3128"}, stays=stays)))
    words = ["chroot", ROOT, "cloud-init", "schema", "--config-file", "/tmp/user-data"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("packed", [False, True])
def test_the_four_stages(tmp_path: Path, packed: bool) -> None:
    """Plain or compressed, a machine's boot lays the files out for root alone, starts the units, and has no error."""
    content = compile_user_data(boot(), CLOUDS["nocloud"]).content
    plain = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    (tmp_path / "user-data").write_bytes(gzip.compress(plain) if packed else plain)
    folder = tmp_path / "machine"
    subprocess.run([SCRIPT, "run", folder, tmp_path / "user-data"], check=True, timeout=120)

    assert not (folder / "failed").exists(), (folder / "stages.log").read_text()
    assert json.loads((folder / "result.json").read_text())["v1"]["errors"] == []
    secret = folder / "run/pilotage/secret"
    assert secret.read_text() == "s" * 43 + "\n"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    place = folder / "upper/var/lib/pilotage"
    assert stat.S_IMODE((place / "boot.json").stat().st_mode) == 0o600
    assert json.loads((place / "boot.json").read_text())["config"]["stamp"] == "a" * 32
    compile((place / "boot.py").read_text(), "boot.py", "exec")
    told = (folder / "systemctl").read_text().splitlines()
    assert told[-3:] == [
        "daemon-reload",
        "enable pilotage-end.timer pilotage.service",
        "start --no-block pilotage-end.timer pilotage.service",
    ]


def test_systemd_takes_the_units() -> None:
    """systemd's own check finds nothing wrong with the units, and the timer has a next time."""
    from wrappers.user_data.units import units

    place = Path(ROOT, "etc/systemd/system")
    for name, text in units(boot()).items():
        (place / name).write_text(text)
    Path(ROOT, "var/lib/pilotage").mkdir(exist_ok=True)
    words = ["chroot", ROOT, "systemd-analyze", "verify", *(f"/etc/systemd/system/{name}" for name in units(boot()))]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "pilotage" not in ran.stderr, ran.stderr
    words = ["chroot", ROOT, "systemd-analyze", "calendar", "2027-01-29 08:00:00 UTC"]
    assert "Next elapse: Fri 2027-01-29" in subprocess.run(words, capture_output=True, text=True, check=True).stdout
