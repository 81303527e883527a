"""``root://``: by the node's own client, xrdcp, which compares the checksum that the server has taken of the file."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Callable, Optional

from pilot.attempts.directory import write_private
from pilot.destination import Target, shown
from pilot.destinations.port import BLOCK, Errand, Rejected, Source, Unavailable
from pilot.errors import TransportError
from pilot.persist import Stopped

#: What the client gets of the pilot's environment, beside its own settings.
PASSED = ("LANG", "X509_CERT_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
#: Its own settings, in seconds: it would try for hours to reach a server that is away.
LIMITS = {
    "XRD_CONNECTIONWINDOW": "15",
    "XRD_CONNECTIONRETRY": "1",
    "XRD_REQUESTTIMEOUT": "600",  # a server reads a large file again for its checksum
    "XRD_STREAMTIMEOUT": "60",
    "XRD_STREAMERRORWINDOW": "60",
}
_REFUSED = re.compile(r"\[(3000|3001|3002|3006|3010|3011|3013|3016|3025|3030|3033)\]|Auth failed|No protocols|Invalid")
_FULL = re.compile(r"\[(3009|3021)\]|[Nn]o space|[Qq]uota")
_POLL = 0.1
_WORDS = 4096


class XrootdStorage:
    """`pilot.destinations.port.Storage` for ``root://``. `environment` is the pilot's own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment

    def put(self, source: Source, target: Target, errand: Errand) -> None:
        server, path = _parts(target)
        folder, _, name = path.rpartition("/")
        aside = f"{folder}/.{name}.{errand.lease.job}.{errand.lease.attempt}.part"
        source.open().close()  # raises where it is no plain file of its owner's any more
        checksum = f"adler32:{source.digests.adler32}"
        copy = ["xrdcp", "--nopbar", "--silent", "--force", "--path", "--cksum", checksum, str(source.path)]
        with self._environment(target, errand) as environment:
            try:
                self._run([*copy, f"root://{server}/{aside}"], target, errand, environment)
                self._run(["xrdfs", server, "mv", aside, path], target, errand, environment)
            except (TransportError, Rejected):
                with suppress(TransportError, Rejected):
                    self._run(["xrdfs", server, "rm", aside], target, errand, environment)
                raise

    def get(self, target: Target, sink: Callable[[bytes], object], errand: Errand) -> None:
        server, path = _parts(target)
        with self._environment(target, errand) as environment:
            words = ["xrdcp", "--nopbar", "--silent", f"root://{server}/{path}", "-"]
            self._run(words, target, errand, environment, sink)

    # -- inside -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _environment(self, target: Target, errand: Errand) -> Iterator[dict[str, str]]:
        """With the job's token in a file, where it has one for that place; gone afterwards."""
        kept = {name: self.environment[name] for name in PASSED if name in self.environment}
        path = self.environment.get("PATH") or os.defpath
        # Without a home it finds nobody's proxy or settings.
        kept.update({"PATH": path, "HOME": "/nonexistent", **LIMITS})
        credential = errand.credential(target.url)
        if credential is None or credential.kind != "bearer":
            yield kept
            return
        handle, name = tempfile.mkstemp(prefix="token-", dir=errand.aside)
        os.close(handle)
        token = errand.aside / name
        try:
            write_private(token, credential.values.get("token", ""), errand.owner)
            yield {**kept, "BEARER_TOKEN_FILE": str(token)}
        finally:
            token.unlink(missing_ok=True)

    def _run(
        self,
        words: Sequence[str],
        target: Target,
        errand: Errand,
        environment: Mapping[str, str],
        sink: Optional[Callable[[bytes], object]] = None,
    ) -> None:
        """Run the client as the payload's user, to its end or until we are to stop."""
        program = shutil.which(words[0], path=environment["PATH"])
        if program is None:
            raise Rejected(f"{target.url}: this node has no {words[0]}")
        try:
            self._call([program, *words[1:]], target, errand, environment, sink)
        except OSError as error:  # no process, no room for its words: nothing about the file
            raise TransportError(f"{words[0]} cannot be run: {error.strerror or error}") from error

    def _call(
        self,
        words: Sequence[str],
        target: Target,
        errand: Errand,
        environment: Mapping[str, str],
        sink: Optional[Callable[[bytes], object]],
    ) -> None:
        owner = errand.owner
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if sink is not None else subprocess.DEVNULL,
                stderr=said,
                cwd="/",
                env=dict(environment),
                user=owner.uid if owner is not None else None,
                group=owner.gid if owner is not None else None,
                extra_groups=[] if owner is not None else None,
            )  # in our session: those in others are taken for what payloads have left behind
            with process:
                try:
                    _attend(process, errand, sink)
                finally:
                    if process.poll() is None:
                        process.kill()
            if process.returncode != 0:
                raise _problem(os.path.basename(words[0]), target, process.returncode, _last_words(said))


def _attend(
    process: subprocess.Popen[bytes], errand: Errand, sink: Optional[Callable[[bytes], object]]
) -> None:  # fmt: skip
    """Wait for its end. Raises `Stopped`."""
    if process.stdout is not None and sink is not None:
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN | select.POLLHUP)
        while True:
            if errand.pause(0):
                raise Stopped(None)
            if poll.poll(1000):
                block = os.read(process.stdout.fileno(), BLOCK)
                if not block:
                    break
                sink(block)
    wait = _POLL / 10
    while process.poll() is None:
        if errand.pause(wait):
            raise Stopped(None)
        wait = min(2 * wait, _POLL)


def _problem(program: str, target: Target, code: int, said: str) -> Exception:
    """What a failure of the client means."""
    sentence = f"{program} {shown(target.url)}: {said or f'exit code {code}'}"
    if _FULL.search(said):
        return Unavailable(sentence)
    return Rejected(sentence) if _REFUSED.search(said) else TransportError(sentence)


def _last_words(said: IO[bytes]) -> str:
    said.seek(max(0, said.seek(0, os.SEEK_END) - _WORDS))
    lines = said.read(_WORDS).decode("utf-8", "replace").split("\n")
    kept = [" ".join(line.split()) for line in lines if line.strip()]
    return kept[-1][:300] if kept else ""


def _parts(target: Target) -> tuple[str, str]:
    """Server, and path with one slash. Raises `Rejected` for what the client would take for an option of the server."""
    path = "/" + target.path.lstrip("/")
    if "?" in path:
        raise Rejected(f"{shown(target.url)}: a question mark cannot be in a name there")
    return target.host, path
