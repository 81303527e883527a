"""The container runtime of this node, Apptainer or SingularityCE with the same verbs: which, and what it can do."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

NAMES = ("apptainer", "singularity")
#: Where it is on nodes that have it off the PATH; the last is the one that the Open Science Grid publishes.
ELSEWHERE = ("/usr/local/bin", "/usr/bin", "/cvmfs/oasis.opensciencegrid.org/mis/apptainer/bin")
_VERSION = re.compile(r"(?P<name>[a-z-]+) version (?P<number>\d+\.\d+\S*)")
_FLAG = re.compile(r"(--[a-z][a-z-]+)")


@dataclass(frozen=True)
class Runtime:
    """A runtime that was tried, with what the trials proved."""

    program: Path
    name: str  # apptainer or singularity: the prefix of its variables
    version: str  # as it says, "apptainer 1.4.5"
    userns: bool = True  # containers are made in a user namespace; else by a setuid program
    pidns: bool = True  # payloads see their own processes alone
    squashfs: str = ""  # how SIF files are opened: "mounted", "unpacked" for each payload anew, "" not at all
    hidden: bool = False  # a payload was seen to see neither the host's files nor its processes

    @property
    def prefix(self) -> str:
        """Of the variables that are meant for it."""
        return self.name.upper()


def find_program(environment: Mapping[str, str]) -> Optional[Path]:
    """The first runtime on the PATH, else in the usual places."""
    path = os.pathsep.join([environment.get("PATH", ""), *ELSEWHERE])
    for name in NAMES:
        found = shutil.which(name, path=path)
        if found:
            return Path(found).absolute()
    return None


def parse_version(text: str) -> Optional[tuple[str, str]]:
    """What ``--version`` prints: the name that counts (apptainer or singularity), and name and number for people."""
    found = _VERSION.search(text)
    if found is None:
        return None
    name = "apptainer" if found["name"].startswith("apptainer") else "singularity"
    return name, f"{found['name']} {found['number']}"


def flags_of(help_text: str) -> frozenset[str]:
    """The options that its help names."""
    return frozenset(_FLAG.findall(help_text))


def host_environment(environment: Mapping[str, str], extra: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """What the runtime itself gets of an environment: where programs are, and nothing that changes what it does."""
    return {"PATH": environment.get("PATH") or os.defpath, **dict(extra)}
