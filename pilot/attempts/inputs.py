"""Brings the inputs of an attempt into its job's directory: from the central, and from storages that the job names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

from pilot.attempts import staged
from pilot.attempts.carrier import Carrier
from pilot.attempts.containers import inputs_of
from pilot.codes import AttemptCode
from pilot.destination import shown, source_of
from pilot.destinations.cache import InputCache
from pilot.destinations.port import Digesting, Digests, NotAllowed, NotThere, Pause, Rejected, compare
from pilot.errors import InvalidInput, PilotageError, Refusal, TransportError
from pilot.jobfile import relative_path
from pilot.persist import Stopped, again, persist
from pilot.protocol import InputFile, UrlInput

#: Seconds that an input is tried for. Longer, and another node may be nearer to it.
INPUT_PATIENCE = 1800.0
#: Tries of a URL whose bytes are not what they were said to be: a storage may have half of it for a while.
WRONG_TRIES = 3


class StageIn:
    """For one attempt, in its thread. `pausing` gives the way to wait until a moment of the monotonic clock, `room` is
    how many bytes it may have in its directory; None: nobody counts. `tell` hears of what is tried again."""

    def __init__(
        self,
        carrier: Carrier,
        cache: InputCache,
        pausing: Callable[[float], Pause],
        room: Optional[int] = None,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.carrier = carrier
        self.cache = cache
        self.room = room
        self.tell = tell
        self.deadline = time.monotonic() + INPUT_PATIENCE
        self.pause = pausing(self.deadline)
        self.code = AttemptCode.INPUT  # of the end, when one cannot be had

    def bring(self) -> str:
        """All of them; returns why one cannot be had. Raises `Stopped` where it is not for want of time."""
        names: list[str] = []
        for name, fetch in self._all():
            problem = self._persist(name, fetch)
            if problem:
                return problem
            names.append(name)
        if names:
            staged.write_down(self.carrier.directory, names, self.carrier.aside)
        return ""

    def _persist(self, name: str, fetch: Callable[[], None]) -> str:
        try:
            persist(fetch, self.pause, self.carrier.random, lambda *tries: self.tell(again(f"input {name}", *tries)))
        except (Refusal, InvalidInput, Rejected) as problem:
            self.code = _code(problem)
            return f"the input {name!r} cannot be had: {problem}"
        except Stopped as stopped:
            if time.monotonic() < self.deadline:
                raise
            self.code = AttemptCode.INPUT_UNREACHABLE
            return f"the input {name!r} could not be had within {INPUT_PATIENCE:.0f} s: {stopped}"
        self.tell("")
        return ""

    def _all(self) -> Iterator[tuple[str, Callable[[], None]]]:
        spec = self.carrier.lease.spec
        for file in inputs_of(spec):
            yield file.name, lambda file=file: self._fetch(file)  # type: ignore[misc]
        for one in spec.urls:
            wrong = [0]
            yield one.name, lambda one=one, wrong=wrong: self._from_url(one, wrong)  # type: ignore[misc]

    def _fetch(self, file: InputFile) -> None:
        target = self._target(file.name)
        self.carrier.sandboxes.fetch(self.carrier.lease, file.sha256, file.size, target)
        if file.executable:
            target.chmod(0o700)

    def _from_url(self, one: UrlInput, wrong: list[int]) -> None:
        """From the cache where its content is known by SHA-256, else from its storage."""
        target = self._target(one.name)
        part = target.with_name(target.name + ".part")
        try:
            if one.sha256:
                self._by_cache(one, part)
            else:
                self._download(one, part)
            part.chmod(0o700 if one.executable else 0o600)
            if self.room is not None:
                self.room -= part.stat().st_size
            part.replace(target)
        except WrongContent as problem:
            wrong[0] += 1
            if wrong[0] >= WRONG_TRIES:
                raise Rejected(str(problem)) from problem
            raise
        finally:
            part.unlink(missing_ok=True)

    def _by_cache(self, one: UrlInput, part: Path) -> None:
        lease = self.carrier.lease
        # What somebody's credential opened, or a secret in the URL's query, is for that owner alone.
        private = "?" in one.url or self.carrier.errand(self.pause).credential(one.url) is not None
        whose = f"{lease.community}/{lease.owner}" if private or one.url.startswith(("s3://", "file://")) else ""
        self.cache.copy(one.sha256, whose, part, lambda place: self._download(one, place), self.pause, self.room)

    def _download(self, one: UrlInput, place: Path) -> None:
        """Tries once. Raises `Rejected`, `TransportError`, `Stopped`."""
        try:
            source = source_of(one.url)
        except InvalidInput as problem:
            raise Rejected(str(problem)) from problem
        digesting = Digesting()
        with place.open("wb") as file:

            def take(block: bytes) -> None:
                digesting.update(block)
                if one.size is not None and digesting.size > one.size:
                    raise WrongContent(f"{shown(one.url)} has more than the {one.size} bytes that it was to have")
                if self.room is not None and digesting.size > self.room:
                    raise Rejected(
                        f"{shown(one.url)} has more than the {self.room} bytes that the attempt has room for"
                    )
                try:
                    file.write(block)
                except OSError as error:
                    raise CannotWrite(f"the input {one.name!r}: {error.strerror or error}") from error

            self.carrier.storages.of(source.kind).get(source, take, self.carrier.errand(self.pause))
        expected = Digests(-1 if one.size is None else one.size, one.sha256, one.adler32)
        try:
            compare(expected, digesting.done(), shown(one.url), "is not what the job expects")
        except TransportError as problem:
            raise WrongContent(str(problem)) from problem

    def _target(self, name: str) -> Path:
        target = self.carrier.directory / relative_path(name, "inputs")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return target


class CannotWrite(Exception):
    """An input cannot be put on the disk: a fault of the node, and none of the storage that it came from."""


class WrongContent(TransportError):
    """The bytes are not those that the job expects."""


def _code(problem: PilotageError) -> AttemptCode:
    """What a problem with an input is called."""
    if isinstance(problem, InvalidInput) or isinstance(problem.__cause__, WrongContent):
        return AttemptCode.INPUT_CHANGED
    if isinstance(problem, NotAllowed):
        return AttemptCode.CREDENTIAL
    missing = isinstance(problem, NotThere) or (isinstance(problem, Refusal) and problem.type == "not-found")
    return AttemptCode.INPUT_MISSING if missing else AttemptCode.INPUT
