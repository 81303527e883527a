"""Where the time of a pilot's cores goes: an account that books every core-microsecond to exactly one cause.

The law: what is booked is lifetime × cores, to the last microsecond, whatever happens and in whatever order it is told.
All of it is pure: each event makes a new account. Times are whole microseconds of one clock that never steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Optional

from pilot.protocol import Booking, Ledger
from pilot.states import Cause, Outcome

#: Names an attempt: job and number.
Key = tuple[int, int]
#: What is booked, of whose attempt; an empty community: of no attempt.
Entry = tuple[Cause, str]


class Event(str, Enum):
    """What happens to the cores of an agent."""

    OPEN = "open"  #: from now on attempts may run, on so many cores
    BEGIN = "begin"  #: an attempt has so many of them; its inputs are brought
    TURN = "turn"  #: it does something else now
    FREE = "free"  #: its cores are free again, its outputs are still on their way
    END = "end"  #: it is over
    CLOSE = "close"  #: no new attempt will begin


@dataclass(frozen=True)
class Happened:
    """An event at an agent, as it is told to whoever keeps its account."""

    at: int
    event: Event
    job: int = 0
    attempt: int = 0
    cores: int = 0
    community: str = ""
    cause: Optional[Cause] = None  # of a turn


@dataclass(frozen=True)
class Share:
    """What one attempt has or had, until its end is accepted."""

    cores: int
    community: str
    does: Cause = Cause.STAGE_IN
    free: bool = False  # its cores are
    over: bool = False
    payload: int = 0  # core-microseconds of its payload, whose cause shows at its end
    settled: Optional[Cause] = None  # what its payload was, once the end is accepted or lost


@dataclass(frozen=True)
class Account:
    """Of one agent. Until its cores are known, what is booked is of one core and stands for all."""

    since: int
    now: int  # all until then is booked
    cores: Optional[int] = None
    rest: Cause = Cause.BOOT  # what free cores are there for
    undecided: int = 0  # core-microseconds free beside what runs since the last answer, which will say why
    booked: Mapping[Entry, int] = field(default_factory=dict)
    shares: Mapping[Key, Share] = field(default_factory=dict)

    @classmethod
    def begun(cls, at: int) -> Account:
        return cls(at, at)

    # -- time ---------------------------------------------------------------------------------------------------------

    def until(self, at: int) -> Account:
        """Book the time up to then. A time that is past already changes nothing."""
        span = at - self.now
        if span <= 0:
            return self
        booked = dict(self.booked)
        shares = dict(self.shares)
        busy = 0
        for key, share in self.shares.items():
            if share.free:
                continue
            busy += share.cores
            if share.does is Cause.PAYLOAD:
                shares[key] = replace(share, payload=share.payload + span * share.cores)
            else:
                _add(booked, (share.does, share.community), span * share.cores)
        free = self._awaiting(booked, (self.cores or 1) - busy, span)
        undecided = self.undecided
        if busy and self.rest is Cause.NO_MATCH:
            undecided += span * free
        elif free:
            _add(booked, (self.rest, ""), span * free)
        return replace(self, now=at, booked=booked, shares=shares, undecided=undecided)

    def _awaiting(self, booked: dict[Entry, int], free: int, span: int) -> int:
        """Book free cores that wait for outputs; returns how many are left. While jobs are taken, none does."""
        if self.rest is Cause.DRAIN:
            for share in self.shares.values():
                waits = min(free, share.cores) if share.free and not share.over else 0
                if waits:
                    _add(booked, (Cause.STAGE_OUT, share.community), span * waits)
                free -= waits
        return free

    # -- what happens -------------------------------------------------------------------------------------------------

    def take(self, what: Happened) -> Account:
        """An event at the agent. One that cannot be, as of an attempt that is not known, changes nothing but time."""
        account = self.until(what.at)
        key = (what.job, what.attempt)
        share = account.shares.get(key)
        if what.event is Event.OPEN:
            return account._open(what.cores)
        if what.event is Event.CLOSE:
            return account.closing(what.at)
        if what.event is Event.BEGIN:
            granted = max(0, min(what.cores, account._free()))
            return account if share else account._with(key, Share(granted, what.community))
        if share is None or share.over:
            return account
        if what.event is Event.TURN:
            return account._with(key, replace(share, does=what.cause or share.does))
        return account._with(key, replace(share, free=True, over=what.event is Event.END))

    def validating(self, at: int) -> Account:
        """The first command of the pipeline has begun."""
        account = self.until(at)
        return replace(account, rest=Cause.VALIDATE) if account.rest is Cause.BOOT else account

    def answered(self, at: int, wanted: bool) -> Account:
        """A match request was answered; `wanted`: jobs waited, and none fitted what was free since the last answer."""
        account = self.until(at)
        booked = dict(account.booked)
        if account.undecided:
            _add(booked, (Cause.FRAGMENTS if wanted else Cause.NO_MATCH, ""), account.undecided)
        return replace(account, booked=booked, undecided=0)

    def settle(self, at: int, job: int, attempt: int, cause: Cause) -> Account:
        """The end of an attempt is accepted, or lost for good: this is what its payload was."""
        account = self.until(at)
        share = account.shares.get((job, attempt))
        if share is None or share.settled is not None:
            return account
        return account._with((job, attempt), replace(share, settled=cause))

    def closing(self, at: int) -> Account:
        """No new attempt will begin."""
        return replace(self.until(at), rest=Cause.DRAIN)

    def ended(self, at: int) -> Account:
        """The agent is gone, and so is what ran; how their payloads ended may still be settled."""
        account = self.closing(at)
        for key, share in account.shares.items():
            account = account._with(key, replace(share, free=True, over=True))
        return account

    def final(self, at: int) -> Account:
        """Nothing more will be accepted: payloads whose end was not are lost."""
        account = self.ended(at)
        for job, attempt in account.shares:
            account = account.settle(at, job, attempt, Cause.LOST)
        return account

    # -- inside -------------------------------------------------------------------------------------------------------

    def _open(self, cores: int) -> Account:
        if self.cores is not None or cores < 1:
            return self
        rest = self.rest if self.rest is Cause.DRAIN else Cause.NO_MATCH
        return replace(self, cores=cores, rest=rest, booked=_times(self.booked, cores))

    def _free(self) -> int:
        return (self.cores or 0) - sum(share.cores for share in self.shares.values() if not share.free)

    def _with(self, key: Key, share: Share) -> Account:
        """The share as it is now; what it was is booked for good once it is over and settled."""
        done = share.over and (share.settled is not None or not share.payload)
        shares = {**self.shares, key: share}
        if not done:
            return replace(self, shares=shares)
        del shares[key]
        booked = dict(self.booked)
        if share.payload and share.settled is not None:
            _add(booked, (share.settled, share.community), share.payload)
        return replace(self, booked=booked, shares=shares)

    def amounts(self, cores: int) -> Mapping[Entry, int]:
        """What is booked, open payloads included. `cores`: how many they are, as long as that is not known."""
        booked = dict(self.booked if self.cores is not None else _times(self.booked, cores))
        if self.undecided:
            _add(booked, (Cause.NO_MATCH, ""), self.undecided)
        for share in self.shares.values():
            if share.payload:
                _add(booked, (Cause.PAYLOAD, share.community), share.payload)
        return booked


def summed(accounts: Iterable[tuple[Account, int]]) -> Ledger:
    """The ledger of a pilot from those of its agents, all begun and booked to the same moments.

    With each goes how many cores it has if that is not known yet.
    """
    booked: dict[Entry, int] = {}
    cores = lifetime = 0
    for account, guess in accounts:
        cores += guess if account.cores is None else account.cores
        lifetime = account.now - account.since
        for entry, amount in account.amounts(guess).items():
            _add(booked, entry, amount)
    return _ledger(cores, lifetime, booked)


def cause_of(outcome: Optional[Outcome]) -> Cause:
    """What the payload of an attempt was that ended so."""
    if outcome is Outcome.SUCCESS:
        return Cause.GOOD
    if outcome is Outcome.PREEMPTED:
        return Cause.PREEMPTED
    return Cause.LOST if outcome in (None, Outcome.LOST, Outcome.NODE_FAULT) else Cause.FAILED


# -- for whoever reads one ---------------------------------------------------------------------------------------------


def problem(ledger: Ledger, communities: tuple[str, ...]) -> str:
    """Why a ledger cannot be, empty if it can: the law does not hold, or it names communities that the pilot is not
    for."""
    amounts = [booking.amount for booking in ledger.bookings]
    if ledger.cores < 0 or ledger.lifetime < 0 or any(amount < 0 for amount in amounts):
        return "expected amounts of zero and more"
    if len({(booking.cause, booking.community) for booking in ledger.bookings}) < len(amounts):
        return "expected one amount for each cause and community"
    strange = {booking.community for booking in ledger.bookings} - {"", *communities}
    if strange:
        return f"expected communities of the pilot, got {min(strange)[:100]!r}"
    if ledger.cores * ledger.lifetime != sum(amounts):
        return f"expected {ledger.cores} cores × {ledger.lifetime} µs, got {sum(amounts)} in sum"
    return ""


def completed(ledger: Ledger, silence: int) -> Ledger:
    """The ledger of a pilot that is over and will say no more; `silence`: microseconds since it said this.

    Payloads whose end was never accepted are lost, and what its cores did since then nobody can tell.
    """
    booked: dict[Entry, int] = {}
    for booking in ledger.bookings:
        cause = Cause.LOST if booking.cause is Cause.PAYLOAD else booking.cause
        _add(booked, (cause, booking.community), booking.amount)
    silence = max(0, silence)
    _add(booked, (Cause.VANISHED, ""), ledger.cores * silence)
    return _ledger(ledger.cores, ledger.lifetime + silence, booked)


def _ledger(cores: int, lifetime: int, booked: Mapping[Entry, int]) -> Ledger:
    order = {cause: place for place, cause in enumerate(Cause)}
    entries = sorted((entry for entry in booked if booked[entry]), key=lambda entry: (order[entry[0]], entry[1]))
    return Ledger(cores, lifetime, tuple(Booking(entry[0], booked[entry], entry[1]) for entry in entries))


def _times(booked: Mapping[Entry, int], factor: int) -> Mapping[Entry, int]:
    return {entry: amount * factor for entry, amount in booked.items()}


def _add(booked: dict[Entry, int], entry: Entry, amount: int) -> None:
    booked[entry] = booked.get(entry, 0) + amount
