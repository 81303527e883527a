"""The part of the client that is about what jobs print and write: logs and outputs. Logs of pilots as well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from pilot.errors import TransportError
from pilot.looking import LogLine, PeekReply, PeekRequest, PeekView
from pilot.states import FINAL
from pilot.views import JobDetail, JobOutputs
from pilotage import files, following
from pilotage.asking import Asking
from pilotage.transport import Request

Stream = Literal["stdout", "stderr"]
#: Seconds within which a pilot has sent a heartbeat, heard the answer and pushed what was asked for.
PEEK_PATIENCE = 150.0
#: Seconds between two looks whether a first attempt has begun.
LOOK = 0.5


class ResultsPart(Asking):
    """Logs as bytes, whole or as they grow; outputs as files."""

    def logs(self, job: int, stream: Stream = "stdout", *, attempt: int | None = None, offset: int = 0) -> bytes:
        """What an attempt has printed until now, the newest unless another is named."""
        query = {} if attempt is None else {"attempt": attempt}
        return b"".join(following.read(self._transport, f"/v1/jobs/{job}/logs/{stream}", query, offset))

    def follow(
        self, job: int, stream: Stream = "stdout", *, attempt: int | None = None, offset: int = 0
    ) -> Iterator[bytes]:
        """What an attempt has printed and prints, until it has ended and all is here; waits for one to begin."""
        number = attempt or self.first_attempt(job)
        if number:
            path = f"/v1/jobs/{job}/logs/{stream}"
            yield from following.follow(self._transport, path, {"attempt": number}, offset)

    def first_attempt(self, job: int) -> int:
        """The number of the newest attempt, waited for; 0 when the job ended without one."""
        while True:
            view = self._get(JobDetail, f"/v1/jobs/{job}").job
            if view.attempt or view.state in FINAL:
                return view.attempt
            self._clock.sleep(LOOK)

    def pilot_logs(self, stamp: str, stream: str = "pilot", *, offset: int = 0) -> bytes:
        """What a pilot has said until now; `stream` is ``boot``, ``pilot``, or another that `pilot` lists."""
        return b"".join(following.read(self._transport, f"/v1/pilots/{stamp}/logs/{stream}", {}, offset))

    def follow_pilot(self, stamp: str, stream: str = "pilot", *, offset: int = 0) -> Iterator[bytes]:
        """What a pilot has said and says, until the stream ends."""
        return following.follow(self._transport, f"/v1/pilots/{stamp}/logs/{stream}", {}, offset)

    def search(
        self,
        job: int,
        pattern: str,
        stream: Stream = "stdout",
        *,
        attempt: int | None = None,
        plain: bool = False,
        ignore_case: bool = False,
    ) -> Iterator[LogLine]:
        """The lines that an attempt has printed until now and that match; looked for by the central.

        `pattern` is a regular expression in the syntax of RE2, which knows no look-around; `plain`: the text itself.
        """
        query = _search(pattern, plain, ignore_case) | ({} if attempt is None else {"attempt": attempt})
        return following.search(self._transport, f"/v1/jobs/{job}/logs/{stream}/search", query)

    def search_pilot(
        self, stamp: str, pattern: str, stream: str = "pilot", *, plain: bool = False, ignore_case: bool = False
    ) -> Iterator[LogLine]:
        """The lines of a pilot's own log that match, as `search`."""
        query = _search(pattern, plain, ignore_case)
        return following.search(self._transport, f"/v1/pilots/{stamp}/logs/{stream}/search", query)

    def peek(
        self, job: int, path: str = "", *, offset: int = 0, most: int = 64_000, patience: float = PEEK_PATIENCE
    ) -> PeekView:
        """A file of a running job's directory, or what is in a folder; a negative offset counts from the end.

        The pilot is asked with its next heartbeat. Raises `TransportError` when it has not answered after `patience`
        seconds, `Refusal` (``conflict``) when the job does not run.
        """
        body = msgspec.json.encode(PeekRequest(path, offset, most))
        asked = self._transport.ask(PeekReply, Request("POST", f"/v1/jobs/{job}/peeks", body=body))
        until = self._clock.now() + patience
        while (left := until - self._clock.now()) > 0:
            query = {"wait": f"{min(left, 20.0):.1f}"}
            found = self._get(PeekView, f"/v1/jobs/{job}/peeks/{asked.attempt}/{asked.peek}", query)
            if found.ready:
                return found
        raise TransportError(f"the pilot of job {job} has not answered for {patience:g} s; see `pilotage job {job}`")

    def outputs(self, job: int, *, attempt: int | None = None) -> JobOutputs:
        """What an attempt brought home: names, sizes in bytes, digests, where; the newest unless one is named."""
        return self._get(JobOutputs, f"/v1/jobs/{job}/outputs", {"attempt": attempt})

    def fetch_outputs(
        self,
        job: int,
        folder: str | Path,
        *,
        attempt: int | None = None,
        force: bool = False,
        progress: files.Progress | None = None,
    ) -> files.Fetched:
        """Fetch the outputs into a folder, each checked by its digest; nothing is written outside that folder.

        A file there that differs is replaced only with `force`; otherwise nothing is fetched. Raises `PilotageError`.
        """
        outputs = self.outputs(job, attempt=attempt)
        here = [file for file in outputs.outputs if "sandbox" in file.where]
        total, done = sum(file.size for file in here), 0
        paths: list[Path] = []
        Path(folder).mkdir(parents=True, exist_ok=True)
        targets = [files.place(Path(folder), file.name) for file in here]
        if not force:
            files.spare(here, targets)
        for file, target in zip(here, targets, strict=True):
            files.download(self._transport, file, target)
            paths.append(target)
            done += file.size
            if progress:
                progress(done, total)
        elsewhere = tuple(file for file in outputs.outputs if "sandbox" not in file.where)
        return files.Fetched(tuple(paths), elsewhere, outputs.undelivered)


def _search(pattern: str, plain: bool, ignore_case: bool) -> dict[str, str | int]:
    return {"grep": pattern, "plain": str(plain).lower(), "ignore_case": str(ignore_case).lower()}
