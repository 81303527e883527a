"""Proves that payloads do not reach the metadata service of their cloud: tries it as a payload's user would."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from pilot.imds import GUARDED
from pilot.payloads.slot_users import SlotUser, SlotUsers
from pilot.protocol import Fact


@dataclass(frozen=True)
class Tried:
    """What a trial found. `exposed` is None where it could not be made."""

    exposed: Optional[bool]
    why: str

    def facts(self) -> tuple[Fact, ...]:
        """`imds_exposed`, and the tag of that name."""
        return tuple(Fact(name, self.exposed, self.why) for name in GUARDED)


#: Runs the trial's text as a user (None: as ourselves), and returns what it printed. Raises OSError.
Run = Callable[[Optional[SlotUser], str], bytes]


@dataclass(frozen=True)
class Guard:
    """Of one pilot. `users`: as whom its payloads run, None: as the pilot. `cut`: what is wrong with the cut, if so."""

    users: Optional[SlotUsers]
    cut: str
    run: Run
    inside: Callable[[], Optional[Run]] = lambda: None  # the same in a container, where payloads may have one
    ahead: Callable[[], Optional[Tried]] = lambda: None  # waits for what was begun before, where something was

    def facts(self) -> tuple[Fact, ...]:
        """What comes of it."""
        return self.tried().facts()

    def tried(self) -> Tried:
        """What comes of it as a payload's user, and as that user in a container: the worse of the two."""
        if self.users is None:
            return self._tried(None)
        user = self.users.take()
        if user is None:
            self.ahead()  # has one of them for as long as it takes
            user = self.users.take()
        if user is None:
            return Tried(None, "no user of payloads was free to try it as")
        try:
            return self._tried(user)
        finally:
            self.users.give_back(user)

    def _tried(self, user: Optional[SlotUser]) -> Tried:
        who = f"the user {user.uid}" if user else "the pilot's user"
        # Side by side: where nobody answers each waits for as long as a packet may take.
        with ThreadPoolExecutor(1) as beside:
            within = beside.submit(self._within, user, f"{who} in a container")
            found = worse(self.ahead() or attempt(self.run, user, who), within.result())
        return found if found.exposed is False or not self.cut else Tried(found.exposed, f"{found.why}; {self.cut}")

    def _within(self, user: Optional[SlotUser], who: str) -> Optional[Tried]:
        run = self.inside()
        return attempt(run, user, who) if run is not None else None


def worse(outside: Tried, within: Optional[Tried]) -> Tried:
    """What counts of what was found without a container and in one, where there is one: a way that is open, else what
    could not be tried."""
    if within is None or outside.exposed:
        return outside
    if within.exposed:
        return within
    if outside.exposed is None or within.exposed is None:
        return outside if outside.exposed is None else within
    return Tried(False, f"{outside.why}; and in a container")


def attempt(run: Run, user: Optional[SlotUser], who: str) -> Tried:
    """Try it now."""
    try:
        return parse(run(user, text()), who)
    except OSError as error:
        return Tried(None, f"whether {who} reaches the metadata service could not be tried: {error}")


def parse(printed: bytes, who: str) -> Tried:
    """What the trial of that user has printed."""
    try:
        said = json.loads(printed)
        answered, tried = [str(way)[:200] for way in said["answered"]], int(said["tried"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Tried(None, f"the trial as {who} said nothing that can be read")
    if answered:
        more = f", and in {len(answered) - 1} other ways" if len(answered) > 1 else ""
        return Tried(True, f"{who} reaches the metadata service by {answered[0]}{more}")
    return Tried(False, f"tried as {who} at {tried} addresses, by GET, by EC2's token, as GCE, Azure and OpenStack")


def text() -> str:
    """The trial's program."""
    return Path(__file__).with_name("trial.py").read_text(encoding="utf-8")
