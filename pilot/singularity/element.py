"""The inner computing element that starts payloads in containers, by way of the one that starts processes.

So everything that holds for a process holds for a container: its own session, its limits, its family, its end.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Optional

from pilot.payloads.payload import Ended, InnerElement, Launch, Payload, Sample
from pilot.singularity.argv import ContainerPlan, arguments, environment_inside, environment_outside
from pilot.singularity.probe import LEVELS, clean, lines_of
from pilot.states import Outcome

#: The variable that marks the processes of an attempt; no other attempt has the same directory.
MARK = "PILOTAGE_MARK"
#: The runtime's processes, without which a payload has no namespace and no files: they end when it has.
HELPERS = ("starter", "starter-suid", "appinit", "sinit", "squashfuse", "squashfuse_ll", "fuse-overlayfs", "fuse2fs")
#: The runtime's own exit code when there is no payload.
_FAILED = 255
#: Bytes of stderr that are looked at for what the runtime says.
_WORDS = 16 * 1024


class ContainerElement:
    """Starts launches in containers; `host` is the pilot's own environment."""

    def __init__(self, element: InnerElement, host: Mapping[str, str]) -> None:
        self.element = element
        self.host = host

    def start(self, launch: Launch, plan: ContainerPlan) -> Payload:
        mark = f"{MARK}={plan.root}"
        inside = environment_inside(launch.environment, plan)
        host = {"PATH": self.host.get("PATH") or launch.environment["PATH"]}
        outer = replace(
            launch,
            command=arguments(plan, launch.command),
            environment=environment_outside(inside, host, plan, mark),
            marker=mark,
            gains_rights=not plan.runtime.userns,
            spared=HELPERS,
        )
        return ContainerPayload(self.element.start(outer), launch.stdout, launch.stderr)


class ContainerPayload:
    """A payload with its container around it; `pilot.payloads.payload.Payload` says what each verb means."""

    def __init__(self, payload: Payload, stdout: Path, stderr: Path) -> None:
        self.payload = payload
        self.stdout = stdout
        self.stderr = stderr

    def wait(self) -> Ended:
        return understood(self.payload.wait(), _head(self.stdout), _head(self.stderr))

    def sample(self) -> Sample:
        return self.payload.sample()

    def tell(self, number: int, program: str) -> int:
        return self.payload.tell(number, program)  # the runtime hands on what it gets

    def terminate(self) -> None:
        self.payload.terminate()

    def kill(self) -> None:
        self.payload.kill()

    def clear(self, seconds: float) -> int:
        return self.payload.clear(seconds)

    def living(self) -> int:
        return self.payload.living()


def understood(ended: Ended, printed: bytes, errors: bytes) -> Ended:
    """How a payload ended, as its container's runtime tells by an exit code."""
    code = ended.exit_code
    if code == _FAILED:
        words = None if printed else last_words_alone(errors)
        return ended if words is None else _never_began(ended, words)
    if code is not None and code > 128 and code - 128 in {number.value for number in signal.Signals}:
        return replace(ended, exit_code=None, signal=code - 128)
    return ended


def last_words_alone(errors: bytes) -> Optional[str]:
    """The sentence with which a runtime gave up, None when anything but it has spoken: then there was a payload."""
    lines = lines_of(errors.decode("utf-8", "replace"))
    levels = [line.partition(":")[0].strip() for line in lines]
    if "FATAL" not in levels or not set(levels) <= set(LEVELS):
        return None
    return clean(lines[levels.index("FATAL")])


def _never_began(ended: Ended, words: str) -> Ended:
    """Whose fault it is that there was no payload."""
    if "executable file not found" in words or (words.startswith("stat ") and "no such file" in words):
        return replace(ended, exit_code=127, outcome=Outcome.PAYLOAD_ERROR, message=f"not in the container: {words}")
    if words == "permission denied" or "exec format error" in words:
        message = f"the program cannot be run in the container: {words}"
        return replace(ended, exit_code=126, outcome=Outcome.PAYLOAD_ERROR, message=message)
    if "image format not recognized" in words:
        return replace(ended, exit_code=None, outcome=Outcome.INPUT_ERROR, message=f"its image is none: {words}")
    return replace(
        ended, exit_code=None, outcome=Outcome.NODE_FAULT, message=f"the container could not be started: {words}"
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_WORDS)
    except OSError:
        return b""
