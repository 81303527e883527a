"""What goes wrong in clouds, as the one in memory does it: faults are switched on one by one, or drawn at random."""

from __future__ import annotations

import random
from enum import StrEnum


class Fault(StrEnum):
    """A bad habit of a cloud, for as long as it is switched on."""

    # -- of starting machines
    NO_CAPACITY = "no capacity"  # whatever the quota says
    BOOT_FAILURE = "boot failure"  # what is started now never comes up: the cloud says so later
    NEVER_CALLS = "never calls"  # what is started now runs, and nobody hears of it
    ANSWER_LOST = "answer lost"  # the machine is there, and the answer is not
    FAILS_AFTER = "fails after"  # the same, but the answer is that it was not started
    TWICE = "twice"  # two machines are started for one
    # -- of the interface
    ERRORS = "errors"  # it answers with an error of its own
    HANGS = "hangs"  # it does not answer; what it was asked may have been done
    # -- of its list
    LIST_LAGS = "list lags"  # for longer than it says
    LIST_INCOMPLETE = "list incomplete"  # some are left out, and nothing says so
    LIST_ORDER = "list order"  # another each time
    LIES = "lies"  # about how machines stand
    CLOCK_OFF = "clock off"  # by up to a day
    # -- of deleting machines
    DELETE_IGNORED = "delete ignored"  # it is taken, and nothing happens
    DELETE_REFUSED = "delete refused"
    DELETE_SLOW = "delete slow"  # half an hour
    DELETING_REFUSED = "deleting refused"  # the deletion of one that is being deleted is an error


def draw(rng: random.Random, most: int = 4) -> set[Fault]:
    """Up to so many faults at once; none as often as any other number."""
    return set(rng.sample(list(Fault), rng.randint(0, most)))
