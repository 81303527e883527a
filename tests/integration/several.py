"""Several centrals over one database: each a process with a folder and a port of its own, keys and objects shared."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from central.init import free_port
from tests.integration.running_central import RunningCentral, made_central
from tests.integration.wire_pilot import SignedPilot

CLOCK = str(Path(__file__).with_name("central_with_clock.py"))
FAULTY = str(Path(__file__).with_name("central_with_fault.py"))


@dataclass
class Pair:
    """Two centrals; the second one's clock is ten minutes ahead."""

    one: RunningCentral
    two: RunningCentral

    @property
    def both(self) -> tuple[RunningCentral, RunningCentral]:
        return self.one, self.two


def first_central(folder: Path, database: str, extra: str = "", more: str = "") -> RunningCentral:
    """A central with a folder that others may be made from; not started."""
    objects = folder.parent / "objects"
    return made_central(folder, f'database = "{database}"\nobjects = "{objects}"\n{extra}', more)


def another(central: RunningCentral, folder: Path, program: Sequence[str] = ("-m", "central")) -> RunningCentral:
    """One more over the same database: what several centrals must share is copied; not started."""
    shutil.copytree(central.folder, folder, ignore=shutil.ignore_patterns("central.log", "central.lock", "server.pem"))
    port = free_port()
    settings = folder / "central.toml"
    settings.write_text(re.sub(r"(?m)^(port = |url = .*:)\d+", rf"\g<1>{port}", settings.read_text()))
    return RunningCentral(folder, f"https://localhost:{port}", program)


def at(pilot: SignedPilot, central: RunningCentral) -> SignedPilot:
    """The pilot, speaking to this central from now on."""
    pilot.url = central.url
    return pilot
