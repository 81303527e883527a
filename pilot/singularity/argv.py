"""From what is to run in a container to the words that start it. Pure; `tests/data/containers` holds what comes out.

The attempt's directory is seen as ``/srv``: the payload starts in ``/srv/job``, its home is ``/srv/home``, and ``/tmp``
and ``/var/tmp`` are the attempt's own, so that what is written there counts, and goes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pilot.binds import INSIDE, Bind
from pilot.singularity.runtime import Runtime

#: Where programs write what need not last.
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - inside, where they are the attempt's own
#: Variables that speak of the host's files. Inside they hold only where the job itself sets them.
OF_THE_HOST = frozenset(
    (
        "PATH",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "PYTHONHOME",
        "PYTHONPATH",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "X509_CERT_DIR",
    )
)
#: Set by the runtime from its arguments.
SET_BY_RUNTIME = frozenset(("HOME", "PWD"))


@dataclass(frozen=True)
class ContainerPlan:
    """One payload in one container."""

    runtime: Runtime
    image: Path  # a SIF or SquashFS file, or a directory
    root: Path  # the attempt's directory on the host
    binds: tuple[Bind, ...] = ()
    unpack: bool = False  # the image is a file, and files cannot be mounted here
    gpus: bool = False  # one was granted
    own: frozenset[str] = frozenset()  # names of the variables that the job itself sets


def arguments(plan: ContainerPlan, command: tuple[str, ...]) -> tuple[str, ...]:
    """The whole command line. Not ``--containall``: it asks for process namespaces also where there are none.

    ``--nv`` is from Apptainer's documentation, and was not seen at work with a real GPU; nor was a setuid installation.
    """
    runtime, root = plan.runtime, str(plan.root)
    words = [str(runtime.program), "--silent", "exec", "--contain", "--cleanenv", "--no-eval", "--no-privs", "--ipc"]
    if runtime.pidns:
        words.append("--pid")
    if runtime.userns:
        words.append("--userns")
    if plan.unpack:
        words.append("--unsquash")
    if plan.gpus:
        words.append("--nv")
    words += ["--home", f"{root}/home:{INSIDE}/home", "--pwd", f"{INSIDE}/job", "--bind", f"{root}:{INSIDE}:rw"]
    for place in TEMPORARY:
        words += ["--bind", f"{root}/tmp:{place}:rw"]  # noqa: S108 - the attempt's own
    for bind in plan.binds:
        words += ["--bind", str(bind)]
    return (*words, str(plan.image), *command)


def environment_inside(environment: Mapping[str, str], plan: ContainerPlan) -> dict[str, str]:
    """What a payload sees of the environment that it would have on the host."""
    hidden = SET_BY_RUNTIME | (OF_THE_HOST - plan.own)
    return {name: seen_inside(value, plan.root) for name, value in environment.items() if name not in hidden}


def seen_inside(text: str, root: Path) -> str:
    """A path below the attempt's directory as it is called inside; everything else as it is."""
    outside = str(root)
    return INSIDE + text[len(outside) :] if text == outside or text.startswith(outside + "/") else text


def environment_outside(
    inside: Mapping[str, str], host: Mapping[str, str], plan: ContainerPlan, marker: str
) -> dict[str, str]:
    """The environment of the runtime itself: what it needs, what it is to set inside, and the mark of the attempt."""
    prefix = plan.runtime.prefix
    name, _, value = marker.partition("=")
    outside = {f"{prefix}ENV_{key}": text for key, text in inside.items()}
    outside[f"{prefix}ENV_{name}"] = value
    outside[f"{prefix}ENV_PILOTAGE_ATTEMPT_DIRECTORY"] = INSIDE
    outside.update({name: value, "PATH": host["PATH"], "HOME": f"{plan.root}/home"})
    # What it keeps, it keeps with the attempt, and never in somebody's home.
    for what, place in (("CONFIGDIR", ".runtime"), ("CACHEDIR", ".runtime"), ("TMPDIR", "")):
        outside[f"{prefix}_{what}"] = str(plan.root / "tmp" / place)
    return outside
