"""An example of a community's own commands: is its licence server near, and where is its newest release?"""

from __future__ import annotations

import re
from pathlib import Path

from commands import Context, Unfit, command

RELEASE = re.compile(r"v(\d+)\.(\d+)")


@command(needs=["node"], provides=["licence"], timeout=30)
def check_licence(context: Context) -> Context:
    """Look whether the licence server answers: without it every job of ours would fail here."""
    server = context.option("server")
    if not server:
        raise Unfit("the option `server` of this command is not set: which licence server is it to ask?")
    ran = context.run("getent", "hosts", server, seconds=10)
    if ran.code != 0:
        raise Unfit(f"the licence server {server} is not known on this machine")
    context.say(f"the licence server is {ran.output.split()[0]}")
    return context.tagged("lab-licence")


@command(needs=["node", "licence"], provides=["software"], timeout=120)
def choose_release(context: Context) -> Context:
    """Give payloads the newest release in the software area, or the one that is asked for."""
    area = Path(context.option("area", "/cvmfs/lab.example.org/releases"))
    wanted = context.option("release")
    found = sorted((path.name for path in area.glob("v*") if RELEASE.fullmatch(path.name)), key=_number)
    if not found or (wanted and wanted not in found):
        raise Unfit(f"{area} has no release {wanted or 'at all'}: it has {', '.join(found) or 'nothing'}")
    release = wanted or found[-1]
    context.say(f"the release is {release}, of {len(found)}")
    environment = {
        **context.environment,
        "LAB_RELEASE": release,
        "LAB_ROOT": str(area / release),
        "PATH": f"{area / release / 'bin'}:{context.environment.get('PATH', '/usr/bin:/bin')}",
    }
    return context.found("lab_release", release).tagged(f"lab-{release}").evolve(environment=environment)


def _number(name: str) -> tuple[int, int]:
    """Releases as numbers: v9.2 comes before v9.10."""
    found = RELEASE.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else (0, 0)
