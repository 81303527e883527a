"""``python -m central`` whose pilots of this host start on the island that PILOTAGE_TEST_ISLAND names."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from central.__main__ import main
from central.elements import kinds
from central.elements.local import LocalHost
from central.elements.port import ComputingError, Submission
from tests.integration.island import GO_THERE

THERE = GO_THERE.format(namespace=os.environ["PILOTAGE_TEST_ISLAND"])


class OnTheIsland(LocalHost):
    def _start(self, submission: Submission) -> str | ComputingError:
        return super()._start(replace(submission, script=THERE + submission.script))


kinds.LocalHost = OnTheIsland  # type: ignore[attr-defined]

if __name__ == "__main__":
    sys.exit(main())
