"""Every error of Pilotage that somebody outside a function has to understand.

One root, `PilotageError`; its message is a sentence that says what, where, expected, got, and what to do.
A `Refusal` is an error that crosses the wire as ``application/problem+json``; `REFUSALS` is the one list of them, and
`central/serving/http.py` alone turns them into statuses. `ExitCode` is how a pilot ends, for the batch system and
people.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Optional


class PilotageError(Exception):
    """Something went wrong that a person or program outside can act on. The message is a whole sentence."""


def of_system(error: OSError) -> str:
    """What the operating system refused, as a sentence: ``cannot use /ro/x.svg: Permission denied``."""
    said = error.strerror or str(error) or type(error).__name__
    return f"cannot use {error.filename}: {said}" if error.filename else said


class InvalidInput(PilotageError):
    """What came from outside does not fit. `where` is the path to the spot, as in ``jobs[3].needs.memory``."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.where = where
        self.problem = problem


class InvalidJob(PilotageError):
    """A job document that cannot be accepted, with every problem found in it, not only the first."""

    def __init__(self, problems: tuple[InvalidInput, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class TransportError(PilotageError):
    """The other side could not be reached or did not answer: nothing is known of what it did. Trying again is right."""


class Refusal(PilotageError):
    """The central understood and said no. `type` is a row of `REFUSALS`; the other fields come with some of them."""

    def __init__(
        self,
        type: str,
        detail: str,
        *,
        retry_after: Optional[float] = None,
        server_time: Optional[float] = None,
        expected: Optional[str] = None,
        got: Optional[str] = None,
        problems: tuple[InvalidInput, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.type = type
        self.detail = detail
        self.retry_after = retry_after  # seconds
        self.server_time = server_time  # seconds since the epoch, by the central's clock
        self.expected = expected
        self.got = got
        self.problems = problems

    @property
    def transient(self) -> bool:
        """Whether sending the same again later may be answered differently."""
        return self.type in REFUSALS and REFUSALS[self.type].transient


@dataclass(frozen=True)
class RefusalKind:
    """One row of the table of refusals: what it means, its HTTP status, and what the one refused should do."""

    status: int
    title: str
    action: str
    transient: bool = False


REFUSALS: dict[str, RefusalKind] = {
    "invalid": RefusalKind(422, "The request does not fit its schema", "correct it; every problem is listed"),
    "unauthorized": RefusalKind(401, "Nobody that is known here", "send a valid token"),
    "forbidden": RefusalKind(403, "Not allowed", "ask somebody who may"),
    "not-found": RefusalKind(404, "No such thing that you may see", "check the name"),
    "conflict": RefusalKind(409, "The state does not allow it", "look at the state and decide again"),
    "idempotency-mismatch": RefusalKind(
        409, "The same Idempotency-Key came with another request", "use a new key for a new request"
    ),
    "too-large": RefusalKind(413, "More than the bound", "send less; the bound is in `expected`"),
    "version": RefusalKind(400, "A protocol version that is not spoken here", "speak one of those in `expected`"),
    "bad-signature": RefusalKind(401, "The signature does not fit the request", "sign with the session key"),
    "clock-skew": RefusalKind(
        401, "The signature's time is too far from the central's", "correct by `server_time`, sign again once", True
    ),
    "replayed": RefusalKind(409, "A request that was already answered came again", "number a new request higher"),
    "token-expired": RefusalKind(401, "The pilot's token has aged out", "renew it, then repeat", True),
    "revoked": RefusalKind(403, "The pilot's right was taken back", "stop the payloads, keep the spool, exit"),
    "secret-used": RefusalKind(403, "The one-time secret was used with another session key", "exit"),
    "secret-expired": RefusalKind(403, "The one-time secret is too old", "exit"),
    "superseded": RefusalKind(409, "Something newer has taken this place", "exit, or use the newer request's answer"),
    "stale-attempt": RefusalKind(
        409, "The attempt is not the current one of its job", "stop the payload, keep nothing"
    ),
    "not-yours": RefusalKind(403, "The attempt is leased to another pilot", "stop the payload"),
    "draining": RefusalKind(409, "The pilot takes no new jobs", "finish what runs, then exit"),
    "gap": RefusalKind(409, "Bytes are missing before this offset", "send from the offset in `expected`", True),
    "digest-mismatch": RefusalKind(422, "The bytes do not have the digest that names them", "send them again", True),
    "too-many": RefusalKind(429, "More requests than one caller may send", "repeat after `retry_after`", True),
    "busy": RefusalKind(503, "Too much at once, or something behind is away", "repeat after `retry_after`", True),
    "internal": RefusalKind(500, "A fault of the central", "repeat later; tell the operator if it stays", True),
}


class ExitCode(IntEnum):
    """How a pilot ends, seen by whoever started it. Codes from 90 up are the wrapper's own."""

    #: it did what it was for: drained, idle for long enough, out of time, halted, or the one standalone job succeeded
    DONE = 0
    #: a fault of the pilot itself
    INTERNAL = 1
    #: wrong command line or configuration
    USAGE = 2
    #: the standalone job ran and did not succeed
    PAYLOAD_FAILED = 10
    #: the machine is not fit for jobs, as the checks say
    UNFIT = 20
    #: a command of the pipeline failed or took too long
    COMMAND_FAILED = 21
    #: the central refused the pilot: secret used, expired, revoked or superseded
    REFUSED = 30
    #: the central could not be reached before the pilot had to give up
    NO_CONTACT = 31
    #: the agent process died or hung, and the monitor cleaned up
    AGENT_DIED = 40
    #: the monitor process died, and the agent stopped its payloads
    MONITOR_DIED = 41
    #: some results could not be delivered and stay in the spool
    UNDELIVERED = 50
    #: ended by a signal of the batch system or the owner of the machine, after saying so
    PREEMPTED = 60
