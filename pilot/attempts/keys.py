"""The credentials of one attempt for as long as it runs: laid out, put in the place of older ones, and wiped.

What their owner sets anew comes while the payload runs. A file is replaced whole: who opens it again reads the new
one, who reads it at that moment reads all of the old one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Callable, Optional

from pilot.attempts.credentials import EARLIER, lay_out, replace_file, wipe, write_earlier
from pilot.attempts.directory import AttemptDirectory
from pilot.protocol import Credential, Lease


class Keys:
    """Of one attempt. For any thread: its own, and the one in which the monitor is heard.

    `later` calls something after a while: files that could not be replaced are tried again.
    """

    def __init__(
        self,
        lease: Lease,
        place: AttemptDirectory,
        later: Callable[[Callable[[], None]], None],
        say: Callable[[str], None],
    ) -> None:
        self._place = place
        self._later = later
        self._say = say
        self._lock = threading.Lock()
        self._lease = lease
        self._earlier: deque[tuple[str, ...]] = deque(maxlen=EARLIER)  # what was secret in those that were replaced
        self._late: set[str] = set()  # names of which the files are older than what is here
        self._there: Optional[bool] = None  # whether files are laid out; None: not yet, False: not any more

    @property
    def lease(self) -> Lease:
        """The attempt's lease with the newest of them."""
        with self._lock:
            return self._lease

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be read in a log, of the newest and of those before; the longest first, since one may be part
        of another."""
        with self._lock:
            found = {*self._lease.secrets, *(secret for secrets in self._earlier for secret in secrets)}
        return tuple(sorted(found, key=len, reverse=True))

    def lay_out(self) -> None:
        """Before the payload runs. Raises `InvalidInput`, `OSError`."""
        with self._lock:
            lay_out(self._place, self._lease.credentials)
            self._late.clear()
            self._there = True

    def renew(self, newer: Sequence[Credential]) -> None:
        """Take these in the place of those of the same names; others are passed over, and all once it was wiped."""
        with self._lock:
            named = {one.name: one for one in newer}
            mine = self._lease.credentials
            for old in mine:
                if old.name in named:
                    self._earlier.append(old.secrets)
                    self._late.add(old.name)
            self._lease = replace(self._lease, credentials=tuple(named.get(old.name, old) for old in mine))
            problem = self._replace_files()
        if problem:
            self._say(f"{self._place.root.name}: {problem}; the payload reads what it had until that has worked")
            self._later(self._again)

    def _again(self) -> None:
        with self._lock:
            problem = self._replace_files()
        if problem:
            self._later(self._again)

    def _replace_files(self) -> str:
        """Bring the files up to date, where there are any; returns why that cannot be done now."""
        if not self._there or not self._late:
            return ""
        try:
            self._replace_late()
        except OSError as error:
            return f"credentials that were set anew could not be laid out: {error.strerror or error}"
        return ""

    def _replace_late(self) -> None:
        # First: whoever takes this pilot's place must know what may stand in the logs.
        write_earlier(self._place, [secret for secrets in self._earlier for secret in secrets])
        for credential in self._lease.credentials:
            if credential.name in self._late:
                replace_file(self._place, credential)
                self._late.discard(credential.name)

    def wipe(self) -> None:
        """Nothing of them stays, and nothing comes any more."""
        with self._lock:
            self._there = False
            wipe(self._place)
