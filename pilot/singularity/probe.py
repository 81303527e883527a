"""What containers this node can really run: each ability is tried with a container, never concluded from a version.

The images of the trials are a directory of empty mount points and a SquashFS file of the same, both here in this file;
the program that runs in them is the host's own shell.
"""

from __future__ import annotations

import base64
import gzip
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

from pilot.imagename import ISOLATES, OPENS_FILES, RUNS
from pilot.processes import APART
from pilot.protocol import Fact
from pilot.singularity.runtime import Runtime, find_program, flags_of, host_environment, parse_version

if TYPE_CHECKING:
    from pilot.node.machine import Machine  # whose package asks us for abilities

#: Seconds for one container of a trial; a second is usual on a loaded node.
PATIENCE = 10.0
APPTAINER, SIF, ISOLATED = (f"tag:{tag}" for tag in (RUNS, OPENS_FILES, ISOLATES))
FACTS = ("container", APPTAINER, SIF, ISOLATED)
_NEEDED = ("--contain", "--cleanenv", "--no-eval", "--no-privs", "--ipc")
_UNPACKS = "temporary sandbox"
_MOUNT_POINTS = ("bin", "dev", "etc", "home", "lib", "lib32", "lib64", "nix", "proc", "root", "run", "sbin", "srv",
                 "sys", "tmp", "usr", "var/tmp")  # fmt: skip
_OPENED = {
    "mounted": "was mounted",
    "unpacked": "was unpacked, as it could not be mounted",
    "": "could be neither mounted nor unpacked",
}
#: What the host's shell needs of the host.
_PROGRAMS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/nix")
#: Words that a line of the runtime's begins with.
LEVELS = ("FATAL", "ERROR", "WARNING", "INFO")
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_SCRIPT = 'readlink /proc/self/ns/pid; [ -e "$1" ] && echo seen; echo ok'
#: mksquashfs of the mount points: -comp gzip -all-root -all-time 0 -mkfs-time 0, then gzip.
_SQUASHFS = """
H4sIAAAAAAACA8soLiwWZoABJjDJyCDIcABIsgDZDhAhhrWMEHoplP4PBQlQnfuhdDxUfjqUjmWouNV6MZKrwYDH9eKW0nlZaxV2/Bfdyf89QeBoUIt0
hcqTCeslLHttvvKFPTb5eK8276BsBWNcU/gD0wrme03lD2x/MNg1+T+Qq2GLN+Kf2f7k/O/ztT6/FGevuaW/P1o0aB7QeNtzp3mbDXjYEqRf/G61ckzL
WD1PstVJ2VRIRYMzsDpZxC1RxC0zyat4w/4/m1SZfd7LeLE07Luxy7Pe8F81S+uEM8ofTsY+i1bYnsq3MZ1HP/Qzn1CXduCXDR98mNZPZ5z2+XmddKKr
c9AexutbbmeEGt2ZsDXI7LBu74uwZzsW3/jBbHUnOGfL648GH5PZbM6191cobXPbrKG6q/0f04F1iuvMgO4zPWPIyKDAw7KxSWhJCFfQhCBND0cu5ofT
fb4L5jefPHn00bNEE9vJk7uPnv28+137SW7zF+z5sGBkaQCR8xkZRsEoGAWjYBSMglEwCkbBKBgFo2AUjAJKAAAgTTfcABAAAA==
"""


@dataclass(frozen=True)
class Cannot:
    """No container can be run here, and why."""

    why: str


@dataclass(frozen=True)
class Trial:
    """What one container said."""

    ok: bool
    output: str  # what it printed; else the runtime's last words
    words: str = ""  # all that the runtime said


def abilities(machine: Machine) -> tuple[Fact, ...]:
    """The facts of `FACTS`. Of a captured machine nothing can be tried, so they are unknown."""
    if machine.root != Path("/"):
        return tuple(Fact(name, None, "containers can be tried on a real machine only") for name in FACTS)
    return facts(here())


def facts(found: Union[Runtime, Cannot]) -> tuple[Fact, ...]:
    """As facts: what was found, with why."""
    if isinstance(found, Cannot):
        return (Fact("container", None, found.why), *(Fact(name, False, found.why) for name in FACTS[1:]))
    saw = "neither files nor" if found.hidden else "files or"
    return (
        Fact("container", found.version, str(found.program)),
        Fact(APPTAINER, True, f"a container was run with {found.program}"),
        Fact(SIF, bool(found.squashfs), f"a SquashFS image {_OPENED[found.squashfs]}"),
        Fact(ISOLATED, found.hidden, f"the payload of a trial saw {saw} processes of the host"),
    )


_once = threading.Lock()


def here() -> Union[Runtime, Cannot]:
    """The runtime of this machine, tried once."""
    with _once:
        return _here()


@lru_cache(maxsize=1)
def _here() -> Union[Runtime, Cannot]:
    return try_out(dict(os.environ))


def try_out(environment: Mapping[str, str]) -> Union[Runtime, Cannot]:
    """Find a runtime, and find out what it can do."""
    program = find_program(environment)
    if program is None:
        return Cannot("neither apptainer nor singularity is on the PATH or in the usual places")
    try:
        with tempfile.TemporaryDirectory(prefix="pilotage-trial-") as folder:
            return Trials(program, Path(folder), environment).run()
    except (OSError, subprocess.SubprocessError) as error:
        return Cannot(f"{program} could not be tried: {error}")


class Trials:
    """A few containers in a folder."""

    def __init__(self, program: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self.program = program
        self.folder = folder
        private = (("HOME", str(folder)), *((f"{n}_CONFIGDIR", str(folder)) for n in ("APPTAINER", "SINGULARITY")))
        self.environment = host_environment(environment, (*private, ("APPTAINER_TMPDIR", str(folder))))

    def run(self) -> Union[Runtime, Cannot]:
        directory, file = self._directory(), self._file()
        likely = Runtime(self.program, "", "")
        with ThreadPoolExecutor(4) as side_by_side:
            asked = [side_by_side.submit(self._ask, *words) for words in (("--version",), ("exec", "--help"))]
            tried = [side_by_side.submit(self._try, likely, image) for image in (directory, file)]
        version, flags = parse_version(asked[0].result()), flags_of(asked[1].result())
        if version is None:
            return Cannot(f"{self.program} --version tells no version")
        lacking = [flag for flag in _NEEDED if flag not in flags]
        if lacking:
            return Cannot(f"{version[1]} is too old: it has no {', '.join(lacking)}")
        runtime = replace(likely, name=version[0], version=version[1])
        if tried[0].result().ok:
            return self._opening(self._seen(runtime, tried[0].result()), file, flags, tried[1].result())
        # By a user namespace first: it needs no privilege that somebody could make use of.
        for userns, pidns in ((True, False), (False, True), (False, False)):
            weaker = replace(runtime, userns=userns, pidns=pidns)
            trial = self._try(weaker, directory)
            if trial.ok:
                return self._opening(self._seen(weaker, trial), file, flags, self._try(weaker, file))
        return Cannot(f"{version[1]} cannot start a container: {tried[0].result().output}{restriction()}")

    def _seen(self, runtime: Runtime, trial: Trial) -> Runtime:
        return replace(runtime, hidden=hides(trial.output, os.readlink("/proc/self/ns/pid")))

    def _opening(self, runtime: Runtime, file: Path, flags: frozenset[str], trial: Trial) -> Runtime:
        """How it opens a SIF, of which the file system inside is what matters."""
        if trial.ok:
            # Without a program to mount it some runtimes unpack it by themselves, and say so.
            return replace(runtime, squashfs="unpacked" if _UNPACKS in trial.words else "mounted")
        if "--unsquash" in flags and self._try(runtime, file, "--unsquash").ok:
            return replace(runtime, squashfs="unpacked")
        return runtime

    def _file(self) -> Path:
        image = self.folder / "image.sqsh"
        image.write_bytes(gzip.decompress(base64.b64decode(_SQUASHFS)))
        return image

    def _directory(self) -> Path:
        image = self.folder / "image"
        mount_points(image)
        return image

    def _try(self, runtime: Runtime, image: Path, *more: str) -> Trial:
        secret = self.folder / "outside"
        secret.touch()
        words = [*bare(runtime, image, *more), "/bin/sh", "-c", _SCRIPT, "trial", str(secret)]
        try:
            done = run(words, self.folder, self.environment)
        except subprocess.TimeoutExpired:
            return Trial(False, f"it did not answer within {PATIENCE:.0f} s")
        if done.returncode == 0 and done.stdout.endswith("ok\n"):
            return Trial(True, done.stdout, done.stderr)
        return Trial(False, last_words(done.stderr) or f"it ended with exit code {done.returncode}", done.stderr)

    def _ask(self, *words: str) -> str:
        return run([str(self.program), *words], self.folder, self.environment).stdout


def bare(runtime: Runtime, image: Path, *more: str) -> list[str]:
    """The beginning of a command line that runs a program of the host in a container of an image without any."""
    words = [str(runtime.program), "exec", *_NEEDED, *more, "--no-home"]
    words += ["--pid"] * runtime.pidns + ["--userns"] * runtime.userns
    for place in _PROGRAMS:
        words += ["--bind", f"{place}:{place}:ro"] if os.path.exists(place) else []
    return [*words, "--pwd", "/", str(image)]


def mount_points(image: Path) -> None:
    """Make such an image there, as a folder."""
    for place in _MOUNT_POINTS:
        (image / place).mkdir(parents=True)


def run(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run to its end, or to that of our patience, with all that it starts. Raises `subprocess.TimeoutExpired`."""
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=folder,
        env=environment,
        **APART,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE)
        except BaseException:  # whatever it was: who is left would hold our ends of its pipes open
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def hides(output: str, namespace: str) -> bool:
    """Whether the payload of a trial saw nothing of the host: not a file, and processes of another namespace."""
    lines = output.splitlines()
    return "seen" not in lines and namespace not in lines and lines[0].startswith("pid:")


def last_words(text: str) -> str:
    """The last line of what a runtime says, without colours and level."""
    lines = lines_of(text)
    return clean(lines[-1]) if lines else ""


def lines_of(text: str) -> list[str]:
    """The lines that say something, without colours."""
    return [line for line in _COLOUR.sub("", text).splitlines() if line.strip()]


def clean(line: str) -> str:
    """One line of the runtime's, without its level."""
    level, separator, rest = line.partition(":")
    return rest.strip() if separator and level.strip() in LEVELS else line.strip()


def restriction() -> str:
    """What of this machine keeps ordinary users from making user namespaces, as an addition to a sentence."""
    for path, forbidding in (
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
    ):
        value = _text(path)
        if value == forbidding:
            return f" (user namespaces are restricted here: {path} is {value})"
    return ""


def _text(path: str) -> Optional[str]:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
