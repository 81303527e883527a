"""A `pilot.pyz` as it is shipped, that fails where a test asks for it, and shows in the fault what it was about."""

from __future__ import annotations

import zipfile
from pathlib import Path

#: Put behind the module of that name: the monitor fails where ``fail-monitor`` is in its work directory, an attempt
#: where ``fail-attempt`` is, and the agent as it ends where ``fail-agent`` is.
BEHIND = {
    "pilot/monitor/monitor.py": """

def _look_and_fail(self, now, look=Monitor._look):
    if (self.config.work / "fail-monitor").exists():
        standing, key = self.client.standing, self.client.standing.key
        raise RuntimeError(f"a fault of the test, about {self.reply!r}, {standing!r}, {self.config!r}")
    look(self, now)


Monitor._look = _look_and_fail
""",
    "pilot/attempts/attempt.py": """

def _carry_out_and_fail(self, carry_out=Attempt._carry_out):
    report, lease = carry_out(self), self.lease
    import pathlib

    if pathlib.Path("fail-attempt").exists():
        raise RuntimeError(f"a fault of the test, about {lease!r}, {lease.credentials!r}, {self.keys!r}")
    return report


Attempt._carry_out = _carry_out_and_fail
""",
    "pilot/agent.py": """

def run_pipeline(context, *more, run=run_pipeline):
    ended = run(context, *more)
    import pathlib

    if pathlib.Path("fail-agent").exists():
        raise RuntimeError(f"a fault of the test, about {context!r}, {more!r}")
    return ended
""",
}


def failing(shipped: Path, target: Path) -> Path:
    """Write it, made of the pilot that is shipped."""
    with zipfile.ZipFile(shipped) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        names = source.namelist()
        assert set(BEHIND) <= set(names)
        for name in names:
            made.writestr(name, source.read(name) + BEHIND.get(name, "").encode())
    return target
