"""A computing element as it is asked in the tests of its contract: what is submitted to it, and patience."""

from __future__ import annotations

import asyncio
import secrets
import shlex
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from types import MappingProxyType
from typing import Any, Self, TypeVar

from central.elements.port import ComputingElement, ComputingError, Listed, Request, Standing, Submission

T = TypeVar("T")

#: What the pilots of the queue have in their environment: values as they are met.
ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {"X509_CERT_DIR": "/far/certificates", "no_proxy": "localhost,.example.org", "OF_THE_QUEUE": 'two "words" = $HOME'}
)

# $exit is where the exit code is left, empty where the computing element tells it; $secret the file of the secret.
_LEAVE = """\
#!/bin/sh
umask 077
leave() { [ -z "$exit" ] || { echo "$1" >"$exit.part" && mv "$exit.part" "$exit"; }; exit "$1"; }
"""
_SLEEP = "trap 'kill $child; leave 3' TERM\nsleep 600 & child=$!\nwait $child\nleave 3\n"
_FAIL = "echo 'last words'\necho 'a complaint' >&2\nleave 7\n"
_TALK = "head -c 3000000 /dev/zero | tr '\\0' x\necho\necho 'the end'\nleave 0\n"
_PROBE = """\
echo "mode: $(ls -ld "$secret" | cut -c 1-10)"
echo "secret: $(sha256sum <"$secret" | cut -d ' ' -f 1)"
env | grep -q -F -f "$secret" && echo 'told: the environment'
tr '\\0' '\\n' </proc/$$/cmdline | grep -q -F -f "$secret" && echo 'told: the arguments'
grep -q -F -f "$secret" "$0" && echo 'told: the script'
env | sed 's/^/environment: /'
leave 0
"""


class Trick(Enum):
    """What a submission does."""

    SLEEP = _SLEEP  # until it is told to end
    FAIL = _FAIL  # exit code 7
    TALK = _TALK  # three megabytes
    PROBE = _PROBE  # says what it was given
    BE_FORGOTTEN = _FAIL + "# a second one\n"


class Trial:
    """Asks an adapter, one thing after another, and keeps what it was given. As a context, it leaves nothing behind."""

    def __init__(self, fresh: Callable[[], ComputingElement], request: Request, patience: float, pause: float) -> None:
        self.fresh = fresh
        self.request = request
        self.patience = patience
        self.pause = pause
        self.references: dict[str, str] = {}
        self.nothing_yet: Sequence[Listed] = ()  # the list before anything was submitted
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self.element = self.fresh()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._clean()
        finally:
            self.call(self.element.close())
            self._runner.close()

    def call(self, asked: Coroutine[Any, Any, T]) -> T:
        """Wait for an answer."""
        return self._runner.run(asked)

    @contextmanager
    def other(self, fresh: Callable[[], ComputingElement]) -> Iterator[ComputingElement]:
        """A second adapter, which knows nothing."""
        element = fresh()
        try:
            yield element
        finally:
            self.call(element.close())

    def submission(self, trick: Trick) -> Submission:
        stamp = secrets.token_hex(16)
        places = {"exit": self.element.exit_file(stamp) or "", "secret": self.element.secret_file(stamp)}
        first, _, rest = f"{_LEAVE}{trick.value}".partition("\n")
        given = "".join(f"{name}={shlex.quote(path)}\n" for name, path in places.items())
        return Submission(stamp, f"{first}\n{given}{rest}", secrets.token_urlsafe(32), self.request)

    def submit(self, submissions: Sequence[Submission]) -> Mapping[str, str]:
        """Submit what must be taken."""
        results = self.call(self.element.submit(submissions))
        self.note(results)
        for stamp, result in results.items():
            assert isinstance(result, str), f"{stamp} was not taken: {result!r}"
        return self.references

    def note(self, results: Mapping[str, str | ComputingError]) -> None:
        """Keep the references of what was taken."""
        self.references.update({stamp: result for stamp, result in results.items() if isinstance(result, str)})

    def listing(self) -> Sequence[Listed]:
        return self.call(self.element.listing())

    def output(self, stamp: str, reference: str) -> bytes:
        return self.call(self.element.output(stamp, reference))

    def until(self, what: str, wanted: Callable[[Mapping[str, Listed]], bool]) -> Mapping[str, Listed]:
        """Ask for the list until it is as wanted, and return it by stamp."""
        end = time.monotonic() + self.patience + self.element.lag
        while not wanted(listed := {entry.stamp: entry for entry in self.listing()}):
            assert time.monotonic() < end, f"waited {self.patience:g} s until {what}, and still there is {listed}"
            time.sleep(self.pause)
        return listed

    @staticmethod
    def over(entry: Listed | None) -> bool:
        """Whether a submission that was listed does not live any more."""
        return entry is None or entry.standing is Standing.ENDED

    def _clean(self) -> None:
        self.call(self.element.cancel(list(self.references.values())))
        self.until("all is over", lambda listed: all(self.over(listed.get(stamp)) for stamp in self.references))
        for stamp, reference in self.references.items():
            with suppress(ComputingError):
                self.call(self.element.forget(stamp, reference))
