"""Whether connections to the outside work: proved by one where the queue names somebody to call, else by the routes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from typing import Callable, Optional

from pilot.node.machine import Machine
from pilot.protocol import Fact

NAMES = ("tag:outbound", "proxy")
#: Seconds for a call; all are tried at once.
PATIENCE = 2.0
_PROXIES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")

#: Tries to reach ``HOST:PORT``; empty when it was reached, else why not.
Call = Callable[[str], str]


def call(target: str) -> str:
    """A TCP connection, closed again at once."""
    host, _, port = target.rpartition(":")
    if not port.isdecimal():
        return f"{target} is no HOST:PORT"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE):
            return ""
    except (OSError, OverflowError, UnicodeError) as error:
        return str(error)


def network(machine: Machine, targets: Sequence[str], call: Call = call) -> tuple[Fact, ...]:
    """The tag `outbound`, and the proxy that programs are told to use."""
    proxy = next((name for name in _PROXIES if machine.environment.get(name)), None)
    source = f"{proxy} is set" if proxy else "no variable names one"
    return _outbound(machine, targets, call), Fact("proxy", proxy is not None, source)


def _outbound(machine: Machine, targets: Sequence[str], call: Call) -> Fact:
    name = "tag:outbound"
    if targets:
        reached, why_not = _first(targets, call)
        return Fact(name, bool(reached), f"connected to {reached}" if reached else why_not)
    routed = has_default_route(machine)
    if routed is None:
        return Fact(name, None, "the queue names nobody to connect to, and the routes cannot be read")
    if not routed:
        return Fact(name, False, "no default route in /proc/net/route and /proc/net/ipv6_route")
    return Fact(name, None, "there is a default route; the queue names nobody to connect to")


def _first(targets: Sequence[str], call: Call) -> tuple[str, str]:
    """The first that was reached, or why none was."""
    answers: dict[str, str] = {}

    def try_one(target: str) -> None:
        answers[target] = call(target)

    threads = [threading.Thread(target=try_one, args=(target,), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE
    for target, thread in zip(targets, threads):
        thread.join(max(0.0, end - time.monotonic()))
        if answers.get(target) == "":
            return target, ""
    return "", "; ".join(f"{target}: {answers.get(target, 'no answer')}" for target in targets)


def has_default_route(machine: Machine) -> Optional[bool]:
    """Whether packets to anywhere have a way out of this machine; None where the kernel does not show its routes."""
    old, new = machine.read("/proc/net/route"), machine.read("/proc/net/ipv6_route")
    if old is None and new is None:
        return None
    for line in (old or "").splitlines()[1:]:
        words = line.split()
        # Interface, destination, gateway, flags (odd: up), …, mask: all zero is everywhere.
        if len(words) > 7 and words[1] == words[7] == "00000000" and words[3][-1] in "13579BDF":
            return True
    for line in (new or "").splitlines():
        words = line.split()
        if len(words) > 9 and words[0] == "0" * 32 and words[1] == "00" and words[9] != "lo":
            return True
    return False
