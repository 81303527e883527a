"""``python -m central`` on a machine whose clock is off by PILOTAGE_TEST_SKEW seconds."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

_TRUE, _SKEW = time.time, float(os.environ["PILOTAGE_TEST_SKEW"])
time.time = lambda: _TRUE() + _SKEW

from central.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
