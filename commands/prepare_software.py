"""What payloads find in their environment: the plain machine, or a community's software area and its setup script.

Options: `path`, the folder of the software (on CVMFS, or shared); `setup`, a script of it, absolute or below `path`;
`shell`, which reads the script. All others are variables for payloads. With options this command runs in a process of
its own, as payloads do: the script is somebody else's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from commands.context import Context, Unfit
from commands.registry import command
from pilot.errors import PilotageError
from pilot.standard import OURS, option_problem

#: Where programs are on any machine, for a pilot that was started without a PATH.
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
SHELL = "/bin/sh"
#: In the shell's words: $1 is the script, $2 where the environment after it goes, each variable ended by a zero byte.
SOURCE = (
    '_pilotage_script=$1 _pilotage_out=$2; set --; . "$_pilotage_script" || exit $?;'
    ' exec /bin/cat /proc/self/environ >"$_pilotage_out"'
)
#: What a script may change for itself alone: who and where a payload is, it is told by its pilot.
NOT_HANDED_ON = frozenset({"HOME", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_", "USER", "LOGNAME"})


@command(needs=["node"], provides=["software"], timeout=300, apart=True)
def prepare_software(context: Context) -> Context:
    """Give payloads the PATH that the pilot was started with, and what the options add to it."""
    options = dict(context.options.get("prepare_software", {}))
    path, setup, shell = (options.pop(name, "") for name in ("path", "setup", "shell"))
    prepared = {"PATH": os.environ.get("PATH") or PATH, **context.environment, **_variables(options)}
    if path:
        _check_place(path)
        programs = os.path.join(path, "bin")
        if os.path.isdir(programs):
            prepared["PATH"] = f"{programs}:{prepared['PATH']}"
    if setup:
        prepared.update(_sourced(context, os.path.join(path, setup), shell or SHELL, prepared))
    missing = [place for place in prepared["PATH"].split(":") if place and not os.path.isdir(place)]
    if missing:
        context.say(f"on the PATH of payloads, but not here: {', '.join(missing)}")
    return context.evolve(environment=prepared)


def _variables(options: Mapping[str, str]) -> Mapping[str, str]:
    for name in options:
        problem = option_problem("prepare_software", name)
        if problem:
            raise PilotageError(f"the options of prepare_software: {problem}")
    return options


def _check_place(path: str) -> None:
    """Raise `Unfit` where the software is not: looking into it is what has it mounted."""
    if not os.path.isabs(path):
        raise PilotageError(f"expected an absolute path of the software, got {path!r}")
    try:
        os.listdir(path)
    except OSError as error:
        raise Unfit(f"the software in {path} cannot be reached from this machine: {error.strerror or error}") from error


def _sourced(context: Context, script: str, shell: str, prepared: Mapping[str, str]) -> dict[str, str]:
    """What a script changes in the environment, when a shell reads it once."""
    if not os.path.isabs(script):
        raise PilotageError(f"expected an absolute path of the setup script, or `path` beside it, got {script!r}")
    if not os.path.isfile(script):
        raise Unfit(f"the setup script {script} is not on this machine")
    out = context.work / "environment"
    out.unlink(missing_ok=True)
    context.say(f"{shell} reads {script}")
    ran = context.run(shell, "-c", SOURCE, "setup", script, str(out), environment=prepared)
    if ran.code != 0:
        raise PilotageError(f"the setup script {script} ended with exit code {ran.code}{_last(ran.output)}")
    after = _read(out, script)
    before = {**os.environ, **prepared}
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    handed = {name: value for name, value in changed.items() if _may_be_handed(name)}
    context.say(f"{len(handed)} variables are set for payloads: {', '.join(sorted(handed)) or 'none'}")
    return handed


def _may_be_handed(name: str) -> bool:
    return name not in NOT_HANDED_ON and not name.startswith(OURS)


def _read(out: Path, script: str) -> dict[str, str]:
    try:
        text = out.read_bytes()
    except OSError as error:
        raise PilotageError(f"the setup script {script} ended its shell, so its environment is not known") from error
    entries = (os.fsdecode(entry).partition("=") for entry in text.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in entries if name}


def _last(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()][-3:]
    return f": {' / '.join(lines)}" if lines else ", and said nothing"
