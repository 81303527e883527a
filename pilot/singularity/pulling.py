"""Fetches an image from a registry, through spython, within a time and with an end that can be forced."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from pilot.attempts.directory import size_of
from pilot.attempts.diskmeter import DiskMeter
from pilot.errors import InvalidInput, TransportError
from pilot.persist import Stopped
from pilot.singularity import spython_adapter
from pilot.singularity.probe import last_words
from pilot.singularity.runtime import Runtime, host_environment
from pilot.units import show_size

#: What the way to a registry may need of the pilot's environment.
PASSED = (
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
#: For a registry without TLS, as on a site's own network; an operator's to say.
_PLAIN = ("APPTAINER_NOHTTPS", "SINGULARITY_NOHTTPS")
#: How registries, and Apptainer for them, say that there is no such image, or not for us.
_REFUSED = re.compile(r"\b(40[0134]|not found|manifest unknown|unauthorized|denied|invalid|unsupported)\b", re.I)
_POLL = 0.1
#: Bytes of what a program says that are kept.
_WORDS = 64 * 1024


@dataclass(frozen=True)
class Puller:
    """Pulls with one runtime; `place` is a folder of its own for what it needs meanwhile."""

    runtime: Runtime
    place: Path
    environment: Mapping[str, str]
    bound: int  # bytes

    def pull(self, uri: str, target: Path, pause: Callable[[float], bool]) -> dict[str, str]:
        """Bring an image to `target`, and return its labels. `pause` waits and says whether to stop.

        Raises `InvalidInput` for what the registry does not give, `TransportError` where it is out of reach, `Stopped`.
        """
        where = spython_adapter.libraries()
        if where is None:
            raise TransportError(f"the image {uri} cannot be pulled: this pilot was built without spython")
        self._call(where, f"the image {uri} could not be pulled", pause, "pull", uri, str(target))
        told = self._call(where, f"what was pulled as {uri} is no image", pause, "inspect", str(target))
        try:
            labels = json.loads(told)
        except ValueError:
            return {}
        return {str(name): str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}

    def _call(self, where: Path, problem: str, pause: Callable[[float], bool], verb: str, *words: str) -> str:
        self._prepare()
        with (self.place / "out").open("wb") as out, (self.place / "err").open("wb") as err:
            process = subprocess.Popen(
                spython_adapter.command(sys.executable, where, verb, *words),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.place,
                env=self._environment(),
            )  # in our session: those in others are taken for what payloads have left behind
        with process:
            try:
                self._attend(process, problem, pause, Path(words[-1]))
            finally:
                if process.returncode is None:
                    end_group(process)
        if process.returncode != 0:
            said = last_words(self._said("words")) or last_words(self._said("err"))
            if _REFUSED.search(said):
                raise InvalidInput("", f"{problem}: {said}")
            raise TransportError(f"{problem}: {said}")
        return self._said("out")

    def _attend(
        self, process: subprocess.Popen[bytes], problem: str, pause: Callable[[float], bool], target: Path
    ) -> None:
        """Wait for its end. Raises `Stopped`, and `InvalidInput` when it brings more than there is room for."""
        meter = DiskMeter(self.place)
        while process.poll() is None:
            if pause(_POLL):
                raise Stopped(TransportError(f"{problem} in time"))
            meter.advance(time.monotonic())
            if max(meter.at_least, size_of(target)) > self.bound:
                raise InvalidInput("", f"{problem}: it is larger than {show_size(self.bound)}")

    def _prepare(self) -> None:
        """spython knows one name for the program, and keeps what it says to itself."""
        (self.place / "bin").mkdir(mode=0o700, parents=True, exist_ok=True)
        program = self.place / "bin" / "singularity"
        ours, words = shlex.quote(str(self.runtime.program)), shlex.quote(str(self.place / "words"))
        program.write_text(f'#!/bin/sh\nexec {ours} "$@" 2>{words}\n', encoding="utf-8")
        program.chmod(0o700)

    def _environment(self) -> dict[str, str]:
        prefix, place = self.runtime.prefix, str(self.place)
        kept = {name: self.environment[name] for name in (*PASSED, *_PLAIN) if name in self.environment}
        kept.update({f"{prefix}_{what}": place for what in ("CACHEDIR", "CONFIGDIR", "TMPDIR")})
        found = host_environment(self.environment, {"HOME": place, f"{prefix}_DISABLE_CACHE": "true", **kept}.items())
        return {**found, "PATH": f"{place}/bin:{found['PATH']}"}

    def _said(self, name: str) -> str:
        try:
            file = (self.place / name).open("rb")
        except FileNotFoundError:
            return ""
        with file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _WORDS))
            return file.read(_WORDS).decode("utf-8", "replace")


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a child of ours that leads a group, and all in it; what it has started is ours to wait for then."""
    with suppress(ProcessLookupError):  # it has not come to be one
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    with suppress(ChildProcessError):
        while os.waitpid(-process.pid, 0)[0]:
            pass
