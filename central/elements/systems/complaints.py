"""What the programs of batch systems complain of, and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from central.elements.host import Ran
from central.elements.port import ComputingError, Trouble

#: Patterns of words, whatever their case, and what they mean; the first that is found counts.
Complaints = Sequence[tuple[Trouble, str]]


def trouble(ran: Ran, complaints: Complaints) -> Trouble:
    """What a program that failed complained of: a refusal, where these words do not tell."""
    found = (trouble for trouble, words in complaints if re.search(words, ran.said, re.IGNORECASE))
    return next(found, Trouble.REFUSED)


def not_taken(problem: str, ran: Ran, complaints: Complaints) -> ComputingError:
    """For a job that was not taken, or of which the answer does not tell: that is no refusal."""
    found = trouble(ran, complaints) if ran.code else Trouble.UNREACHABLE
    return ComputingError(f"{problem}: {ran.said}", found)


def not_listed(problem: str, ran: Ran, complaints: Complaints) -> ComputingError:
    """For a list that was not given. It may be the next time: who refuses it refuses no pilot."""
    found = trouble(ran, complaints)
    return ComputingError(f"{problem}: {ran.said}", Trouble.UNREACHABLE if found is Trouble.REFUSED else found)


def not_ended(
    program: str, references: Sequence[str], over: Collection[str], ran: Ran, complaints: Complaints
) -> Mapping[str, ComputingError]:
    """For the jobs that a program which failed has not ended: all but those that are `over`."""
    error = ComputingError(f"{program}: {ran.said}", trouble(ran, complaints))
    return {reference: error for reference in references if reference not in over}
