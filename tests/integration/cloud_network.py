"""A machine's network with the metadata service of a cloud beside it: two network namespaces and a cable."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.integration.metadata_service import MetadataService

ADDRESS, SIX = "169.254.169.254", "fd00:ec2::254"
_NETWORK = 0x40000000  # CLONE_NEWNET


def lacks() -> str:
    """What is missing here for such networks, empty when nothing is."""
    if os.geteuid() != 0:
        return "only root can make networks"
    return "" if shutil.which("ip") else "there is no program ip"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=20, capture_output=True)


@contextmanager
def inside(network: str) -> Iterator[None]:
    """This thread is in that network, with what it opens and starts meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as ours, open(f"/run/netns/{network}") as theirs:
        assert libc.setns(theirs.fileno(), _NETWORK) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(ours.fileno(), _NETWORK) == 0, os.strerror(ctypes.get_errno())


@contextmanager
def network() -> Iterator[tuple[str, str]]:
    """The names of the machine's network, and of that with the service's addresses."""
    machine, cloud = (f"pilotage-{what}-{os.getpid()}" for what in ("vm", "md"))
    with ExitStack() as undo:
        for name in (machine, cloud):
            ip("netns", "add", name)
            undo.callback(ip, "netns", "del", name)
        ip("link", "add", "eth0", "netns", machine, "type", "veth", "peer", "name", "eth0", "netns", cloud)
        for name, four, six in ((machine, "169.254.169.1/24", "fd00:ec2::1/64"), (cloud, f"{ADDRESS}/24", f"{SIX}/64")):
            ip("-n", name, "addr", "add", four, "dev", "eth0")
            ip("-n", name, "addr", "add", six, "dev", "eth0", "nodad")
            for link in ("lo", "eth0"):
                ip("-n", name, "link", "set", link, "up")
        yield machine, cloud


@contextmanager
def machine(address: str = ADDRESS) -> Iterator[MetadataService]:
    """This thread is on a machine of a cloud, whose metadata service answers at the address."""
    with network() as (vm, cloud):
        with inside(cloud):
            service = MetadataService(address, 80)
        with service, inside(vm):
            socket.create_connection((address, 80), 20).close()  # the cable may take a second to be there
            yield service
