"""A network for guests behind a router that lends them its address and forgets connections on which nothing goes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.integration.cloud_network import ip

#: Where the central is reached outside, the router's address there, and the two inside.
OUTSIDE, ROUTER_OUTSIDE, ROUTER_INSIDE, GUESTS = "10.97.0.1", "10.97.0.2", "10.98.0.1", "10.98.0.2"
RULES = """\
table ip lending {
    chain leaving {
        type nat hook postrouting priority srcnat;
        oifname "out" masquerade
    }
}
"""


@dataclass(frozen=True)
class Nat:
    """Names of network namespaces: that of the guests, and that outside, from which no way leads to them."""

    guests: str
    router: str
    outside: str


@contextmanager
def nat(remembers: int) -> Iterator[Nat]:
    """Such a network; gone afterwards. `remembers`: seconds that the router keeps a silent connection."""
    names = Nat(*(f"pilotage-{what}-{os.getpid()}" for what in ("inside", "router", "outside")))
    with ExitStack() as undo:
        for name in (names.guests, names.router, names.outside):
            ip("netns", "add", name)
            undo.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        _cable((names.guests, "nat0", GUESTS), (names.router, "in", ROUTER_INSIDE))
        _cable((names.outside, "nat0", OUTSIDE), (names.router, "out", ROUTER_OUTSIDE))
        ip("-n", names.guests, "route", "add", "default", "via", ROUTER_INSIDE)
        _within(names.router, "nft", "-f", "-", given=RULES)
        # What it has forgotten it does not take up again in the middle: such packets lead nowhere.
        for setting in (
            "net.ipv4.ip_forward=1",
            f"net.netfilter.nf_conntrack_tcp_timeout_established={remembers}",
            "net.netfilter.nf_conntrack_tcp_loose=0",
        ):
            _within(names.router, "sysctl", "-qw", setting)
        yield names


def _cable(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Two interfaces and what is between: network, name and address of each."""
    ip("link", "add", one[1], "netns", one[0], "type", "veth", "peer", "name", other[1], "netns", other[0])
    for network, link, address in (one, other):
        ip("-n", network, "addr", "add", f"{address}/24", "dev", link)
        ip("-n", network, "link", "set", link, "up")


def _within(network: str, *words: str, given: str = "") -> None:
    subprocess.run(["ip", "netns", "exec", network, *words], input=given.encode(), check=True, timeout=20)
