"""How the command line ends: one code for each kind of end, and the sentence that goes with it."""

from __future__ import annotations

from enum import IntEnum

from pilot.errors import REFUSALS, InvalidInput, InvalidJob, PilotageError, Refusal, TransportError
from pilotage.connection import NotConfigured

#: Refusals whose own words say it all: what is to be done about their kind is for programs.
_WHOLE = frozenset({"invalid", "forbidden", "not-found", "conflict", "too-large", "gap", "digest-mismatch"})
#: What people are told to do, where that is not what programs are told.
_FOR_PEOPLE = {"unauthorized": "send a valid token, or get one with `pilotage login` where people log in"}


class Exit(IntEnum):
    """Exit codes of `pilotage`; `docs/exit-codes.md` explains them."""

    DONE = 0
    FAILED = 1  #: refused, or impossible, and standard error says why
    USAGE = 2  #: wrong command line, or a job file with mistakes
    UNREACHABLE = 3  #: no central could be reached, or none is configured
    JOBS_FAILED = 4  #: jobs that were waited for failed or were killed
    PARTLY = 5  #: some of the jobs named were not changed, or some files not delivered
    INTERRUPTED = 130  #: Ctrl-C


def of(error: PilotageError) -> Exit:
    """The exit code of an error."""
    if isinstance(error, (TransportError, NotConfigured)):
        return Exit.UNREACHABLE
    if isinstance(error, (InvalidJob, InvalidInput)) or (isinstance(error, Refusal) and error.type == "invalid"):
        return Exit.USAGE
    return Exit.FAILED


def sentences(error: PilotageError) -> str:
    """What went wrong and what to do, in a line, or in one for each problem."""
    if isinstance(error, (InvalidJob, Refusal)) and error.problems:
        return "\n".join(str(problem) for problem in error.problems)
    if isinstance(error, Refusal) and error.type in REFUSALS:
        detail = error.detail.rstrip(".")
        if detail.partition(" ")[0].isalpha():  # a file, as central.toml, is called what it is called
            detail = detail[:1].upper() + detail[1:]
        if error.type in _WHOLE:
            bound = error.expected if error.type == "too-large" else None
            more = f" (expected at most {bound})" if bound and bound not in detail else ""
            return f"{detail}{more}{'' if detail.endswith('?') and not more else '.'}"
        action = _FOR_PEOPLE.get(error.type, REFUSALS[error.type].action)
        if error.retry_after:
            action = f"try again in {error.retry_after:g} s"
        return f"{detail}: {action}."
    return str(error)
