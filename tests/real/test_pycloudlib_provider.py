"""LXD by pycloudlib as a provider of machines, against an LXD of this host."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from central.clouds.conformance import CloudProviderContract, Scene
from central.clouds.port import CloudProvider, Intent, State
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Trouble

PLACE = Path(os.environ.get("PILOTAGE_LXD", "/nowhere"))

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not PLACE.is_dir(), reason="what this needs is set up by the lane lxd"),
    # In what pycloudlib imports.
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::SyntaxWarning", "ignore::UserWarning", "ignore::FutureWarning"
    ),
]
FLAVOR, IMAGE, NETWORK = "small", "bookworm", "lxdbr0"
#: Written by the machine itself, where it has read its user-data.
READ = "it was read"
USER_DATA = f'#cloud-config\nruncmd:\n  - [sh, -c, "echo {READ} > /dev/console"]\n'
PATIENCE = 90.0


def fresh(central: str, patience: float = PATIENCE) -> CloudProvider:
    from central.clouds.pycloudlib.provider import make_pycloudlib

    return make_pycloudlib(Cloud(FLAVOR, IMAGE, patience=patience), central, PLACE / "no-credential")


def lxc(*words: str) -> str:
    return subprocess.run(["lxc", *words], check=True, capture_output=True, text=True, timeout=60).stdout


@contextmanager
def full() -> Iterator[None]:
    """No more machines than there are."""
    count = len(lxc("list", "--format", "csv", "--columns", "n").split())
    lxc("project", "set", "default", "limits.instances", str(count))
    try:
        yield
    finally:
        lxc("project", "unset", "default", "limits.instances")


@contextmanager
def deaf() -> Iterator[None]:
    """LXD takes requests, and answers none."""
    lxd = int((PLACE / "lxd.pid").read_text())
    os.kill(lxd, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(lxd, signal.SIGCONT)


def power_off(id: str) -> None:
    """As soon as its systemd can be told."""
    end = time.monotonic() + 60
    while True:
        try:
            lxc("exec", id, "--", "systemctl", "--no-block", "poweroff")
            return
        except subprocess.CalledProcessError:
            assert time.monotonic() < end
            time.sleep(0.5)


class TestContract(CloudProviderContract):
    """The contract of every cloud."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls) -> Scene:
        return Scene(
            fresh=fresh,
            flavor=FLAVOR,
            image=IMAGE,
            networks=(NETWORK,),
            user_data=USER_DATA.encode(),
            patience=180,
            pause=1.0,
            unknown="no-such-machine",
            console=READ.encode(),
            full=full,
            deaf=deaf,
            patience_of_calls=PATIENCE,
            power_off=power_off,
        )


def test_a_creation_that_was_broken_off_is_finished() -> None:
    """A machine that was created and never started is being built, as far as anybody knows; asked for again, it is
    started with the user-data of now. One that has run with another secret is refused."""
    central, stamp = secrets.token_hex(4), secrets.token_hex(16)
    name = f"pilotage-{central}-{stamp}"
    marks = {"central": central, "queue": "large", "stamp": stamp}
    settings = [word for key, value in marks.items() for word in ("--config", f"user.pilotage-{key}={value}")]
    lxc("init", f"local:{IMAGE}", name, "--profile", "default", "--profile", FLAVOR, *settings)

    async def story() -> None:
        provider = fresh(central)
        try:
            (found,) = await provider.machines()
            assert (found.id, found.state) == (name, State.BUILDING)
            wanted = Intent(stamp, "large", FLAVOR, IMAGE, USER_DATA.encode())
            assert await provider.create(wanted) == name
            (found,) = await provider.machines()
            assert found.state is State.RUNNING
            assert lxc("config", "get", name, "user.user-data").strip() == USER_DATA.strip()
            with pytest.raises(ComputingError) as caught:
                await provider.create(Intent(stamp, "large", FLAVOR, IMAGE, b"#cloud-config\n{}\n"))
            assert caught.value.trouble is Trouble.REFUSED
        finally:
            await provider.delete(name)
            await provider.close()

    asyncio.run(story())


def test_nothing_is_known_without_lxd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no LXD, no list is taken for an empty one, and nobody is told that a machine is gone."""
    monkeypatch.setenv("LXD_DIR", str(tmp_path))

    async def story() -> None:
        provider = fresh("c0ffee01")
        for asked in (provider.validate(), provider.machines(), provider.machine("any"), provider.delete("any")):
            with pytest.raises(ComputingError) as caught:
                await asked
            assert caught.value.trouble is Trouble.UNREACHABLE, caught.value
        await provider.close()

    asyncio.run(story())
