"""A real central and a real pilot whose system trusts the authority of a storage that a lane has set up."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilot.credential import CredentialView
from pilot.states import FINAL
from pilot.views import AttemptView
from tests.integration.real_pilot import RealPilot
from tests.integration.running_central import Person, decoded, serving
from tests.system import wait_for

TOP = Path(__file__).resolve().parents[2]
LANES = TOP / ".lanes"


@dataclass(frozen=True)
class Scene:
    """Ann's jobs run on the one pilot."""

    ann: Person
    pilot: RealPilot

    def keep(self, name: str, kind: str, values: Mapping[str, str], *urls: str) -> None:
        """Put a credential into the vault."""
        body = json.dumps({"kind": kind, "values": values, "urls": urls})
        decoded(self.ann.put(f"/v1/credentials/{name}", data=body), CredentialView)

    def run(self, script: str, *, seconds: float = 60.0, **job: Any) -> AttemptView:
        """Run a line of shell to the end of its job; how its only attempt ended."""
        number = self.ann.submit_one(command=["sh", "-c", script], **job)
        wait_for(lambda: self.ann.job(number).state in FINAL, seconds, f"the end of job {number}")
        (attempt,) = self.ann.attempts(number)
        return attempt


@contextmanager
def storage_scene(folder: Path, ca: Path, path: str = "") -> Iterator[Scene]:
    """Nothing of it is left afterwards. `path`: of the pilot, where it is not this process's."""
    with serving(folder / "central") as central:
        stamp, secret = central.plan()
        pilot = RealPilot(folder, central.url, central.ca, secret, stamp=stamp)
        pilot.start(environment={"SSL_CERT_FILE": str(ca), "PATH": path or os.environ["PATH"]})
        try:
            yield Scene(central.person("ann"), pilot)
        finally:
            pilot.end()
            print(pilot.log[-4000:])
