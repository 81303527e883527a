"""Machines that QEMU emulates, each a process: by the processor's own virtualisation where there is one.

An image is a disk as vendors have them, ``images/NAME.{qcow2,raw,img}`` or ``images/NAME/disk.qcow2``;
or a file system without a boot loader, with its kernel: ``images/NAME/{root.ext4,vmlinuz,initrd.img}``. Guests write to
copies of their own. They reach the outside through this host, and the host itself as 10.0.2.2.

Driven for real: QEMU 7.2 on Debian 12 by emulation, with the project's image by its kernel, as far as a pilot that has
enrolled. Not driven: KVM, disks with a boot loader.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from central.clouds.guests.guests import Guests
from central.clouds.guests.hypervisor import Guest, Start
from central.clouds.guests.provider import guests_of
from central.clouds.guests.seed import lay_out
from central.clouds.port import Named
from central.clouds.threaded import ThreadedProvider
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Trouble

#: The only network: QEMU's own, which hides the guest behind this host.
USER = "user"
_KVM, _PROCESSOR = Path("/dev/kvm"), Path("/proc/cpuinfo")
_PROGRAMS = ("qemu-system-x86_64", "qemu-img")
_FORMATS = {".qcow2": "qcow2", ".raw": "raw", ".img": "raw", ".ext4": "raw"}
_COMMAND_LINE = (
    "root=/dev/vda console=ttyS0 net.ifnames=0 quiet systemd.show_status=true"
    " nokaslr mitigations=off random.trust_cpu=1"
)
#: Seconds for qemu-img.
_PATIENCE = 30.0


class Qemu:
    """Boots copies of a disk."""

    kind = "qemu"

    def lacks(self) -> str:
        missing = [program for program in _PROGRAMS if not shutil.which(program)]
        return f"{', '.join(missing)} (Debian: qemu-system-x86, qemu-utils)" if missing else ""

    def boots(self, image: Path) -> bool:
        return disk_of(image) is not None

    def networks(self) -> Sequence[Named]:
        return [Named(USER, USER)]

    def prepare(self, guest: Guest) -> Start:
        disk = disk_of(guest.image)
        if disk is None:  # it was there a moment ago
            raise ComputingError(f"there is nothing to boot in {guest.image}", Trouble.REFUSED)
        copy = guest.folder / "disk.qcow2"
        size = max(guest.flavor.disk or 0, virtual_size(disk))
        _run(
            [
                "qemu-img",
                "create",
                "-q",
                "-f",
                "qcow2",
                "-F",
                _FORMATS[disk.suffix],
                "-b",
                str(disk),
                str(copy),
                str(size),
            ]
        )
        lay_out(guest, self.kind, guest.folder / "seed")
        return Start(["/usr/bin/env", "qemu-system-x86_64", *arguments(guest, disk, hardware())])

    def release(self, id: str) -> None:
        pass


def arguments(guest: Guest, disk: Path, accelerated: bool) -> list[str]:
    """For QEMU, in the guest's folder."""
    argv = ["-name", guest.id, "-nodefaults", "-no-user-config", "-display", "none", "-M", "pc"]
    argv += ["-accel", "kvm", "-cpu", "host"] if accelerated else ["-accel", "tcg,tb-size=512", "-cpu", "qemu64,-svm"]
    argv += ["-smp", str(guest.flavor.cores), "-m", f"{guest.flavor.memory // 1024**2}M"]
    argv += ["-serial", "stdio", "-device", "virtio-rng-pci"]
    argv += ["-drive", "if=none,id=disk,format=qcow2,cache=unsafe,file=disk.qcow2"]
    argv += ["-device", "virtio-blk-pci,drive=disk"]
    # A disk of VFAT made of the seed's folder: nothing but QEMU is needed to make it.
    argv += ["-blockdev", "driver=vvfat,node-name=seed,dir=seed,label=CIDATA,read-only=on"]
    argv += ["-device", "virtio-blk-pci,drive=seed"]
    argv += ["-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="]
    if disk.name == "root.ext4":
        argv += ["-kernel", str(disk.with_name("vmlinuz")), "-initrd", str(disk.with_name("initrd.img"))]
        argv += ["-append", _COMMAND_LINE]
    return argv


def disk_of(image: Path) -> Path | None:
    """What is booted of an image; None: nothing of it can be."""
    if image.is_file():
        return image if image.suffix in _FORMATS else None
    if all((image / name).is_file() for name in ("root.ext4", "vmlinuz", "initrd.img")):
        return image / "root.ext4"
    return image / "disk.qcow2" if (image / "disk.qcow2").is_file() else None


def hardware(kvm: Path = _KVM, processor: Path = _PROCESSOR) -> bool:
    """Whether the processor virtualises, and we may have it do so. The device alone does not tell."""
    try:
        flags = next(line for line in processor.read_text().splitlines() if line.startswith("flags")).split()
    except (OSError, StopIteration):
        return False
    return bool({"vmx", "svm"} & set(flags)) and os.access(kvm, os.R_OK | os.W_OK)


def virtual_size(disk: Path) -> int:
    """Bytes of the disk that a file stands for. (qcow2: eight bytes of its head, by the format's description.)"""
    if _FORMATS[disk.suffix] != "qcow2":
        return disk.stat().st_size
    with open(disk, "rb") as file:
        return int.from_bytes(file.read(32)[24:32], "big")


def _run(argv: Sequence[str]) -> None:
    try:
        ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise ComputingError(f"{argv[0]} did not end within {_PATIENCE:g} s", Trouble.UNREACHABLE) from error
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").strip()[-500:]
        raise ComputingError(f"{argv[0]} ended with {ran.returncode}: {said}", Trouble.REFUSED)


def make_qemu(cloud: Cloud, central: str, folder: Path) -> ThreadedProvider[Guests]:
    """`central`: the installation's mark. `folder`: where guests are, unless the queue says where."""
    return guests_of(Qemu(), cloud, central, folder)
