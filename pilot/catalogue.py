"""The catalogue of errors: what each code means, what to do about it, and who can.

Directors read here how much another pilot is worth after one that ended so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Optional, Union

from pilot.codes import AttemptCode, PilotCode


class Who(str, Enum):
    """Who can do something about it."""

    OWNER = "owner"  #: of the job
    OPERATOR = "operator"  #: of the central
    SITE = "site"  #: who administers the machine
    NOBODY = "nobody"  #: nothing needs to be done


class BackOff(str, Enum):
    """What a director makes of a pilot that ended so without having had a job."""

    NONE = "none"  #: the next one is as good as any
    SLOW = "slow"  #: the next one waits, longer after each
    LONG = "long"  #: it will be so until a person has done something: the next one waits long from the first on


@dataclass(frozen=True)
class Entry:
    """A line of the catalogue."""

    code: Union[AttemptCode, PilotCode]
    means: str
    todo: str
    who: Who
    back_off: Optional[BackOff] = None  # of pilots

    @property
    def group(self) -> str:
        """The class of its code."""
        return str(self.code.value).partition(".")[0]


#: What the classes mean.
CLASSES: Mapping[str, str] = {
    "payload": "The program ended by itself, and not with success",
    "limit": "The attempt was ended at a limit of its job or queue",
    "files": "Inputs, images, credentials or outputs",
    "person": "Somebody wanted it so",
    "machine": "The machine, or whoever it belongs to",
    "contact": "Pilot and central did not reach each other",
    "setup": "What was configured cannot work as it is",
    "pilot": "A fault of the pilot itself",
    "end": "Pilots that ended in good order",
}

_O, _P, _S, _N = Who.OWNER, Who.OPERATOR, Who.SITE, Who.NOBODY
_SLOW, _LONG, _GO = BackOff.SLOW, BackOff.LONG, BackOff.NONE

_ATTEMPTS = (
    Entry(
        AttemptCode.EXIT,
        "The program ended with an exit code other than 0.",
        "Read its last lines: `pilotage logs ID`.",
        _O,
    ),
    Entry(
        AttemptCode.SIGNAL,
        "A signal that the program caused itself ended it, as a fault in its memory does.",
        "Read its last lines; run the job at home with `pilot.pyz run --job`.",
        _O,
    ),
    Entry(
        AttemptCode.KILLED_OUTSIDE,
        "SIGKILL ended it, which the pilot did not send: most often the machine had no memory left.",
        "State how much `memory` the job needs, so that no machine with less is chosen.",
        _O,
    ),
    Entry(
        AttemptCode.CANNOT_START,
        "The command is not there, or is no program for this machine.",
        "Check `command`, the `inputs` and their execute permission, and `platform` of the needs.",
        _O,
    ),
    Entry(
        AttemptCode.WALL_TIME,
        "It ran for longer than `wall_time`.",
        "Ask for more `wall_time`, or do less in one job.",
        _O,
    ),
    Entry(
        AttemptCode.MEMORY,
        "It used more memory than it was granted.",
        "Ask for more `memory`; `pilotage job` shows the peak.",
        _O,
    ),
    Entry(
        AttemptCode.DISK,
        "It wrote more than it was granted, what it printed included.",
        "Ask for more `disk`, or write less.",
        _O,
    ),
    Entry(
        AttemptCode.CPU_TIME,
        "All its processes together used more CPU time than its cores give in its wall time.",
        "Ask for as many `cores` as it uses, or have it start fewer threads.",
        _O,
    ),
    Entry(
        AttemptCode.PROCESSES,
        "It had more processes and threads than the queue allows.",
        "Have it start fewer; operators set `max_processes` of a queue.",
        _O,
    ),
    Entry(
        AttemptCode.NO_PROGRESS,
        "It used no CPU time and changed no file for as long as `no_progress` says.",
        "Find out what it waits for; where waiting is right, set `no_progress: 0`.",
        _O,
    ),
    Entry(AttemptCode.LIMIT, "It was ended at a limit that the message names.", "Read the message of the attempt.", _O),
    Entry(
        AttemptCode.INPUT_MISSING,
        "An input is not where the job says.",
        "Submit it again with the job, or correct its URL.",
        _O,
    ),
    Entry(
        AttemptCode.INPUT_CHANGED,
        "An input does not have the size or checksum that the job states.",
        "Somebody changed or cut it: put it right, or state its new checksum.",
        _O,
    ),
    Entry(
        AttemptCode.INPUT_UNREACHABLE,
        "An input could not be fetched in half an hour of tries.",
        "See whether its server answers; the job may be sent again with `pilotage reschedule`.",
        _O,
    ),
    Entry(AttemptCode.INPUT, "An input could not be had.", "Read the message of the attempt.", _O),
    Entry(
        AttemptCode.IMAGE,
        "The container image could not be had or started.",
        "Check the name of the image, and that it is for this machine's kind of processor.",
        _O,
    ),
    Entry(
        AttemptCode.NO_CONTAINER,
        "The job wants a container, and this queue runs none or only its own image.",
        "Choose other `sites`; operators set `containers` and `job_images` of a queue.",
        _O,
    ),
    Entry(
        AttemptCode.CREDENTIAL,
        "A storage did not let the job in: no credential is named for it, or one that was refused or has expired.",
        "Name it in `credentials`, or set it anew with `pilotage credential set`; then `pilotage reschedule`.",
        _O,
    ),
    Entry(
        AttemptCode.OUTPUT,
        "The payload ended, and some of its outputs are missing, or no destination that the job lists took them.",
        "The message names them and why. `pilotage output ID` fetches what no destination took; correct `to:` or the "
        "destination. A plain name that need not be there is written `{path: NAME, optional: true}`.",
        _O,
    ),
    Entry(AttemptCode.KILLED, "A person ended it.", "Nothing: it was wanted so.", _N),
    Entry(
        AttemptCode.PREEMPTED,
        "The machine was wanted back, or its time was over.",
        "Nothing: the job waits again, uncharged. A `checkpoint` saves what it has done.",
        _N,
    ),
    Entry(
        AttemptCode.MACHINE_MEMORY,
        "The machine had no memory left while the payload was within its own limit.",
        "Nothing for the owner; the site may have promised more than there is: set `memory` of the queue.",
        _P,
    ),
    Entry(
        AttemptCode.FAULT,
        "The machine or the pilot failed, not the payload.",
        "Nothing for the owner: the job waits again, uncharged. `pilotage pilot STAMP` shows where it was.",
        _P,
    ),
    Entry(
        AttemptCode.PILOT_ENDED,
        "The pilot ended or started anew under it.",
        "Nothing for the owner: the job waits again, uncharged. The pilot's own code says why it ended.",
        _P,
    ),
    Entry(
        AttemptCode.LEASE,
        "The pilot was not heard for longer than its lease.",
        "Nothing for the owner: the job waits again, uncharged. See why the pilot fell silent.",
        _P,
    ),
)
_PILOTS = (
    Entry(PilotCode.DRAINED, "It was asked to drain, and its last job has ended.", "Nothing.", _N, _GO),
    Entry(
        PilotCode.IDLE,
        "No job fitted for as long as it may wait.",
        "Nothing; `pilotage explain` says why jobs that wait do not fit.",
        _N,
        _GO,
    ),
    Entry(
        PilotCode.NO_TIME,
        "Too little of its life was left for any job.",
        "Nothing; where jobs are long, ask for longer pilots (`wall_time` of the queue).",
        _N,
        _GO,
    ),
    Entry(PilotCode.HALTED, "It was ordered to stop at once.", "Nothing: it was wanted so.", _N, _GO),
    Entry(PilotCode.CANCELLED, "It was withdrawn before it ran.", "Nothing: it was wanted so.", _N, _GO),
    Entry(
        PilotCode.TAKEN,
        "The batch system or the owner of the machine ended it.",
        "Nothing; where it happens early, look at the limits of the site's queue.",
        _N,
        _GO,
    ),
    Entry(
        PilotCode.SITE_DRAINS,
        "The site drains the machine.",
        "Ask the site, or wait; `pilotage queues pause` stops pilots meanwhile.",
        _S,
        _SLOW,
    ),
    Entry(
        PilotCode.UNFIT,
        "The machine did not pass the checks.",
        "Read the message and run `pilot.pyz doctor` there.",
        _S,
        _SLOW,
    ),
    Entry(
        PilotCode.NODE_FAULTS,
        "Different jobs ended by faults of this machine, one after another.",
        "Have a look at the machine; other machines are not meant.",
        _S,
        _SLOW,
    ),
    Entry(
        PilotCode.NO_CENTRAL,
        "It could not reach the central for so long that it gave up.",
        "Check that the machine reaches the central's address, and how long the central was away.",
        _P,
        _SLOW,
    ),
    Entry(
        PilotCode.NEVER_CALLED,
        "It was submitted, is gone, and never called.",
        "Read `pilotage logs --pilot STAMP --stream ce`, and what the batch system says of it; check Python and the way"
        " to the central from there.",
        _P,
        _SLOW,
    ),
    Entry(
        PilotCode.GONE,
        "The computing element says that it ended; it did not say goodbye.",
        "It was killed or its machine failed: the batch system knows more under its reference.",
        _P,
        _SLOW,
    ),
    Entry(
        PilotCode.COMMAND,
        "A command of its pipeline failed or took too long.",
        "`pilotage pilot STAMP` shows the step and its last lines; correct the command or its options.",
        _P,
        _LONG,
    ),
    Entry(
        PilotCode.REFUSED,
        "The central refused it: its secret was used, too old, or its right taken back.",
        "Somebody may have used its secret: look at its alarm, and at who can read what is submitted.",
        _P,
        _LONG,
    ),
    Entry(
        PilotCode.SUBMISSION,
        "The computing element did not take it.",
        "Read the message: a limit, a name of a queue, or the rights of whoever submits.",
        _P,
        _LONG,
    ),
    Entry(
        PilotCode.AGENT_DIED,
        "Its agent process died or hung.",
        "Read the pilot's log; tell the developers when it comes again.",
        _P,
        _SLOW,
    ),
    Entry(
        PilotCode.INTERNAL, "A fault of the pilot itself.", "Read the pilot's log and tell the developers.", _P, _SLOW
    ),
)

#: Every code once, those of attempts first.
CATALOGUE: Mapping[str, Entry] = {entry.code.value: entry for entry in (*_ATTEMPTS, *_PILOTS)}


def entry(code: Optional[str]) -> Optional[Entry]:
    """The line of a code; None without one, and for one that is not known here."""
    return CATALOGUE.get(code or "")
