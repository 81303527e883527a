"""What guests are booted from, and with which words."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from central.clouds.guests.groups import Groups
from central.clouds.guests.hypervisor import Guest
from central.clouds.guests.nspawn import Nspawn
from central.clouds.guests.qemu import Qemu, arguments, disk_of, hardware, virtual_size
from central.clouds.port import Flavor
from central.elements.port import ComputingError

SECRET = b"#cloud-config\n# the secret\n"


def guest(folder: Path, image: Path, networks: tuple[str, ...] = ()) -> Guest:
    place = folder / "machine"
    place.mkdir(exist_ok=True)
    size = Flavor("small", "small", 2, 3 * 1024**3, 10**9)
    return Guest(f"pilotage-aaaa1111-{'a' * 32}", place, image, size, networks, SECRET)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Control groups of version 1."""
    for controller in ("cpu", "memory"):
        (tmp_path / "cgroup" / controller).mkdir(parents=True)
    return tmp_path / "cgroup"


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Control groups of version 2."""
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "cgroup" / "cgroup.controllers").write_text("cpu memory\n")
    return tmp_path / "cgroup"


def test_a_container_is_a_copy_with_a_seed(tmp_path: Path, first: Path) -> None:
    """Its root holds the seed for its own root alone, folders that others may pass, and no network to set up."""
    (tmp_path / "image" / "tree").mkdir(parents=True)
    Nspawn(Groups(first), tmp_path / "netns").prepare(guest(tmp_path, tmp_path / "image"))
    upper = tmp_path / "machine" / "upper"
    seed = upper / "var/lib/cloud/seed/nocloud"
    assert (seed / "user-data").read_bytes() == SECRET
    about = json.loads((seed / "meta-data").read_text())
    assert about["instance-id"] == f"pilotage-aaaa1111-{'a' * 32}"
    assert (about["cloud-name"], about["instance-type"]) == ("nspawn", "small")
    assert stat.S_IMODE((seed / "user-data").stat().st_mode) == 0o600
    assert stat.S_IMODE(seed.stat().st_mode) == 0o700
    for folder in ("", "etc", "etc/systemd/system", "var", "var/lib"):
        assert stat.S_IMODE((upper / folder).stat().st_mode) == 0o755
    waits = upper / "etc/systemd/system/systemd-networkd-wait-online.service"
    assert waits.readlink() == Path("/dev/null")
    assert (tmp_path / "machine" / "image").resolve() == tmp_path / "image" / "tree"


def test_the_words_of_a_container(tmp_path: Path, first: Path) -> None:
    """In a namespace it may change the network, in the host's not; what it is told is in no word."""
    (tmp_path / "netns").mkdir()
    (tmp_path / "netns" / "site").touch()
    nspawn = Nspawn(Groups(first), tmp_path / "netns")
    assert [network.name for network in nspawn.networks()] == ["host", "site"]
    (tmp_path / "image" / "tree").mkdir(parents=True)
    assert nspawn.boots(tmp_path / "image")
    for networks, there in (((), False), (("host",), False), (("site",), True)):
        folder = tmp_path / f"of-{there}-{len(networks)}"
        folder.mkdir()
        argv = nspawn.prepare(guest(folder, tmp_path / "image", networks)).argv
        assert (f"--network-namespace-path={tmp_path}/netns/site" in argv) is there
        assert ("--capability=CAP_NET_ADMIN" in argv) is there
        assert "the secret" not in " ".join(argv)


def test_what_systemd_nspawn_leaves_of_one_that_was_killed_goes(tmp_path: Path, first: Path) -> None:
    """A host that has run thousands of containers has no folder left of any; one that is gone already is no error."""
    propagate = tmp_path / "propagate"
    (propagate / "one").mkdir(parents=True)
    (propagate / "other").mkdir()
    nspawn = Nspawn(Groups(first), tmp_path / "netns", propagate)
    for _ in range(2):
        nspawn.release("one")
    assert [folder.name for folder in propagate.iterdir()] == ["other"]


def test_control_groups_of_version_1(tmp_path: Path, first: Path) -> None:
    """Cores are a share of time, memory a bound; the process goes into both."""
    made = Groups(first).make("one", guest(tmp_path, tmp_path).flavor)
    assert made == [first / "cpu/pilotage-guests/one", first / "memory/pilotage-guests/one"]
    assert (made[0] / "cpu.cfs_quota_us").read_text() == "200000"
    assert (made[1] / "memory.limit_in_bytes").read_text() == str(3 * 1024**3)


def test_control_groups_of_version_2(tmp_path: Path, second: Path) -> None:
    """The same in one group, whose controllers are passed down to it."""
    [made] = Groups(second).make("one", guest(tmp_path, tmp_path).flavor)
    assert (made / "cpu.max").read_text() == "200000 100000"
    assert (made / "memory.max").read_text() == str(3 * 1024**3)
    assert (second / "pilotage-guests" / "cgroup.subtree_control").read_text() == "+cpu +memory"


def test_control_groups_that_cannot_be_made(tmp_path: Path) -> None:
    """A guest is not started without its bounds, and the sentence says why."""
    (tmp_path / "cpu").write_text("no folder")
    with pytest.raises(ComputingError, match="cores and memory cannot be bounded"):
        Groups(tmp_path).make("one", guest(tmp_path, tmp_path).flavor)


def test_control_groups_go(tmp_path: Path) -> None:
    """Those of one guest, with those below, and of no other; again it is no error."""
    for name in ("one/payload/deep", "two"):
        (tmp_path / "cpu/pilotage-guests" / name).mkdir(parents=True)
    Groups(tmp_path).remove("one")
    Groups(tmp_path).remove("one")
    assert [path.name for path in (tmp_path / "cpu/pilotage-guests").iterdir()] == ["two"]


def test_what_can_be_booted(tmp_path: Path) -> None:
    """Disks as vendors have them, a folder with one, or a file system beside its kernel."""
    (tmp_path / "vendor.qcow2").touch()
    (tmp_path / "notes.txt").touch()
    for name in ("disk/disk.qcow2", "kernel/root.ext4", "kernel/vmlinuz", "kernel/initrd.img", "half/root.ext4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = {path.name: disk_of(path) for path in tmp_path.iterdir()}
    assert found == {
        "vendor.qcow2": tmp_path / "vendor.qcow2",
        "notes.txt": None,
        "disk": tmp_path / "disk/disk.qcow2",
        "kernel": tmp_path / "kernel/root.ext4",
        "half": None,
    }
    assert not Qemu().boots(tmp_path / "half")


def test_the_size_of_a_disk(tmp_path: Path) -> None:
    """What a file of qcow2 stands for is in its head; a raw one is what it is."""
    head = b"QFI\xfb" + bytes(20) + (8 * 1024**3).to_bytes(8, "big")
    (tmp_path / "a.qcow2").write_bytes(head + bytes(100))
    (tmp_path / "a.raw").write_bytes(bytes(512))
    assert virtual_size(tmp_path / "a.qcow2") == 8 * 1024**3
    assert virtual_size(tmp_path / "a.raw") == 512


@pytest.mark.parametrize("accelerated", [False, True])
def test_the_words_of_an_emulated_machine(tmp_path: Path, accelerated: bool) -> None:
    """Cores and memory of the flavor, its own disk first and then the seed; a kernel only where the image has one."""
    one = guest(tmp_path, tmp_path)
    words = " ".join(arguments(one, tmp_path / "root.ext4", accelerated))
    assert "-smp 2 -m 3072M" in words
    assert words.index("drive=disk") < words.index("drive=seed")
    assert f"-kernel {tmp_path}/vmlinuz" in words
    assert ("-accel kvm" in words) is accelerated
    assert "the secret" not in words
    assert "-kernel" not in arguments(one, tmp_path / "disk.qcow2", accelerated)


def test_a_processor_that_virtualises(tmp_path: Path) -> None:
    """A device alone does not tell: the processor must say so, too."""
    device, processor = tmp_path / "kvm", tmp_path / "cpuinfo"
    processor.write_text("flags\t\t: fpu vmx sse\n")
    assert not hardware(device, processor)
    device.touch()
    assert hardware(device, processor)
    processor.write_text("flags\t\t: fpu sse\n")
    assert not hardware(device, processor)
    assert not hardware(device, tmp_path / "absent")
