"""The power of a core: measured once on each node, beside the work, and kept for the pilots that come after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from pilot.node import benchmark
from pilot.node.build import parse_cpuinfo
from pilot.node.machine import Machine
from pilot.protocol import Fact

#: Seconds that a pilot has run before it measures: many a pilot ends sooner, and the first jobs start in peace.
SETTLED = 15.0
#: Seconds for the measurement, which yields to all other work of the node.
PATIENCE = 300.0
NAME = "power.json"
_MEASURED = "bzip2 on one core, MB per second of CPU time"


@dataclass(frozen=True)
class Node:
    """What a measurement holds for: another machine, or another CPU, is measured anew."""

    host: str
    cpu: str


def node(machine: Machine) -> Node:
    """What is measured on this machine."""
    about = parse_cpuinfo(machine.read("/proc/cpuinfo") or "")
    return Node(machine.system.host, about.get("model name", machine.system.arch))


class Power:
    """Measures in a thread and a process of its own. `cache`: a folder that pilots of this user share."""

    def __init__(
        self, node: Node, cache: Optional[Path], run: Callable[[], str], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.sleep = sleep
        self.node = node
        self.cache = cache
        self.run = run  # prints what `benchmark` does, or raises OSError or SubprocessError
        self._value: Optional[float] = None

    def value(self) -> Optional[float]:
        """MB per second and core; None until it is known."""
        return self._value

    def measure(self, tell: Callable[[Fact], None]) -> None:
        """Find it out without making anybody wait; `tell` is called once, from another thread, where it was found."""
        threading.Thread(target=self._measure, args=(tell,), name="power", daemon=True).start()

    def _measure(self, tell: Callable[[Fact], None]) -> None:
        if self._kept() is None:
            self.sleep(SETTLED)
        fact = self.find()
        self._value = fact.value if isinstance(fact.value, float) else None
        tell(fact)

    def find(self) -> Fact:
        """The fact `power`, from the cache or by measuring."""
        kept = self._kept()
        if kept is not None:
            return Fact("power", kept, f"{_MEASURED}, by an earlier pilot")
        try:
            value = float(self.run())
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            return Fact("power", None, f"the benchmark failed: {error}")
        self._keep(value)
        return Fact("power", value, _MEASURED)

    def _kept(self) -> Optional[float]:
        """What an earlier pilot of this user wrote down for this node."""
        if self.cache is None:
            return None
        try:
            with (self.cache / NAME).open("rb") as file:
                mine = os.fstat(file.fileno()).st_uid == os.geteuid()
                told = json.loads(file.read(4096))
            same = (told["host"], told["cpu"]) == (self.node.host, self.node.cpu)
            return float(told["power"]) if mine and same else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _keep(self, value: float) -> None:
        if self.cache is None:
            return
        told = {"host": self.node.host, "cpu": self.node.cpu, "power": value}
        try:
            self.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.cache, prefix=".power-", delete=False) as file:
                json.dump(told, file)
            os.replace(file.name, self.cache / NAME)
        except OSError:
            pass  # the next pilot measures again


def run_benchmark() -> str:
    """Run `pilot.node.benchmark` as a process."""
    program = [sys.executable, "-I", str(Path(benchmark.__file__).absolute())]
    quiet = subprocess.DEVNULL
    done = subprocess.run(program, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, timeout=PATIENCE, check=True)
    return done.stdout.decode("ascii", "replace")
