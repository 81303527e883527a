"""Cuts payloads off from the metadata service of their cloud, by the kernel's rules for routes.

A rule names users and an address, and forbids what they send there: in whatever way a payload sends it, since its user
is that of its sockets. Rules need no package, unlike packet filters, which plain images of Debian and Enterprise Linux
lack; cloud-init itself needs `ip`. They are put down as the kernel's own, since systemd-networkd removes others when it
is started again. They stay until the machine's end.

Names are looked up at the same address in some clouds, so that much is left open.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Callable

#: Where clouds answer their machines: all of them by the first; GCE, EC2 and OpenStack by IPv6 too; and Azure's wire
#: server, which gives away what a machine was configured with; and Alibaba. Sources: the clouds' documentation.
ADDRESSES = (
    *("169.254.169.254", "168.63.129.16", "100.100.100.200"),
    *("fd00:ec2::254", "fd20:ce::254", "fe80::a9fe:a9fe"),
)
#: Of the rules that let names through, and of those that forbid: before anything that a network's set-up has.
LETS, FORBIDS = 60, 61
#: What `ip` says of a rule that is there already, and where the machine has no IPv6.
_NO_MATTER = ("File exists", "Address family not supported", "Operation not supported")
#: Seconds for it.
PATIENCE = 5.0

#: Why nothing can be cut.
SAME_USER = "payloads run as the pilot's user, which cannot be cut off from the metadata service without the pilot"

#: Runs a program with an input. Returns what it complained of; raises OSError where it is not there or takes too long.
Run = Callable[[Sequence[str], str], str]


def spans(uids: Sequence[int]) -> list[tuple[int, int]]:
    """Users as ranges without a gap, first and last."""
    found: list[tuple[int, int]] = []
    for uid in sorted(set(uids)):
        if found and uid == found[-1][1] + 1:
            found[-1] = (found[-1][0], uid)
        else:
            found.append((uid, uid))
    return found


def rules(uids: Sequence[int], six: bool) -> str:
    """The lines for ``ip -batch``: for addresses of IPv6, or for those of IPv4."""
    lines = []
    for first, last in spans(uids):
        for address in ADDRESSES:
            if (":" in address) is six:
                whom = f"uidrange {first}-{last} to {address} protocol kernel"
                lines.append(f"rule add priority {LETS} {whom} dport 53 lookup main")
                lines.append(f"rule add priority {FORBIDS} {whom} prohibit")
    return "".join(f"{line}\n" for line in lines)


def cut_off(uids: Sequence[int], run: Run) -> str:
    """Cut these users off, for as long as the machine runs. Returns what speaks against it, empty when nothing does."""
    problems: list[str] = []
    for six in (False, True):
        words = ("ip", "-6" if six else "-4", "-force", "-batch", "-")
        try:
            said = run(words, rules(uids, six)).splitlines()
        except OSError as error:
            return f"payloads cannot be cut off from the metadata service: ip: {error}"
        problems += [line for line in said if _tells(line)]
    return f"payloads may not be cut off from the metadata service: ip: {problems[0][:200]}" if problems else ""


def _tells(line: str) -> bool:
    """Whether it is a problem of ours, and no line about where in the input it was."""
    return bool(line.strip()) and not line.startswith("Command failed") and not any(word in line for word in _NO_MATTER)


def run_as_root(words: Sequence[str], given: str) -> str:
    """Run a program of the system, with this input. Raises OSError."""
    place = shutil.which(words[0], path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")
    if place is None:
        raise FileNotFoundError(f"there is no program {words[0]}")
    try:
        ran = subprocess.run(
            [place, *words[1:]],
            input=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"it did not end within {PATIENCE:g} s") from error
    return ran.stderr
