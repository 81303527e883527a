"""Containers of systemd-nspawn with systemd and cloud-init of their own: machines that start within seconds.

An image is a folder ``images/NAME/tree`` with a system in it, which is never changed: guests are copies of it, made on
writing. A guest may use as many cores and as much memory as its flavor says, by control groups. It shares the host's
network, or is put into a network namespace that `ip netns` has. It reboots as a machine does.

Driven for real: systemd 252 on Debian 12 under control groups of version 1, with cloud-init 22.4.2 in guests (NoCloud),
by the lane nspawn. Not driven: control groups of version 2, guests of other distributions.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from central.clouds.guests.groups import Groups
from central.clouds.guests.guests import Guests
from central.clouds.guests.hypervisor import Guest, Start
from central.clouds.guests.provider import guests_of
from central.clouds.guests.seed import lay_out, write
from central.clouds.port import Named
from central.clouds.threaded import ThreadedProvider
from central.configuration.elements import Cloud

NAMESPACES = Path("/run/netns")
#: Where systemd-nspawn has a folder for each guest, which stays when that is killed.
PROPAGATE = Path("/run/systemd/nspawn/propagate")
#: What guests have that are put into no namespace.
HOST = "host"
_BOOTS = Path(__file__).with_name("boots.sh")
_PROGRAMS = ("systemd-nspawn", "unshare", "mount")
#: Namespaces of its own, so that nothing of a guest stays: no mount, and no process once the first has ended.
_APART = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")
#: Services that would set up a network, or wait until they have: the guest's is there, and not its own to change.
_NETWORKS = (
    *("systemd-networkd.service", "systemd-networkd.socket", "systemd-networkd-wait-online.service"),
    *("NetworkManager.service", "NetworkManager-wait-online.service", "networking.service"),
)
_CLOUD_CONFIG = b"datasource_list: [NoCloud, None]\nnetwork: {config: disabled}\n"


class Nspawn:
    """Boots copies of a tree."""

    kind = "nspawn"

    def __init__(self, groups: Groups, namespaces: Path = NAMESPACES, propagate: Path = PROPAGATE) -> None:
        self.groups = groups
        self.namespaces = namespaces
        self.propagate = propagate

    def lacks(self) -> str:
        if os.geteuid() != 0:
            return "root, which the central does not run as"
        missing = [program for program in _PROGRAMS if not shutil.which(program)]
        return f"{', '.join(missing)} (Debian: systemd-container, util-linux, mount)" if missing else ""

    def boots(self, image: Path) -> bool:
        return (image / "tree").is_dir()

    def networks(self) -> Sequence[Named]:
        there = sorted(os.listdir(self.namespaces)) if self.namespaces.is_dir() else []
        return [Named(name, name) for name in (HOST, *there)]

    def prepare(self, guest: Guest) -> Start:
        for name in ("upper", "work", "root"):
            (guest.folder / name).mkdir(mode=0o755)
        (guest.folder / "image").symlink_to(guest.image / "tree")
        _lay_out_system(guest)
        argv = ["/usr/bin/env", "unshare", *_APART, "/bin/sh", str(_BOOTS), *self._arguments(guest)]
        return Start(argv, self.groups.make(guest.id, guest.flavor))

    def _arguments(self, guest: Guest) -> list[str]:
        """For systemd-nspawn. Of a namespace a guest may change what it finds there; of the host's network not."""
        argv = ["--quiet", "--boot", "--directory=root", f"--machine={guest.id}", f"--hostname={guest.hostname}"]
        argv += ["--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=replace-host", "--timezone=off"]
        for network in guest.networks[:1]:
            if network != HOST:
                argv += [f"--network-namespace-path={self.namespaces / network}", "--capability=CAP_NET_ADMIN"]
        return argv

    def release(self, id: str) -> None:
        self.groups.remove(id)
        with contextlib.suppress(OSError):
            os.rmdir(self.propagate / id)


def _lay_out_system(guest: Guest) -> None:
    """What differs from the image. Folders that both have are the upper one's, with its mode."""
    upper = guest.folder / "upper"
    for path in ("etc/cloud/cloud.cfg.d", "etc/systemd/system", "var/lib/cloud/seed"):
        folder = upper / path
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for each in (folder, *folder.parents):
            each.chmod(0o755)
            if each == upper:
                break
    for service in _NETWORKS:
        (upper / "etc/systemd/system" / service).symlink_to(os.devnull)
    write(upper / "etc/cloud/cloud.cfg.d/99_guest.cfg", _CLOUD_CONFIG, 0o644)
    lay_out(guest, Nspawn.kind, upper / "var/lib/cloud/seed/nocloud")


def make_nspawn(cloud: Cloud, central: str, folder: Path) -> ThreadedProvider[Guests]:
    """`central`: the installation's mark. `folder`: where guests are, unless the queue says where."""
    return guests_of(Nspawn(Groups()), cloud, central, folder)
