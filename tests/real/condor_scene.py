"""A real pool of HTCondor, as the tests of its adapter ask it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from central.elements.batch import BatchElement
from central.elements.here import Here
from central.elements.port import Request, Submission
from central.elements.system import Door
from central.elements.systems.condor import Condor
from tests.real import element_scene
from tests.system import process_rows, wait_for

#: Where the programs are that `condor.sh` has made.
PROGRAMS = os.environ.get("PILOTAGE_CONDOR", "")
#: The pool's schedd as others would name it.
POOL = "127.0.0.1:29618"
SMALL = Request(memory=200 * 1024**2, disk=100 * 10**6)


@dataclass(frozen=True)
class Place:
    """Where pilots of an adapter have their folders."""

    folder: str
    door: Door = field(default_factory=Door)

    def element(self, patience: float = 60.0, **environment: str) -> BatchElement:
        return BatchElement(Here(environment, patience), Condor(self.door), self.folder, PROGRAMS)

    def named(self) -> Place:
        """The same, through the schedd's name, files spooled."""
        name = run("condor_status", "-schedd", "-autoformat", "Name").strip()
        return replace(self, door=replace(self.door, schedd=name, pool=POOL, spool=True))


def run(program: str, *words: str) -> str:
    return subprocess.run([f"{PROGRAMS}/{program}", *words], check=True, capture_output=True, text=True).stdout


def take_all_away() -> None:
    def gone() -> bool:
        for words in (("-all",), ("-forcex", "-all")):
            subprocess.run([f"{PROGRAMS}/condor_rm", *words], capture_output=True, check=False)
        return not in_queue()

    wait_for(gone, 30, "an empty queue")


def submission(script: str = "exec sleep 600\n") -> Submission:
    return element_scene.submission(script, SMALL)


def in_queue() -> Sequence[str]:
    return run("condor_q", "-allusers", "-autoformat", "PilotageStamp").split()


def schedd_process() -> int:
    """The pool's; its master is the first process of its namespace."""
    master = int(Path(PROGRAMS).parent.joinpath("pid").read_text())
    (found,) = (row.pid for row in process_rows() if row.parent == master and row.words[0] == "condor_schedd")
    return found
