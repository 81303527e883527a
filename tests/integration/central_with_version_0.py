"""The central, with a synthetic older version of the protocol beside the real one: what an upgrade would leave.

In version 0 a submission was a list of shell commands, `scripts`, and its answer the list of `ids`.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from central.__main__ import main
from central.serving import versions
from pilot.views import SubmitReply, SubmitRequest


def submission(plain: versions.Plain) -> versions.Plain:
    return {"jobs": [{"command": shlex.split(script)} for script in plain["scripts"]]}


def answer(plain: versions.Plain) -> versions.Plain:
    return {"ids": [one["first"] + n for one in plain["jobs"] for n in range(one["count"])]}


versions.OLDER[0] = versions.Older({SubmitRequest: submission}, {SubmitReply: answer})

if __name__ == "__main__":
    sys.exit(main())
